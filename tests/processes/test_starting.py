"""How several processes are started, and what is said where they are not."""

import os
import pickle
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skorch.hf
import torch
import torch.distributed as dist
from groups import bits, can_fork, in_group, small, values
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skclr
from skclr import CLRLeNetClassifier

ROOT = Path(skclr.__file__).parents[1]


@pytest.fixture(scope="module")
def images(_fashion):
    return _fashion


@pytest.fixture
def _no_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_environment")
def test_without_a_process_group_the_error_says_how_to_start_one(two_classes):
    clf = small(distributed=True)
    with pytest.raises(ValueError, match="torchrun --nproc-per-node 2"):
        clf.fit(*two_classes)
    with pytest.raises(ValueError, match="init_process_group"):
        clf.partial_fit(*two_classes)
    assert not clf.initialized_
    assert not dist.is_initialized()


@pytest.mark.usefixtures("_no_environment")
def test_clone_pickle_and_parameters_need_no_processes():
    clf = small(distributed=True)
    assert clone(clf).distributed
    assert pickle.loads(pickle.dumps(clf)).distributed
    assert clf.set_params(distributed=False).get_params()["distributed"] is False
    assert "distributed=True" in repr(CLRLeNetClassifier(distributed=True))


@can_fork
def test_what_was_fitted_by_several_is_saved_and_predicts_without_them(two_classes, tmp_path):
    X, y = two_classes

    def train(rank):
        clf = small(distributed=True).fit(X, y)
        if rank == 0:
            clf.save_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
        return pickle.dumps(clf), bits(clf, X)

    for data, expected in values(in_group(2, train)):
        clf = pickle.loads(data)
        assert bits(clf, X) == expected
    loaded = CLRLeNetClassifier(distributed=True)
    loaded.load_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


@can_fork
def test_another_backend_than_gloo_is_refused(two_classes):
    fake = pytest.importorskip("torch.testing._internal.distributed.fake_pg")

    def train(rank):
        dist.destroy_process_group()
        dist.init_process_group("fake", store=fake.FakeStore(), rank=0, world_size=2)
        with pytest.raises(ValueError, match=r"by gloo, and the process group has 'cpu:fake"):
            small(distributed=True).fit(*two_classes)

    values(in_group(1, train))


@can_fork
def test_a_search_with_jobs_is_refused_in_its_processes(two_classes):
    X, y = two_classes

    def search(rank):
        messages = []
        for backend in ("loky", "multiprocessing"):
            searching = GridSearchCV(
                small(distributed=True), {"max_lr": [0.1]}, cv=2, n_jobs=2, error_score="raise"
            )
            with pytest.raises(ValueError) as caught, _backend(backend):
                searching.fit(X, y)
            messages.append(str(caught.value))
        return messages

    get_reusable_executor().shutdown()  # a fork of joblib's workers would wait for ever
    for messages in values(in_group(2, search)):
        assert all("n_jobs=None" in message or "torchrun" in message for message in messages)
        assert "n_jobs=None" in messages[1]


def _backend(name):
    import joblib

    return joblib.parallel_config(backend=name)


# ---------------------------------------------------------------- accelerate


def test_accelerates_mixin_is_refused_at_construction():
    class Net(skorch.hf.AccelerateMixin, CLRLeNetClassifier):
        pass

    with pytest.raises(TypeError, match="distributed=True"):
        Net(accelerator=object())


# ---------------------------------------------------------------- torchrun


@can_fork
def test_processes_that_were_killed_are_not_waited_for_by_those_that_come_after(two_classes):
    X, y = two_classes
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def by_environment(seconds, rank):
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
                       "RANK": str(rank), "WORLD_SIZE": "2",
                       "TORCHELASTIC_USE_AGENT_STORE": "True"}  # fmt: skip
        time.sleep(seconds[rank])  # whoever comes first finds the addresses of those before

    def train(rank):
        return bits(small(distributed=True).fit(X, y), X)

    expected = [bits(small().fit(X, y), X)] * 2
    for seconds in ((0, 0), (0, 2), (2, 0)):
        assert values(in_group(2, train, partial(by_environment, seconds))) == expected


PROGRAM = """
    import hashlib, json, os, pickle, random, signal, sys
    import torch.distributed as dist
    from skorch.callbacks import Callback
    from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

    class Kill(Callback):
        only_watches = True
        def on_batch_end(self, net, training=None, **kwargs):
            if not training or not KILLS:
                return
            restart = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
            if restart >= KILLS or dist.get_rank() != restart % 2:
                return
            epoch, batch = len(net.history), len(net.history[-1]["batches"])
            if (epoch, batch) == PLACES[restart]:
                os.kill(os.getpid(), signal.SIGKILL)

    KILLS, path = int(sys.argv[1]), sys.argv[2]
    drawn = random.Random(7)
    PLACES = [(1 + place, drawn.randint(1, 3)) for place in range(KILLS)]
    X, y = load_fashion_mnist_sample(return_X_y=True)
    clf = CLRLeNetClassifier(schedule="batch_doubling", step_size=2, batch_size=100, random_state=0,
                             max_epochs=6, checkpoint=path + ".safetensors", checkpoint_every=0.3,
                             callbacks=[Kill()], distributed=KILLS > 0 or "--shared" in sys.argv)
    clf.fit(X[:400], y[:400])
    end = [value.numpy().tobytes() for value in clf.module_.state_dict().values()]
    end.append(repr([{k: e[k] for k in e if k != "dur"} for e in clf.history_]))
    rank = os.environ.get("RANK", "0")
    with open(f"{path}-{rank}", "w") as file:
        file.write(hashlib.sha256(pickle.dumps(end)).hexdigest())
"""


def run(program, *args, launcher=()):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, program, *map(str, args)],
        env=environment, check=False, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip


def torchrun(n, *options):
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", *options]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return path


@pytest.mark.slow
def test_torchrun_starts_again_what_was_killed_five_times_and_ends_with_the_same_bits(
    program, tmp_path
):
    assert run(program, 0, tmp_path / "alone").returncode == 0
    launcher = torchrun(2, "--max-restarts=5")
    done = run(program, 5, tmp_path / "killed", launcher=launcher)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = (tmp_path / "alone-0").read_text()
    assert [(tmp_path / f"killed-{rank}").read_text() for rank in (0, 1)] == [expected] * 2


def test_nothing_is_left_of_threads_or_groups_in_this_process():
    assert not dist.is_initialized()
    assert torch.get_num_threads() == 1
