"""Of several processes the first one prints, logs and writes, as one process does."""

import os
import signal
from pathlib import Path

import pytest
import torch.distributed as dist
from groups import bits, can_fork, in_group, small, values
from skorch.callbacks import Callback, Checkpoint, ProgressBar

from skclr import CLRLeNetClassifier, compare_schedules, lr_range_test
from skclr._checkpoints import CheckpointFile

pytestmark = can_fork


@pytest.fixture(scope="module")
def images(_fashion):
    return _fashion


def test_the_table_and_the_bars_are_shown_by_one_process(images):
    X, y = images

    def train(rank):
        clf = small(distributed=True, verbose=1, callbacks=[ProgressBar()]).fit(X, y)
        lr_range_test(clf, X[:60], y[:60], n_iter=30, n_repeats=1, random_state=0, verbose=1)
        return [name for name, _ in clf.callbacks_]

    first, second = in_group(2, train)
    assert "train_loss" in first.printed
    assert "sweeps" in first.printed
    assert second.printed == ""
    assert first.value == second.value  # nobody has lost a callback


def test_skorchs_checkpoint_is_written_by_one_process_and_loaded_by_all(images, tmp_path):
    X, y = images

    def train(rank, folder, **params):
        checkpoint = Checkpoint(monitor="valid_acc_best", dirname=folder, load_best=True)
        return bits(small(max_epochs=3, validation_fraction=0.2, callbacks=[checkpoint],
                          **params).fit(X, y), X)  # fmt: skip

    def train_in_group(rank):
        os.chdir(tmp_path)
        written = []
        save = CLRLeNetClassifier.save_params

        def noted(self, **kwargs):
            written.append(not self._is_silent)
            return save(self, **kwargs)

        CLRLeNetClassifier.save_params = noted
        return train(rank, "best", distributed=True), set(written)

    expected = train(0, str(tmp_path / "best"))
    found = values(in_group(2, train_in_group))
    assert [written for _, written in found] == [{True}, {False}]
    for end, _ in found:
        assert end == expected


# ---------------------------------------------------------------- checkpoints


class KillAt(Callback):
    """Kill one of the processes at the end of an update."""

    only_watches = True

    def __init__(self, rank, update):
        self.rank = rank
        self.update = update
        self.n_ = 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def on_batch_end(self, net, training=None, **kwargs):
        n = len(net.history) * 100 + len(net.history[-1]["batches"])
        if training and dist.is_initialized() and dist.get_rank() == self.rank and n == self.update:
            os.kill(os.getpid(), signal.SIGKILL)


def written_down(path, killer=(0, 0), **params):
    schedule = {"schedule": "batch_doubling", "batch_size": 80, "step_size": 1, "max_epochs": 3}
    given = schedule | {"validation_fraction": 0.2, "callbacks": [KillAt(*killer)]}
    return small(checkpoint=str(path), checkpoint_every=0.3, **(given | params))


def test_a_training_goes_on_where_it_was_killed_on_any_number_of_processes(images, tmp_path):
    X, y = images
    path = tmp_path / "training.safetensors"
    expected = bits(written_down(tmp_path / "undisturbed.safetensors").fit(X, y), X)

    def train(killer):
        return lambda rank: bits(written_down(path, killer, distributed=True).fit(X, y), X)

    ends = in_group(2, train((1, 102)))
    assert isinstance(ends[0].error, RuntimeError)
    assert path.exists()
    ends = in_group(3, train((0, 201)))
    assert [end is None for end in ends] == [True, False, False]
    assert values(in_group(3, train((0, 0)))) == [expected] * 3
    before = path.read_bytes()
    assert values(in_group(2, train((0, 0)))) == [expected] * 2  # finished, it is loaded
    assert bits(written_down(path).fit(X, y), X) == expected  # by one process, too
    assert path.read_bytes() == before


def test_one_process_goes_on_with_what_several_have_begun(images, tmp_path):
    X, y = images
    path = tmp_path / "training.safetensors"
    ends = in_group(2, lambda rank: written_down(path, (0, 202), distributed=True).fit(X, y))
    assert ends[0] is None
    expected = bits(written_down(tmp_path / "undisturbed.safetensors").fit(X, y), X)
    assert bits(written_down(path).fit(X, y), X) == expected


def test_the_others_need_neither_the_file_nor_its_folder(images, tmp_path):
    X, y = images

    def train(rank):
        writes = []
        write = CheckpointFile.write
        CheckpointFile.write = lambda self, data: writes.append(1) or write(self, data)
        path = tmp_path / "training.safetensors" if rank == 0 else "/no such folder/any.safetensors"
        return bits(written_down(path, distributed=True).fit(X, y), X), bool(writes)

    (first, wrote), (second, other_wrote) = values(in_group(2, train))
    assert first == second
    assert (wrote, other_wrote) == (True, False)


def test_a_file_of_another_training_is_refused_in_all_processes(images, tmp_path):
    X, y = images
    path = tmp_path / "training.safetensors"
    written_down(path, max_epochs=1).fit(X, y)

    def train(rank):
        with pytest.raises(ValueError, match="of another training: max_epochs is 1 there and 3"):
            written_down(path, distributed=True).fit(X, y)
        with (
            CheckpointFile(Path(path)).locked() if rank == 0 else _nothing(),
            pytest.raises(RuntimeError, match="another training is writing this file"),
        ):
            written_down(path, max_epochs=1, distributed=True).fit(X, y)
        return True

    assert values(in_group(2, train)) == [True, True]


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *args):
        return None


def test_ctrl_c_in_any_process_has_the_first_write_the_state(images, tmp_path):
    X, y = images
    path = tmp_path / "training.safetensors"

    class Interrupt(KillAt):
        def on_batch_end(self, net, training=None, **kwargs):
            if training and dist.get_rank() == 1 and len(net.history[-1]["batches"]) == 1:
                os.kill(os.getpid(), signal.SIGINT)

    def train(rank):
        clf = written_down(path, callbacks=[Interrupt(1, 0)], distributed=True)
        with pytest.raises(KeyboardInterrupt):
            clf.set_params(checkpoint_every=100.0).fit(X, y)
        return path.exists(), len(clf.history_[-1]["batches"])

    assert values(in_group(2, train)) == [(True, 2), (True, 2)]
    expected = bits(written_down(tmp_path / "undisturbed.safetensors").fit(X, y), X)
    assert bits(written_down(path).fit(X, y), X) == expected


# ---------------------------------------------------------------- many trainings


def test_a_comparison_is_refused_with_what_to_do(images):
    X, y = images
    candidates = {"one": small(), "other": small(distributed=True)}
    with pytest.raises(ValueError, match=r"'other' has distributed=True.*n_jobs"):
        compare_schedules(candidates, X, y, X, y, seeds=1)
