"""``python -m skclr``: run the study."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

_FAILED, _NOT_PRINTED, _INTERRUPTED, _TERMINATED = 1, 3, 130, 143


class _Termination(KeyboardInterrupt):
    """What SIGTERM is taken for: it ends the study as Ctrl-C does."""


def main(argv: list[str] | None = None) -> int:
    """Run the study with the arguments of the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None: those of the process.

    Returns
    -------
    status : int
        0, or 130 when the run was interrupted and 143 when by SIGTERM, or 1 when it failed or could
        not begin, or 3 when the report was written, but its words could not be printed: standard
        output was closed or full. That standard error cannot be written to changes nothing.
    """
    _open_closed_streams()
    arguments = _parser().parse_args(argv)
    output = Path(arguments.output)
    _find_temporary_folder(output)
    earlier = _read_state(output)
    try:
        with _termination_like_interrupt():
            from skclr import study  # after --help, which has no need of torch

            found = study.run(
                output,
                data=arguments.data,
                epochs=arguments.epochs,
                seed=arguments.seed,
                n_jobs=arguments.jobs,
                engine=arguments.engine,
                force=arguments.force,
                resume=arguments.resume,
                verbose=not arguments.quiet,
            )
    except KeyboardInterrupt as stop:
        _write(f"\nInterrupted. {_say_what_is_kept(output, earlier)}", sys.stderr)
        return _TERMINATED if isinstance(stop, _Termination) else _INTERRUPTED
    except (ImportError, OSError, ValueError) as error:
        _write(f"skclr: {error}", sys.stderr)
        return _FAILED
    finally:
        _flush(sys.stderr)  # the progress, which may not have been written
    if arguments.quiet:
        return 0
    words = [found.summary[["description", "test_accuracy", "updates", "seconds"]].round(4)]
    if found.comparison is not None:
        words.append(f"\n{found.comparison.in_words(study.DOUBLING)}")
    report = (output / "report.html").resolve()
    words.append(f"\nThe report: {report}")
    if _write("\n".join(map(str, words)), sys.stdout):
        return 0
    _write(f"skclr: standard output cannot be written to. The report: {report}", sys.stderr)
    return _NOT_PRINTED


def _open_closed_streams() -> None:
    """Open what the shell has closed (``>&-``), to nowhere.

    The next file or pipe would otherwise get its number, and take what other code writes there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _find_temporary_folder(output: Path) -> None:
    """Let a folder in that of the study be the temporary one, where there is no other."""
    try:
        tempfile.gettempdir()
    except OSError:
        folder = output.absolute() / ".temporary"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            os.environ["TMPDIR"] = str(folder)
            # registered first, so removed last, after what others have in it
            atexit.register(shutil.rmtree, folder, ignore_errors=True)


@contextmanager
def _termination_like_interrupt() -> Iterator[None]:
    """Let SIGTERM, which schedulers send, end the study as Ctrl-C does.

    Only the first one does: another one finds a report being written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise _Termination

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception as error:
        if received:  # a process of a training was sent it, too, and came to its end before
            raise _Termination from error
        raise
    finally:
        signal.signal(signal.SIGTERM, former)


def _read_state(output: Path) -> dict | None:
    """Return what the folder says of the study in it, or None."""
    try:
        return json.loads((output / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _say_what_is_kept(output: Path, earlier: dict | None) -> str:
    """Say where an interrupted study is, which may not have got as far as its own folder."""
    state = _read_state(output)
    if state is None or state == earlier:
        return "Nothing was finished, and nothing written."
    report = output / "report.html"
    place = report if report.exists() else output
    if not state["finished"]:
        return f"Nothing was finished. The report, which says so: {place}"
    return f"What was finished is in {place}. With --resume it goes on."


def _write(text: str, stream: TextIO | None) -> bool:
    """Write a line, with whatever characters the stream has, and return whether it could be."""
    if stream is None:
        return False
    try:
        try:
            stream.write(f"{text}\n")
        except UnicodeEncodeError:
            encoding = stream.encoding
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    except (OSError, ValueError):
        _silence(stream)
        return False
    return _flush(stream)


def _flush(stream: TextIO | None) -> bool:
    if stream is None:
        return False
    try:
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)
        return False
    return True


def _silence(stream: TextIO) -> None:
    """Send what a stream still holds to nowhere, or Python fails in writing it as it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skclr",
        description="Which learning rates work, how CLR trains between them, and whether growing "
        "the batch does what lowering the rate does: LeNet-5 on Fashion-MNIST.",
        epilog="Exit status: 0 when all went well; 1 when the study failed or could not begin; 2 "
        "for wrong arguments; 3 when the report was written, but standard output was closed or "
        "full; 130 when interrupted, 143 when by SIGTERM.",
    )
    parser.add_argument(
        "--data",
        choices=["sample", "full"],
        default="sample",
        help="the shipped 6,000 + 1,000 images (default), or all 60,000 + 10,000",
    )
    parser.add_argument(
        "--output",
        default="skclr-study",
        metavar="DIR",
        help="where the pictures, tables and report.html go (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="epochs of CLR: five cycles (default: 20 for the sample, 50 for the full set)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--jobs",
        type=int,
        default=-1,
        metavar="N",
        help="trainings at the same time (default: as many as there are cores); "
        "the results do not depend on it",
    )
    parser.add_argument(
        "--engine",
        choices=["torch", "numba"],
        default="torch",
        help="what computes the network: torch's operations (default), or functions that numba "
        "compiles, which are faster and need the extra skclr[numba]",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a study in the folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a study that was stopped in the folder"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
