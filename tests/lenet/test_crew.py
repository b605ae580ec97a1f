"""Threads that share a batch without Python: who takes what changes no bit."""

import contextlib
import os
import signal
import threading
import time

import pytest
import torch

from skclr._process import enlist, one_thread, side_by_side
from skclr.lenet import LeNet5, _compiled, _kernels
from skclr.lenet._crew import Crew

LONG = 2**40


@pytest.fixture(autouse=True)
def _as_before():
    n_threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(n_threads)


@contextlib.contextmanager
def served(n):
    """Have a number of threads serve this one's crew, and yield it."""
    threads, crews = [], []

    def hire(crew, _):
        for _ in range(n - len(threads)):
            crew.expect_one()
            threads.append(threading.Thread(target=crew.serve, args=(LONG,)))
            threads[-1].start()
            crews.append(crew)

    try:
        with _compiled.blocks_shared_by(hire):
            yield crews
    finally:
        for crew in crews:
            crew.dismiss()
        for thread in threads:
            thread.join(60)


def outcomes(net, images, targets):
    """Return logits and gradients, and loss, logits and gradients computed at once."""
    parameters = list(net.parameters())
    logits = net(images)
    yield logits
    yield from torch.autograd.grad(logits.square().sum(), parameters)
    at_once = _compiled.cross_entropy_of(images, targets, parameters, len(images))
    yield from (at_once.loss, at_once.logits, *at_once.gradients)
    with torch.no_grad():
        yield net(images)


@pytest.mark.parametrize("n", [1, 48, 49, 64, 112, 113, 256, 300])
def test_who_takes_which_part_of_a_batch_changes_no_bit(n):
    net, images, targets = LeNet5(engine="numba"), torch.randn(n, 1, 32, 32), torch.arange(n) % 10
    expected, n_served = list(outcomes(net, images, targets)), 0
    for n_serving in (1, 3):
        with served(n_serving) as crews:
            for _ in range(20):
                found = list(outcomes(net, images, targets))
                assert all(torch.equal(*both) for both in zip(found, expected, strict=True))
            n_served += crews[0].n_served if crews else 0
    assert (n_served > 0) == (n > 48)  # less is one part, of which nobody is told


def test_many_short_tasks_in_a_row_are_all_done_and_none_twice():
    net, images = LeNet5(engine="numba"), torch.randn(64, 1, 32, 32)
    parameters, targets = list(net.parameters()), torch.arange(64) % 10
    expected = _compiled.cross_entropy_of(images, targets, parameters, 64)
    with served(3) as crews:
        for _ in range(3000):
            found = _compiled.cross_entropy_of(images, targets, parameters, 64)
            assert torch.equal(found.loss, expected.loss)
            assert torch.equal(found.gradients[4], expected.gradients[4])
        assert crews[0].n_serving == 3
        assert crews[0].n_served > 1000
    assert crews[0].n_serving == 0


def test_who_serves_leaves_when_nothing_has_come_for_a_while_or_when_dismissed():
    crew = Crew(_kernels)
    assert crew.n_serving == 0
    crew.expect_one()
    assert crew.n_serving == 1
    crew.serve()
    assert crew.n_serving == 0
    crew.expect_one()
    thread = threading.Thread(target=crew.serve, args=(LONG,))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    crew.dismiss()
    thread.join(60)
    assert not thread.is_alive()
    assert crew.n_serving == 0
    crew.expect_one()  # who never comes
    crew.forget()
    assert crew.n_serving == 0


class Waiting:
    """A crew that is served until it is told not to be."""

    def __init__(self):
        self.n_serving, self.seen, self.told = 0, [], threading.Event()

    def expect_one(self):
        self.n_serving += 1
        self.told.clear()

    def serve(self):
        self.seen.append(threading.current_thread())
        self.told.wait(60)
        self.n_serving -= 1

    def dismiss(self):
        self.told.set()

    def forget(self):
        self.n_serving = 0


def test_threads_that_serve_a_crew_come_back_when_they_are_wanted():
    torch.set_num_threads(3)
    crew, before = Waiting(), threading.active_count()
    enlist(crew, 2)
    assert crew.n_serving == 0  # outside of a training there is nobody
    with one_thread():
        for _ in range(3):
            enlist(crew, 5)
        assert crew.n_serving == 2  # all that there are, and none twice
        end = time.monotonic() + 60
        while len(set(crew.seen)) < 2 and time.monotonic() < end:
            time.sleep(0.001)
        together = threading.Barrier(3, timeout=60)
        assert side_by_side(lambda item: together.wait() >= 0, range(3)) == [True] * 3
        assert crew.n_serving == 0
        assert len(set(crew.seen)) == 2
        side_by_side(lambda item: enlist(crew, 1), range(3))  # they are busy
        assert crew.n_serving == 0
        enlist(crew, 1)
        assert crew.n_serving == 1
    assert crew.n_serving == 0
    assert threading.active_count() == before


def test_another_thread_than_that_of_the_training_enlists_nobody():
    torch.set_num_threads(2)
    crew = Waiting()
    with one_thread():
        thread = threading.Thread(target=enlist, args=(crew, 1))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert crew.n_serving == 0


def test_the_threads_of_a_training_take_parts_of_its_batches():
    torch.set_num_threads(2)
    net, images, targets = LeNet5(engine="numba"), torch.randn(64, 1, 32, 32), torch.arange(64) % 10
    parameters = list(net.parameters())
    with one_thread(), _compiled.blocks_shared_by(enlist):
        before = 0 if _compiled._own.crew is None else _compiled._own.crew.n_served
        end = time.monotonic() + 60
        while _compiled._own.crew is None or _compiled._own.crew.n_served == before:
            _compiled.cross_entropy_of(images, targets, parameters, 64)
            assert time.monotonic() < end, "nobody has come"


def test_without_further_threads_it_is_done_by_one(monkeypatch):
    torch.set_num_threads(2)
    crew = Waiting()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with one_thread():
        enlist(crew, 1)
        assert crew.n_serving == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_a_training_has_no_helpers_and_waits_for_none():
    torch.set_num_threads(2)
    crew = Waiting()
    with one_thread():
        side_by_side(lambda item: item, range(2))
        child = os.fork()
        if child == 0:
            enlist(crew, 1)
            is_right = side_by_side(lambda item: 2 * item, range(4)) == [0, 2, 4, 6]
            os._exit(0 if is_right and crew.n_serving == 0 else 1)
        end = time.monotonic() + 60
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
            time.sleep(0.01)
        if ended == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert ended == (child, 0)


def test_a_call_in_the_middle_of_another_one_of_the_same_thread_disturbs_nothing(monkeypatch):
    """As that of a handler of signals, or of what the garbage collector calls."""
    net, other = LeNet5(engine="numba"), LeNet5(3, 4, engine="numba")
    images, targets = torch.randn(64, 1, 32, 32), torch.arange(64) % 10
    others, share, depth = torch.randn(33, 3, 32, 32), Crew.share, []
    expected, theirs = list(outcomes(net, images, targets)), other(others)
    n_calls = []

    def interrupted(crew, kind, n_places):
        for step in (None, lambda: share(crew, kind, n_places)):
            if step is not None:
                step()
            if not depth:
                depth.append(1)
                with torch.no_grad():
                    assert torch.equal(other(others), theirs)
                n_calls.append(1)
                depth.pop()

    monkeypatch.setattr(Crew, "share", interrupted)
    found = list(outcomes(net, images, targets))
    assert len(n_calls) > 6
    assert all(torch.equal(*both) for both in zip(found, expected, strict=True))
