"""The store of a comparison, when other processes write to it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from comparisons import plain
from filelock import FileLock
from skorch.callbacks import Callback

from skclr import ScheduleComparison, compare_schedules

N_WRITERS, N_RUNS = 2, 40
WRITER = """
import sys
import numpy as np
from skclr.comparison._store import RunStore
from skclr.comparison._tables import EPOCH_COLUMNS, RUN_COLUMNS

path, first, n_writers, n_runs = sys.argv[1], *map(int, sys.argv[2:])
plan = [("one", seed) for seed in range(n_runs)]
print("ready", flush=True)
sys.stdin.readline()
for seed in range(first, n_runs, n_writers):
    store = RunStore(path)  # one that does not know what this process wrote before
    store.open({"one": None}, plan, [np.zeros(2)])
    run = {"candidate": "one", "seed": seed}
    store.add(dict.fromkeys(RUN_COLUMNS, 1) | run, [dict.fromkeys(EPOCH_COLUMNS, 1) | run])
"""


@pytest.mark.slow
def test_several_processes_that_write_to_a_store_at_the_same_time_lose_no_run(tmp_path):
    store = tmp_path / "runs.csv"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, *map(str, (store, first, N_WRITERS, N_RUNS))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(N_WRITERS)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    written = ScheduleComparison.from_csv(store)
    assert written.runs["seed"].tolist() == list(range(N_RUNS))
    assert written.history["seed"].tolist() == list(range(N_RUNS))


def test_a_store_that_is_never_free_is_an_error_that_names_the_lock(
    table_split, tmp_path, monkeypatch
):
    monkeypatch.setattr("skclr.comparison._store.LOCK_TIMEOUT", 0.2)
    store = tmp_path / "runs.csv"
    lock = FileLock(tmp_path / ".runs.csv.lock", thread_local=False)
    with ThreadPoolExecutor(1) as another:
        another.submit(lock.acquire).result()
    with pytest.raises(TimeoutError, match=r"has held .*\.runs\.csv\.lock for 0.2 seconds"):
        compare_schedules({"one": plain()}, *table_split, seeds=1, store=store)
    lock.release()
    compare_schedules({"one": plain()}, *table_split, seeds=1, store=store)
    assert len(ScheduleComparison.from_csv(store).runs) == 1


class Beside(Callback):
    """Compare with the same store, as another process might, before the first run of "two" ends."""

    meanwhile = None

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        if Beside.meanwhile is not None and net.lr == 0.2:
            other, Beside.meanwhile = Beside.meanwhile, None
            other()


def test_runs_that_another_process_wrote_meanwhile_are_kept(table_split, tmp_path):
    store = tmp_path / "runs.csv"
    candidates = {"one": plain(Beside()), "two": plain(Beside(), lr=0.2)}

    def compared(seeds):
        return compare_schedules(candidates, *table_split, seeds=seeds, store=store)

    Beside.meanwhile = lambda: compared(seeds=[0, 1, 2])
    with pytest.raises(ValueError, match=r"another comparison.*seed 2"):
        compared(seeds=[0, 1])  # and would have put four runs in place of six
    assert len(ScheduleComparison.from_csv(store).runs) == 6

    for path in (store, store.with_name("runs-epochs.csv")):
        path.unlink()
    Beside.meanwhile = lambda: compared(seeds=[0, 1])
    compared(seeds=[0, 1])
    assert len(ScheduleComparison.from_csv(store).runs) == 4
