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
KEPT = """
import ctypes, resource
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
places = [None] * 1600
resident()
before = resident()
for i in range(1600):
    places[i] = libc.malloc(2**16)
    libc.memset(places[i], 1, 2**16)
for place in reversed(places):
    libc.free(place)
print(resident() - before)
"""
KEEPING = "from skclr._process._memory import keep_memory; assert keep_memory() is {expected}"


def kept(expected=None, **environment):
    """Return how many MiB a process has left of 100 that it has freed."""
    first = "" if expected is None else KEEPING.format(expected=expected)
    command = [sys.executable, "-c", KEPT.format(first=first)]
    return float(subprocess.check_output(command, env=CLEAN | environment, text=True))


@glibc
@pytest.mark.slow
def test_memory_that_was_freed_is_kept():
    assert kept() < 50
    assert kept(expected=True) > 90


@glibc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TOP_PAD_", "4096"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=4096")],
)
def test_what_the_user_has_set_stays(name, value):
    assert kept(expected=False, **{name: value}) < 50


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
