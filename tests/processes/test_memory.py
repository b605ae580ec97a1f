"""What a process that shares a training does with memory that is free."""

import os
import platform
import subprocess
import sys

import pytest
from groups import can_fork, in_group, small, values

from skclr import load_fashion_mnist_sample
from skclr._process._memory import keep_memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
}
FAULTS = """
import resource, torch
{first}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.ones(2**16) for _ in range(400)]  # 100 MiB
    del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


def faults(first, **environment):
    """Return how many pages a process gets anew that frees 100 MiB and takes them again."""
    command = [sys.executable, "-c", FAULTS.format(first=first)]
    return int(subprocess.check_output(command, env=CLEAN | environment, text=True))


@glibc
@pytest.mark.slow
def test_memory_that_is_kept_is_not_got_anew():
    keeping = "from skclr._process._memory import keep_memory; assert keep_memory()"
    without, kept = faults(""), faults(keeping)
    assert without > 100
    assert kept < without / 10


@glibc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TOP_PAD_", "4096"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=4096")],
)
def test_what_the_user_has_set_stays(name, value):
    trying = "from skclr._process._memory import keep_memory; assert not keep_memory()"
    assert faults(trying, **{name: value}) > 100


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_memory() is False


@can_fork
@pytest.mark.slow
def test_each_process_of_a_training_keeps_it_once(monkeypatch):
    X, y = load_fashion_mnist_sample(return_X_y=True)

    def trained(rank):
        calls = []
        monkeypatch.setattr("skclr._process._group.keep_memory", lambda: calls.append(rank))
        for _ in range(2):
            small(max_epochs=1, distributed=True).fit(X[:400], y[:400])
        return calls

    assert values(in_group(2, trained)) == [[0], [1]]
