"""``python -m skclr``: run the study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run the study with the arguments of the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None: those of the process.

    Returns
    -------
    status : int
        0, or 130 when the run was interrupted, or 1 when it could not begin.
    """
    arguments = _parser().parse_args(argv)

    from skclr import study  # after --help, which has no need of torch

    output = Path(arguments.output)
    try:
        found = study.run(
            output,
            data=arguments.data,
            epochs=arguments.epochs,
            seed=arguments.seed,
            n_jobs=arguments.jobs,
            force=arguments.force,
            verbose=not arguments.quiet,
        )
    except KeyboardInterrupt:
        report = output / "report.html"
        kept = f"What was finished is in {report}." if report.exists() else "Nothing was finished."
        print(f"\nInterrupted. {kept}", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"skclr: {error}", file=sys.stderr)
        return 1
    if not arguments.quiet:
        print(found.summary[["description", "test_accuracy", "updates", "seconds"]].round(4))
        if found.comparison is not None:
            print(f"\n{found.comparison.in_words(study.DOUBLING)}")
        print(f"\nThe report: {(output / 'report.html').resolve()}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skclr",
        description="Which learning rates work, how CLR trains between them, and whether growing "
        "the batch does what lowering the rate does: LeNet-5 on Fashion-MNIST.",
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
    parser.add_argument("--force", action="store_true", help="overwrite a study in the folder")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
