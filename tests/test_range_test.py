"""Real sweeps and real candidates, and what they leave as it was."""

import pickle
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import skorch
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from skorch.callbacks import Checkpoint, EarlyStopping, GradientNormClipping
from torch import nn

from skclr import CLRLeNetClassifier
from skclr import range_test as rt
from skclr._sweeps import _sweep
from skclr.callbacks import StopTraining
from skclr.datasets import load_fashion_mnist_sample


@pytest.fixture(scope="module")
def images():
    X, y = load_fashion_mnist_sample(return_X_y=True)
    return X[:1500], y[:1500]


@pytest.fixture(scope="module")
def result(images):
    return rt.lr_range_test(CLRLeNetClassifier(), *images, random_state=0)


@pytest.mark.slow
def test_a_real_sweep_finds_the_rates_that_train_lenet(result):
    assert 1e-5 < result.base_lr < 1e-2
    assert 0.02 < result.max_lr < 0.3
    assert result.suggestions["basin"] == result.max_lr
    assert set(result.suggestions) == {
        "steepest", "valley", "minimum", "minimum_tenth", "slide", "first_fall", "basin",
    }  # fmt: skip


def test_a_result_has_a_row_for_each_sweep_and_rate(result):
    n_sweeps = len(result.losses)
    assert result.lrs.shape == (184,)
    assert result.losses.shape == result.smoothed.shape == (n_sweeps, 184)
    frame = result.to_frame()
    assert list(frame.columns) == ["repeat", "lr", "loss", "smoothed_loss"]
    assert len(frame) == n_sweeps * 184
    assert np.isnan(result.losses[:, -1]).all()  # 10 is too much for any repeat


def test_the_updates_of_three_sweeps_go_to_more_of_them_where_the_loss_moves(result):
    begins = np.isfinite(result.losses).argmax(axis=1)
    assert (begins[:2] == 0).all()
    assert len(set(begins[2:])) == 1
    assert 3e-5 < result.lrs[begins[2]] < result.max_lr / 20
    assert len(result.losses) >= 10
    widest = np.isfinite(result.losses[2:]).sum(axis=1).max()
    assert 2 * 184 + (len(result.losses) - 2) * widest <= 5 * 184
    assert result.losses[2:, begins[2]] == pytest.approx(np.log(10), rel=0.15)  # new networks


def test_the_sweeps_over_all_rates_are_those_of_fewer_repeats(result, images):
    two = rt.lr_range_test(CLRLeNetClassifier(), *images, n_repeats=2, random_state=0)
    np.testing.assert_array_equal(two.losses, result.losses[:2])
    assert two.suggestions["steepest"] == result.suggestions["steepest"]


@pytest.mark.parametrize(
    ("sweep", "n_rows"),
    [
        ({"mode": "linear", "min_lr": 1e-4, "max_lr": 0.1, "n_iter": 20}, 4),
        ({"min_lr": 1e-8, "max_lr": 1e-7, "n_iter": 20}, 4),  # in which nothing falls
    ],
)
def test_all_sweeps_go_over_all_rates_where_no_part_of_them_is_to_be_told(images, sweep, n_rows):
    X, y = images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rt.RangeTestWarning)
        result = rt.lr_range_test(CLRLeNetClassifier(), X, y, n_repeats=4, random_state=0, **sweep)
    assert len(result.losses) == n_rows
    assert np.isfinite(result.losses[:, 0]).all()


def test_the_answer_does_not_depend_on_the_number_of_jobs(result, images):
    again = rt.lr_range_test(CLRLeNetClassifier(), *images, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(again.losses, result.losses)
    assert again.suggestions == result.suggestions


def test_the_estimator_is_left_as_it_was(images):
    clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(*images)
    params = clf.get_params()
    weights = {name: value.clone() for name, value in clf.module_.state_dict().items()}
    history = clf.history_.to_list()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    rt.lr_range_test(clf, *images, n_iter=30, n_repeats=1, min_lr=1e-4, random_state=0)
    assert clf.get_params(deep=False).items() <= params.items()
    assert clf.history_.to_list() == history
    for name, value in clf.module_.state_dict().items():
        assert torch.equal(value, weights[name])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_any_skorch_classifier_is_swept_with_all_its_parameter_groups(images):
    X, y = images
    X = (X.reshape(len(X), -1) / 255).astype("float32")
    net = skorch.NeuralNetClassifier(
        nn.Sequential(nn.Linear(784, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__param_groups=[("0.*", {"weight_decay": 1e-4})],
        batch_size=128,
    )
    result = rt.lr_range_test(net, X, y, n_repeats=2, random_state=0)
    assert 1e-4 < result.max_lr < 0.3
    assert not net.initialized_


def test_a_set_smaller_than_the_sweep_is_gone_round(images):
    X, y = images
    result = rt.lr_range_test(
        CLRLeNetClassifier(), X[:100], y[:100], n_iter=60, n_repeats=1, max_lr=0.1, random_state=0
    )
    assert np.isfinite(result.losses).all()


def test_the_sweep_can_be_linear(images):
    result = rt.lr_range_test(
        CLRLeNetClassifier(), *images, mode="linear", min_lr=1e-4, max_lr=0.1, n_iter=50,
        n_repeats=1, random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(result.lrs, np.linspace(1e-4, 0.1, 50))


@pytest.mark.parametrize(
    "bad",
    [
        {"min_lr": 1.0, "max_lr": 0.1},
        {"min_lr": -1.0},
        {"max_lr": np.inf},
        {"max_lr": "1"},
        {"n_iter": 1},
        {"n_iter": 0},
        {"n_iter": 9},
        {"n_repeats": 0},
        {"n_repeats": 1.5},
        {"mode": "cubic"},
    ],
)
def test_bad_parameters_are_answered_before_any_sweep(bad, images, monkeypatch):
    monkeypatch.setattr(_sweep, "_sweep_once", lambda *args: pytest.fail("a sweep was made"))
    with pytest.raises(ValueError, match=next(iter(bad))):
        rt.lr_range_test(CLRLeNetClassifier(), *images, **bad)


def test_only_a_skorch_net_can_be_swept(images):
    with pytest.raises(TypeError, match="skorch net"):
        rt.lr_range_test(MinMaxScaler(), *images)


def test_a_result_shows_its_answers_and_not_its_arrays(result):
    assert "array" not in repr(result)
    assert f"max_lr={result.max_lr}" in repr(result)


def test_a_warning_points_at_the_line_that_asked_for_the_sweeps(images):
    with pytest.warns(rt.RangeTestWarning, match="never falls.*raise max_lr") as caught:
        rt.lr_range_test(
            CLRLeNetClassifier(), *images, min_lr=1e-8, max_lr=1e-7, n_iter=20, n_repeats=1,
            random_state=0,
        )  # fmt: skip
    assert [warning.filename for warning in caught] == [__file__]


# ---------------------------------------------------------------- candidates


@pytest.mark.slow
def test_candidates_find_the_best_of_a_few_rates_and_survive_one_that_diverges(images):
    clf = CLRLeNetClassifier(standardize=False)
    lrs = [1e-8, 1e-3, 0.05, 1e8]
    result = rt.lr_candidates_test(clf, *images, lrs=lrs, epochs=2, random_state=0)
    X = images[0] / 255.0
    scaled = rt.lr_candidates_test(clf, X, images[1], lrs=lrs, epochs=2, random_state=0, n_jobs=2)
    assert scaled.max_lr == 0.05
    assert scaled.losses[0, 0] == pytest.approx(np.log(10), abs=0.15)
    assert scaled.losses[0, 3] > 100 or np.isnan(scaled.losses[0, 3])
    assert result.losses.shape == (1, 4)


def test_a_candidate_is_the_last_epochs_loss_of_a_plain_training_at_that_rate(images):
    result = rt.lr_candidates_test(
        CLRLeNetClassifier(), *images, lrs=[0.01, 0.02], epochs=2, random_state=5
    )
    (seed,) = np.random.RandomState(5).randint(2**31, size=1)
    alone = CLRLeNetClassifier(
        schedule="constant", max_lr=0.02, max_epochs=2, random_state=int(seed)
    ).fit(*images)
    assert result.losses[0, 1] == pytest.approx(alone.history_frame()["train_loss"].iloc[-1])


def test_candidates_must_be_numbers_above_zero(images):
    for lrs in ([0.1], [0.0, 0.1], [0.1, np.nan]):
        with pytest.raises(ValueError, match="lrs must be two or more"):
            rt.lr_candidates_test(CLRLeNetClassifier(), *images, lrs=lrs)


def test_a_clone_and_a_pipeline_take_the_measured_range(images, result):
    clf = clone(CLRLeNetClassifier(max_epochs=1, random_state=0)).set_params(
        base_lr=result.base_lr, max_lr=result.max_lr
    )
    X, y = images
    pipeline = make_pipeline(MinMaxScaler(), clf).fit(X.reshape(len(X), -1), y)
    assert pipeline[-1].history_frame("batch")["lr"].max() <= result.max_lr


# ---------------------------------------------------------------- a user's own ways


FITTED_IN_A_NOTEBOOK = """
import numpy as np
from torch import nn
from skclr import CLRLeNetClassifier, compare_schedules, lr_candidates_test, lr_range_test

class Flat(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.linear = nn.Linear(1024, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))

X, y = np.random.RandomState(0).rand(40, 8, 8), np.arange(40) % 2
clf = CLRLeNetClassifier(Flat, max_epochs=1, random_state=0).fit(X, y)
lr_range_test(clf, X, y, n_iter=10, n_repeats=2, min_lr=1e-5, max_lr=1e-4, n_jobs=2)
lr_candidates_test(clf, X, y, lrs=[0.01, 0.1], epochs=1, n_jobs=2)
compared = compare_schedules({"one": clf, "two": clf}, X, y, X, y, seeds=1, n_jobs=2)
print(*compared.runs["status"])
"""


@pytest.mark.slow
def test_a_fitted_network_of_a_class_of_the_notebook_is_trained_in_other_processes():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FITTED_IN_A_NOTEBOOK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["ok", "ok"], done.stderr


def test_callbacks_that_stop_or_save_are_left_out_with_their_parameters(images, tmp_path):
    clf = CLRLeNetClassifier(
        callbacks=[("es", EarlyStopping()), ("save", Checkpoint(dirname=tmp_path))],
        callbacks__es__patience=1,
        callbacks__print_log=None,
    )
    result = rt.lr_range_test(clf, *images, n_iter=30, n_repeats=1, min_lr=1e-5, random_state=0)
    assert len(result.lrs) == 30
    assert not list(tmp_path.iterdir())


def test_an_interrupt_that_a_plain_net_swallows_is_passed_on(images):
    class Interrupting(torch.nn.Linear):
        def forward(self, x):
            signal.raise_signal(signal.SIGINT)

    X, y = images
    X = (X.reshape(len(X), -1) / 255).astype("float32")
    net = skorch.NeuralNetClassifier(
        Interrupting, module__in_features=784, module__out_features=10, verbose=0
    )
    with pytest.raises(KeyboardInterrupt):
        rt.lr_range_test(net, X, y, n_iter=20, n_repeats=1)
    with pytest.raises(KeyboardInterrupt):
        rt.lr_candidates_test(net, X, y, lrs=[0.01, 0.1], epochs=1)


class StopAtFifthUpdate(GradientNormClipping):
    """Stops the training, and is kept in a sweep because it clips gradients."""

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if len(net.history[-1]["batches"]) == 5:
            raise StopTraining


def test_a_sweep_that_something_else_stopped_is_no_answer_and_no_interrupt(images):
    clf = CLRLeNetClassifier(callbacks=[StopAtFifthUpdate()])
    with pytest.raises(ValueError, match="sweep ended after 4 of 20 updates"):
        rt.lr_range_test(clf, *images, n_iter=20, n_repeats=1, random_state=0)
    with pytest.raises(ValueError, match=r"rate 0\.01 ended after 0 of 2 epochs"):
        rt.lr_candidates_test(clf, *images, lrs=[0.01, 0.1], epochs=2, random_state=0)


def test_epochs_without_batches_are_said_to_be_so(images):
    X, y = images
    X = (X.reshape(len(X), -1) / 255).astype("float32")
    net = skorch.NeuralNetClassifier(
        nn.Linear, module__in_features=784, module__out_features=10, criterion=nn.CrossEntropyLoss,
        batch_size=2000, iterator_train__drop_last=True, verbose=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="epochs have no batches"):
        rt.lr_range_test(net, X, y, n_iter=20, n_repeats=1)
    with pytest.raises(ValueError, match="epochs have no batches"):
        rt.lr_candidates_test(net, X, y, lrs=[0.01, 0.1], epochs=1)


@pytest.mark.parametrize(
    ("name", "arguments"), [("_always", (0.1, 5)), ("_unchanging", (5,)), ("_StopNotFinite", ())]
)
def test_what_pickles_of_before_refer_to_is_still_found(name, arguments):
    found = pickle.loads(f"cskclr.range_test\n{name}\n.".encode())
    answer = found(*arguments)
    assert answer == 0.1 if name == "_always" else answer == 0.0 or callable(answer.on_batch_end)
