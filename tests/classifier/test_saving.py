"""Copies, pickles and files."""

import copy
import functools
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from classifiers import Flat, bits, in_a_fresh_process, lenet
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip

SCHEDULES = [
    "constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving", "cosine",
    "cosine_restarts",
    "batch_doubling",
]  # fmt: skip


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 2, "max_lr": 0.01, "random_state": 0} | params)
    )


def rows(X):
    return X.reshape(len(X), -1)


def _by_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "joblib": _by_joblib,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("schedule", [*SCHEDULES, functools.partial(max, 0.01)], ids=str)
def test_a_copy_predicts_and_learns_on_bit_for_bit(two_classes, copied, schedule):
    X, y = two_classes
    clf = lenet(schedule=schedule, augmentation=RandomShiftFlip(), validation_fraction=0.2)
    if callable(schedule):
        clf.set_params(schedule=_tenth)
    clf.fit(X, y)
    other = copied(clf)
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    pd.testing.assert_frame_equal(other.history_frame(), clf.history_frame())
    assert_array_equal(
        other.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X)
    )
    assert_array_equal(copied(lenet()).fit(X, y).predict(X), lenet().fit(X, y).predict(X))


def _tenth(iteration):
    return 0.1


def test_a_copy_holds_no_images(fashion):
    X, y = fashion
    few = len(pickle.dumps(quick(batch_size=50, validation_fraction=0.5).fit(X[:100], y[:100])))
    many = len(pickle.dumps(quick(batch_size=200, validation_fraction=0.5).fit(X, y)))
    assert many < few + 1000


LABELS = {
    "int": lambda y: y,
    "str": lambda y: np.where(y == 1, "trouser", "stövel"),
    "object": lambda y: np.where(y == 1, "trouser", "boot").astype(object),
    "bool": lambda y: y == 1,
    "float": lambda y: y.astype(float),
    "date": lambda y: np.where(y == 1, "2020-01-01", "2021-01-01").astype("datetime64[D]"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("standardize", [True, False])
def test_safetensors_make_a_classifier_of_a_new_one(two_classes, tmp_path, kind, standardize):
    X, y = two_classes
    labels = LABELS[kind](y)
    clf = lenet(standardize=standardize, max_lr=0.01).fit(X, labels)
    clf.save_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
    loaded = lenet(standardize=standardize)
    loaded.load_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(loaded.predict(X), clf.predict(X))
    assert loaded.classes_.dtype == clf.classes_.dtype
    with pytest.raises(ValueError, match="shape"):
        loaded.predict(X[:, 1:])


def test_safetensors_remember_the_names_of_columns(two_classes, tmp_path):
    X, y = two_classes
    frame = pd.DataFrame(rows(X), columns=[f"pixel{i}" for i in range(784)])
    clf = quick().fit(frame, y)
    file = io.BytesIO()
    clf.save_params(f_params=file, use_safetensors=True)
    file.seek(0)
    loaded = quick()
    loaded.load_params(f_params=file, use_safetensors=True)
    assert_array_equal(loaded.feature_names_in_, clf.feature_names_in_)
    assert_array_equal(loaded.predict(frame), clf.predict(frame))


def test_a_loaded_classifier_learns_on(two_classes, tmp_path):
    X, y = two_classes
    lenet().fit(X, y).save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # has nothing to say
        loaded = lenet()
        loaded.load_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
        results.append(bits(loaded.partial_fit(X, y), X))
        assert len(loaded.history_frame()) == 1
    assert results[0] == results[1]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x05\0\0\0\0\0\0\0{}   ", b"\xff" * 100])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="no file of CLRLeNetClassifier"):
        lenet().load_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)


def test_there_is_nothing_to_save_before_fit(tmp_path):
    with pytest.raises(NotFittedError):
        lenet().save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    assert list(tmp_path.iterdir()) == []


LOAD_AND_TELL = """
import hashlib, sys
import numpy as np
from skclr import CLRLeNetClassifier
def refuse(event, args):
    assert event != "pickle.find_class", "a pickle was read"
X = np.load(sys.argv[2])["X"]
clf = CLRLeNetClassifier()
sys.addaudithook(refuse)
clf.load_params(f_params=sys.argv[1], use_safetensors=True)
print(hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest(), clf.predict(X)[0])
"""


@pytest.mark.slow
def test_safetensors_predict_the_same_bits_in_a_fresh_process_without_a_pickle(fashion, tmp_path):
    X, y = fashion
    names = np.array([f"class{label}" for label in y])
    clf = lenet().fit(X, names)
    clf.save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    np.savez(tmp_path / "data.npz", X=X)
    told = in_a_fresh_process(LOAD_AND_TELL, tmp_path / "m.safetensors", tmp_path / "data.npz")
    assert told == [bits(clf, X), clf.predict(X)[0]]


def test_labels_with_room_for_longer_ones_are_saved(two_classes, tmp_path):
    X, y = two_classes
    labels = np.where(y == 1, "trouser", "boot").astype("U100")
    quick().fit(X, labels).save_params(f_params=tmp_path / "m", use_safetensors=True)
    loaded = quick()
    loaded.load_params(f_params=tmp_path / "m", use_safetensors=True)
    assert loaded.classes_.tolist() == ["boot", "trouser"]
