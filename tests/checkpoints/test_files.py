"""The file of a checkpoint: what it refuses, what it survives, and how large it is."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from joblib import parallel_backend
from killing import assert_same, can_fork, killed_at, small
from safetensors import safe_open
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping

from skclr import CLRLeNetClassifier, compare_schedules
from skclr._checkpoints import CheckpointFile
from skclr.exceptions import CheckpointWarning


@pytest.fixture
def data(fashion):
    X, y = fashion
    return X[:160], y[:160]


class AtEpoch(Callback):
    """Do something when an epoch has ended."""

    only_watches = True

    def __init__(self, epoch, do):
        self.epoch = epoch
        self.do = do

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.do()


class Seen(Callback):
    """Note every batch of training."""

    only_watches = True

    def __init__(self, seen):
        self.seen = seen

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.seen.append(training)


def test_a_finished_training_is_not_repeated(data, tmp_path):
    path, seen = tmp_path / "a", []
    first = small(checkpoint=path).fit(*data)
    before = path.read_bytes()
    again = small(checkpoint=path, callbacks=[Seen(seen)], verbose=0).fit(*data)
    assert not seen
    assert path.read_bytes() == before
    assert_same(again, first, data[0])
    again.set_params(checkpoint=None).partial_fit(*data)
    assert_same(again, first.set_params(checkpoint=None).partial_fit(*data), data[0])


OTHERS = [
    ({"max_lr": 0.05}, "max_lr is 0.1 there and 0.05 here"),
    ({"max_epochs": 4}, "max_epochs is 3 there and 4 here"),
    ({"random_state": 1}, "random_state is 0 there and 1 here"),
    ({"random_state": None}, "random_state is 0 there and not set here"),
    ({"augmentation": torch.neg}, "augmentation is None there"),
    ({"callbacks": [EarlyStopping("train_loss")]}, "callbacks is another one"),
    ({"optimizer__nesterov": True}, "optimizer__nesterov is not set there and True here"),
]


@pytest.mark.parametrize(("other", "words"), OTHERS)
def test_other_parameters_are_named_and_the_file_is_left_alone(other, words, data, tmp_path):
    path = tmp_path / "a"
    small(checkpoint=path, max_epochs=3).fit(*data)
    before = path.read_bytes()
    clf = small(**({"checkpoint": path} | other))
    with pytest.raises(ValueError, match=f"another training: .*{words}") as caught:
        clf.fit(*data)
    assert "left as it is" in str(caught.value)
    assert path.read_bytes() == before
    assert not hasattr(clf, "classes_")


def test_other_data_are_named(data, tmp_path):
    X, y = data
    path = tmp_path / "a"
    clf = small(checkpoint=path, max_epochs=1).fit(X, y)
    flipped = y.copy()
    flipped[:2] = 1 - flipped[:2].clip(max=1)
    for other, words in [
        ((X[:-1], y[:-1]), "the training images are others, the training labels are others"),
        ((255 - X, y), "the training images are others"),
        ((X, flipped), "the training labels are others"),
        ((X, y + 1), "the classes are others"),
    ]:
        with pytest.raises(ValueError, match=words):
            clone(clf).fit(*other)
    with pytest.raises(ValueError, match="the validation images are others"):
        clone(clf).fit(X, y, X_val=X, y_val=y)


def test_other_versions_are_named(data, tmp_path, monkeypatch):
    path = tmp_path / "a"
    small(checkpoint=path, max_epochs=1).fit(*data)
    monkeypatch.setattr("sklearn.__version__", "99.0")
    with pytest.raises(ValueError, match=r"scikit-learn is \S+ there and 99.0 here"):
        small(checkpoint=path, max_epochs=1).fit(*data)


def test_a_call_that_goes_on_from_other_weights_is_refused(data, tmp_path):
    path = tmp_path / "a"
    small(checkpoint=path, max_epochs=1).partial_fit(*data).partial_fit(*data)
    other = small(max_epochs=1, max_lr=0.05).fit(*data)
    other.set_params(checkpoint=path, max_lr=0.1)
    with pytest.raises(ValueError, match="goes on from other weights"):
        other.partial_fit(*data)


def test_what_decides_no_bits_may_change(data, tmp_path):
    path = tmp_path / "a"
    clf = small(checkpoint=path).fit(*data)
    again = clone(clf).set_params(verbose=0, checkpoint_every=0.5).fit(*data)
    assert_same(again, clf, data[0])


@pytest.mark.parametrize("content", [b"", b"mine", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_of_ones_own_is_left_as_it_is(content, data, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no whole checkpoint.*left as it is"):
        small(checkpoint=path).fit(*data)
    assert path.read_bytes() == content


def test_a_file_whose_bytes_have_changed_is_refused_before_anything_is(data, tmp_path):
    path = tmp_path / "a"
    clf = small(checkpoint=path, max_epochs=1).fit(*data)
    whole = path.read_bytes()
    expected = clf.predict_proba(data[0])
    for place in np.random.RandomState(0).randint(len(whole), size=40):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"no whole checkpoint|another training"):
            clf.fit(*data)
    np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)


def test_a_file_holds_no_pickle_and_is_small(fashion, tmp_path):
    X, y = fashion
    path = tmp_path / "a"
    small(checkpoint=path, schedule="constant", max_epochs=1).fit(X, y)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["skclr.checkpoint"])["phase"] == "finished"
    weights = sum(part.nbytes for part in small().initialize().module_.state_dict().values())
    assert path.stat().st_size < 3 * weights


def test_nothing_but_a_lock_stays_beside_the_file(data, tmp_path):
    small(checkpoint=tmp_path / "a").fit(*data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", "a"]


@can_fork
def test_a_kill_while_the_file_is_written_leaves_the_former_one(data, tmp_path, monkeypatch):
    path = tmp_path / "a"
    expected = small().fit(*data)
    replace, count = os.replace, []

    def killed_before_replacing(old, new):
        count.append(new)
        if len(count) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed_before_replacing)
        assert killed_at(9, lambda: small(checkpoint=path).fit(*data)) == 2
    assert_same(small(checkpoint=path).fit(*data), expected, data[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == [".a.lock", "a"]


def test_a_second_process_is_refused(data, tmp_path):
    path = tmp_path / "a"
    clf = small(checkpoint=path)
    code = "import sys; from skclr._checkpoints import CheckpointFile; from pathlib import Path\n" \
           "with CheckpointFile(Path(sys.argv[1])).locked():\n    print('locked', flush=True)\n" \
           "    sys.stdin.read()"  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code, path], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(RuntimeError, match="another training is writing this file"):
            clf.fit(*data)
        other.kill()
    clf.fit(*data)


def test_a_folder_that_goes_is_warned_of_once(data, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def remove():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    clf = small(checkpoint=folder / "a", callbacks=[AtEpoch(1, remove)])
    with pytest.warns(CheckpointWarning, match="There is none yet.*goes on") as caught:
        clf.fit(*data)
    assert len(caught) == 1
    assert_same(clf, small().fit(*data), data[0])


@can_fork
def test_a_disk_that_is_full_is_warned_of_once_and_the_last_file_stays(data, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a"
    kept = []

    def fill():
        kept.append(path.read_bytes())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    clf = small(checkpoint=path, callbacks=[AtEpoch(2, fill)])
    try:
        with pytest.warns(CheckpointWarning, match="The last one stays") as caught:
            clf.fit(*data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert len(caught) == 1
    assert path.read_bytes() == kept[0]
    assert sorted(file.name for file in tmp_path.iterdir()) == [".a.lock", "a"]
    assert_same(clf, small().fit(*data), data[0])
    assert_same(small(checkpoint=path).fit(*data), clf, data[0])


def test_a_folder_that_cannot_be_written_to_does_not_keep_from_training(
    data, tmp_path, monkeypatch
):
    def read_only(*args):
        raise PermissionError("read-only")

    monkeypatch.setattr("skclr._checkpoints._file.FileLock.acquire", read_only)
    monkeypatch.setattr(os, "replace", read_only)
    with pytest.warns(CheckpointWarning, match="There is none yet") as caught:
        clf = small(checkpoint=tmp_path / "a").fit(*data)
    assert len(caught) == 1
    assert_same(clf, small().fit(*data), data[0])


def test_a_missing_folder_is_told_before_training(data, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        small(checkpoint=tmp_path / "none" / "a").fit(*data)


@pytest.mark.parametrize("every", [0, -1, "often"])
def test_checkpoint_every_is_a_number_of_epochs(every, data):
    with pytest.raises(ValueError, match="checkpoint_every"):
        small(checkpoint_every=every).fit(*data)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_candidate_and_fold_of_a_search_has_a_file_of_its_own(n_jobs, data, tmp_path):
    folder = f"{tmp_path / 'search'}{os.sep}"

    def search():
        grid = {"max_lr": [0.01, 0.1], "schedule": ["constant", "one_cycle"]}
        clf = small(max_epochs=1, checkpoint=folder)
        with parallel_backend("loky"):
            return GridSearchCV(clf, grid, cv=2, n_jobs=n_jobs).fit(*data)

    first = search()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "search").glob("*.safetensors")}
    assert len(files) == 2 * 2 * 2 + 1  # and the best one on all data
    again = search()
    assert files == {path: path.stat().st_mtime_ns for path in files}
    np.testing.assert_array_equal(
        first.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"]
    )


@can_fork
def test_a_comparison_goes_on_in_the_middle_of_a_training(data, tmp_path):
    X, y = data
    split = X[:120], y[:120], X[120:], y[120:]

    def compare(checkpoint=None, store=None):
        candidates = {
            "one": small(checkpoint=checkpoint, validation_fraction=0.2),
            "two": small(checkpoint=checkpoint, schedule="batch_doubling"),
        }
        return compare_schedules(candidates, *split, seeds=2, store=store)

    expected = compare()
    for n in (2, 7, 15):
        folder = tmp_path / str(n)
        folder.mkdir()
        given = {"checkpoint": folder, "store": tmp_path / f"{n}.csv"}
        assert killed_at(n, lambda given=given: compare(**given)) == n
        resumed = compare(**given)
        assert_frames_alike(resumed.runs, expected.runs)
        assert_frames_alike(resumed.history, expected.history)


def assert_frames_alike(actual, expected):
    for frame in (actual, expected):
        assert (frame["seconds"] > 0).all()
    left, right = (frame.drop(columns="seconds") for frame in (actual, expected))
    assert left.equals(right)


def test_it_is_a_parameter_like_any_other(data, tmp_path):
    clf = small(checkpoint=tmp_path / "a", checkpoint_every=0.5, max_epochs=1).fit(*data)
    assert clone(clf).get_params()["checkpoint"] == tmp_path / "a"
    again = pickle.loads(pickle.dumps(clf))
    assert (again.checkpoint, again.checkpoint_every) == (tmp_path / "a", 0.5)
    np.testing.assert_array_equal(again.predict_proba(data[0]), clf.predict_proba(data[0]))


def test_a_classifier_that_was_pickled_before_there_were_checkpoints_has_none():
    clf = CLRLeNetClassifier()
    state = clf.__getstate__()
    del state["checkpoint"], state["checkpoint_every"]
    old = CLRLeNetClassifier.__new__(CLRLeNetClassifier)
    old.__setstate__(state)
    assert (old.checkpoint, old.checkpoint_every) == (None, 1.0)
    assert clone(old).get_params(deep=False) == clf.get_params(deep=False)


def test_nothing_is_written_more_often_than_was_asked_for(data, tmp_path, monkeypatch):
    written = []
    write = CheckpointFile.write
    monkeypatch.setattr(CheckpointFile, "write", lambda *a: written.append(a) or write(*a))
    for every, n in [(1.0, 4), (2.0, 2), (0.5, 7), (100, 1)]:
        written.clear()
        small(checkpoint=tmp_path / str(every), checkpoint_every=every).fit(*data)
        assert len(written) == 1 + n  # at the beginning, and as it is due, and at the end
