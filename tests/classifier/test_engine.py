"""Trainings whose network is computed by numba, with the classifier around it."""

import importlib.metadata
import threading

import numpy as np
import pytest
import torch
from classifiers import bright_rows, by_numba, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.exceptions import DivergenceError
from skclr.lenet import LeNet5


@pytest.fixture(scope="module")
def images():
    return bright_rows()


@pytest.mark.parametrize("batch_size", [40, 64, 100, 240])
def test_a_training_has_the_same_bits_for_any_number_of_threads(images, batch_size):
    n_threads, outcomes = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            outcomes.append(by_numba(batch_size=batch_size).fit(*images))
    finally:
        torch.set_num_threads(n_threads)
    for other in outcomes[1:]:
        assert_array_equal(weights(other), weights(outcomes[0]))
        assert_array_equal(other.predict_proba(images[0]), outcomes[0].predict_proba(images[0]))


def test_a_training_ends_as_with_the_operations_of_torch_up_to_rounding(images, calls_of_numba):
    with_numba = by_numba().fit(*images)
    assert calls_of_numba
    calls_of_numba.clear()
    with_torch = by_numba(module__engine="torch").fit(*images)
    assert not calls_of_numba
    assert_allclose(weights(with_numba), weights(with_torch), atol=1e-4)
    assert with_numba.score(*images) == with_torch.score(*images) == 1
    for clf in (with_numba, clone(with_numba)):
        assert clf.get_params()["module__engine"] == "numba"


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_an_answer_in_another_thread_than_that_of_a_training_waits_for_nobody(images, engine):
    X = np.concatenate([images[0]] * 4)
    answering = by_numba(module__engine=engine).fit(*images)
    expected, found = answering.forward(X), []
    n_threads = torch.get_num_threads()

    def answer():
        for _ in range(20):
            found.append(torch.equal(answering.forward(X), expected))

    torch.set_num_threads(2)
    try:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        by_numba(module__engine=engine, max_epochs=8).fit(*images)
        thread.join(timeout=120)
    finally:
        torch.set_num_threads(n_threads)
    assert found == [True] * 20


def test_pieces_that_threads_share_have_parts_that_one_thread_computes():
    y = np.arange(700) % 3
    X = np.random.default_rng(0).integers(255, size=(700, 28, 28), dtype=np.uint8)
    n_threads, outcomes = torch.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            outcomes.append(by_numba(batch_size=700, validation_fraction=0.3).fit(X, y))
    finally:
        torch.set_num_threads(n_threads)
    for other in outcomes[1:]:
        assert_array_equal(weights(other), weights(outcomes[0]))


def test_a_search_goes_over_engines(images):
    search = GridSearchCV(
        by_numba(), {"module__engine": ["torch", "numba"], "max_lr": [0.1]}, cv=2, n_jobs=2
    ).fit(*images)
    assert_allclose(search.cv_results_["mean_test_score"], 1)


def test_weights_fit_either_engine(images, tmp_path):
    clf = by_numba().fit(*images)
    clf.save_params(f_params=tmp_path / "weights.safetensors", use_safetensors=True)
    for engine in ("torch", "numba"):
        other = by_numba(module__engine=engine)
        other.load_params(f_params=tmp_path / "weights.safetensors", use_safetensors=True)
        assert other.module_.engine == engine
        assert_allclose(
            other.predict_proba(images[0]), clf.predict_proba(images[0]), rtol=0, atol=2e-6
        )


def test_a_checkpoint_is_that_of_one_engine(images, tmp_path):
    clf = by_numba(checkpoint=tmp_path / "file").fit(*images)
    with pytest.raises(ValueError, match="module__engine is 'numba' there and 'torch' here"):
        by_numba(checkpoint=tmp_path / "file", module__engine="torch").fit(*images)
    again = by_numba(checkpoint=tmp_path / "file").fit(*images)
    assert_array_equal(weights(again), weights(clf))


def test_a_network_that_is_given_has_its_engine_told_apart(images, tmp_path):
    def given(engine, **parameters):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = LeNet5(n_classes=3, engine=engine)
        return CLRLeNetClassifier(
            module, max_lr=0.1, max_epochs=1, random_state=0, verbose=0, **parameters
        )

    given("numba", checkpoint=tmp_path / "file").fit(*images)
    with pytest.raises(ValueError, match="checkpoint of another training"):
        given("torch", checkpoint=tmp_path / "file").fit(*images)
    with pytest.raises(ValueError, match="compile=True has torch compile"):
        given("numba", compile=True).fit(*images)


def test_a_checkpoint_is_that_of_one_version_of_numba(images, tmp_path, monkeypatch):
    by_numba(checkpoint=tmp_path / "file").fit(*images)
    versions = importlib.metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version", lambda name: "0.1" if name == "numba" else versions(name)
    )
    with pytest.raises(ValueError, match=r"numba is \S+ there and 0\.1 here"):
        by_numba(checkpoint=tmp_path / "file").fit(*images)
    by_numba(checkpoint=tmp_path / "other", module__engine="torch").fit(*images)


def test_a_divergence_is_told(images):
    with pytest.raises(DivergenceError):
        by_numba(max_lr=1e38, schedule="constant").fit(*images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"module__engine": "fast"}, "engine must be"),
        ({"module__activation": nn.ReLU}, "computes tanh"),
        ({"compile": True}, "compile=True has torch compile"),
    ],
)
def test_what_numba_would_not_compute_is_refused_before_training(images, parameters, message):
    clf = by_numba(**parameters)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(*images)
    assert vars(clf).keys() == before.keys()


def test_another_device_is_refused(images, monkeypatch):
    monkeypatch.setattr("skclr.classifier._estimator.check_device", lambda *args, **named: None)
    with pytest.raises(ValueError, match="computes on the CPU, and device is 'cuda'"):
        by_numba(device="cuda").fit(*images)
