import copy
import math
import pickle
import shutil
import signal
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import skorch.dataset
import torch
import torch._inductor.config
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring
from torch import nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms.v2.functional import pil_to_tensor

from skclr import CLRLeNetClassifier, DivergenceError, LeNet5, schedules
from skclr.callbacks import LRRangeTest
from skclr.range_test import lr_range_test

NAMES = np.array(
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
)


class Flat(nn.Module):
    """A linear classifier, for tests in which the network does not matter."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(in_channels * 32 * 32, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))


class Spy(Callback):
    """Note the samples, the rates and the mode of every batch."""

    def __init__(self):
        self.training_, self.validation_, self.rates_ = [], [], []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        (self.training_ if training else self.validation_).append(batch)

    def on_grad_computed(self, net, named_parameters, training=None, **kwargs):
        self.rates_.append(net.optimizer_.param_groups[0]["lr"])


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 1, "max_lr": 0.01, "random_state": 0} | params)
    )


def lenet(**params):
    return CLRLeNetClassifier(**({"max_epochs": 1, "batch_size": 16, "random_state": 0} | params))


def weights(clf):
    return torch.cat([value.flatten() for value in clf.module_.state_dict().values()]).numpy()


def rates(clf):
    return clf.history_frame("batch")["lr"].to_numpy()


# ---------------------------------------------------------------- what comes in


def _forms(X):
    """Return the same gray images in every form that is taken."""
    rows = X.reshape(len(X), -1)
    return {
        "rows": rows,
        "images": X,
        "channel first": X[:, None],
        "channel last": X[..., None],
        "list of rows": rows.tolist(),
        "DataFrame": pd.DataFrame(rows),
        "named DataFrame": pd.DataFrame(rows, columns=[f"pixel{i}" for i in range(784)]),
        "tensor of rows": torch.from_numpy(rows),
        "tensor of images": torch.from_numpy(X),
        "tensor, channel first": torch.from_numpy(X[:, None]),
        "tensor, channel last": torch.from_numpy(X[..., None]),
        "tensor with a gradient": torch.from_numpy(X.astype(np.float32)).requires_grad_(),
        "Fortran order": np.asfortranarray(X),
        "every second": np.repeat(X, 2, axis=0)[::2],
        "backwards": X[::-1].copy()[::-1],
        "big-endian": X.astype(">i2"),
        "read-only": _read_only(X),
    }


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


@pytest.mark.parametrize("form", _forms(np.zeros((2, 28, 28), np.uint8)))
def test_every_form_of_the_images_gives_the_same_model(two_classes, form):
    X, y = two_classes
    expected = lenet().fit(X, y)
    given = _forms(X)[form]
    clf = lenet().fit(given, y)
    assert clf.image_shape_ == (1, 28, 28)
    assert clf.n_features_in_ == 784
    another_dtype = form in ("list of rows", "tensor with a gradient", "big-endian")
    assert_allclose(weights(clf), weights(expected), rtol=0, atol=1e-4 * another_dtype)
    assert_allclose(clf.predict_proba(given), expected.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("predicted", ["rows", "images", "channel first", "channel last"])
@pytest.mark.parametrize("fitted", ["rows", "images", "channel first", "channel last"])
def test_prediction_takes_another_form_than_fit(two_classes, fitted, predicted):
    X, y = two_classes
    clf = quick().fit(_forms(X)[fitted], y)
    assert_array_equal(clf.predict_proba(_forms(X)[predicted]), clf.predict_proba(X))


@pytest.mark.parametrize(
    "dtype", ["int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64", "g"]
)
def test_every_dtype_of_the_same_pixels_gives_the_same_model(two_classes, dtype):
    X, y = two_classes
    expected = lenet().fit(X, y).predict_proba(X)
    assert_allclose(lenet().fit(X.astype(dtype), y).predict_proba(X), expected, atol=1e-3)


@pytest.mark.parametrize("torch_dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_every_float_dtype_are_taken(two_classes, torch_dtype):
    X, y = two_classes
    expected = lenet().fit(X, y).predict_proba(X)
    tensor = torch.from_numpy(X).to(torch_dtype)  # 8 bits are exact even in bfloat16
    assert_allclose(lenet().fit(tensor, y).predict_proba(X), expected, atol=1e-3)


def test_pixels_from_0_to_255_and_from_0_to_1_give_the_same_model(two_classes):
    X, y = two_classes
    expected = lenet().fit(X, y).predict_proba(X)
    unit = X / 255
    for scaled in (unit, unit.astype(np.float32)):
        assert_allclose(lenet().fit(scaled, y).predict_proba(scaled), expected, atol=1e-3)


def test_black_and_white_images_may_be_bool(two_classes):
    X, y = two_classes
    X = X > 100
    expected = lenet().fit(X.astype(np.uint8), y)
    assert_array_equal(weights(lenet().fit(X, y)), weights(expected))


def test_colour_images_come_with_their_channels_first_or_last(two_classes):
    X, y = two_classes
    colour = np.stack([X, X // 2, 255 - X], axis=1)
    first = lenet().fit(colour, y)
    last = lenet().fit(np.moveaxis(colour, 1, 3), y)
    assert first.image_shape_ == last.image_shape_ == (3, 28, 28)
    assert first.n_features_in_ == 3 * 784
    assert first.module_.in_channels == 3
    assert_array_equal(weights(first), weights(last))
    assert_array_equal(first.predict_proba(colour), last.predict_proba(np.moveaxis(colour, 1, 3)))
    assert_allclose(first.pixel_mean_, colour.mean(axis=(0, 2, 3)))
    assert_allclose(first.pixel_std_, colour.std(axis=(0, 2, 3)))


@pytest.mark.parametrize("shape", [(28, 20), (20, 28), (5, 40), (64, 48), (1, 1), (33, 33)])
def test_images_of_any_shape_are_taken(shape):
    X = np.random.RandomState(0).randint(0, 255, (20, *shape), np.uint8)
    clf = quick().fit(X, np.arange(20) % 2)
    assert clf.image_shape_ == (1, *shape)
    assert clf.predict(X).shape == (20,)


def test_rows_whose_length_is_no_square_are_padded_to_the_next(two_classes):
    X, y = two_classes
    rows = X.reshape(len(X), -1)[:, :770]
    padded = np.pad(rows, ((0, 0), (0, 14)))
    clf = lenet(standardize=False, max_lr=0.01).fit(rows / 255, y)
    expected = lenet(standardize=False, max_lr=0.01).fit(padded / 255, y)
    assert clf.n_features_in_ == 770
    assert clf.image_shape_ == (1, 28, 28)
    assert_array_equal(weights(clf), weights(expected))


def test_names_of_columns_are_kept_and_checked(two_classes):
    X, y = two_classes
    frame = pd.DataFrame(X.reshape(len(X), -1), columns=[f"pixel{i}" for i in range(784)])
    clf = quick().fit(frame, y)
    assert_array_equal(clf.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame.rename(columns={"pixel0": "corner"}))
    assert not hasattr(clf.fit(X, y), "feature_names_in_")


def test_a_memory_map_is_taken_as_it_is(two_classes, tmp_path):
    X, y = two_classes
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_array_equal(weights(lenet().fit(mapped, y)), weights(lenet().fit(X, y)))


def test_the_data_are_not_changed(two_classes):
    X, y = two_classes
    for given in (X.copy(), (X / 255).astype(np.float32), (X / 255)):
        kept, labels = given.copy(), y.copy()
        clf = lenet(augmentation=lambda images: images.mul_(0.5)).fit(given, y)
        clf.predict_proba(given)
        assert_array_equal(given, kept)
        assert_array_equal(y, labels)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("augmentation", [None, lambda images: images.mul_(0).add_(9)])
def test_neither_network_nor_augmentation_can_write_into_32_x_32_float_images(
    standardize, augmentation
):
    class Rude(Flat):
        def forward(self, images):
            with torch.no_grad():
                images.zero_()
            return super().forward(images)

    X = np.random.RandomState(0).rand(20, 1, 32, 32).astype(np.float32)
    kept = X.copy()
    clf = quick(module=Rude, standardize=standardize, augmentation=augmentation)
    clf.fit(X, np.arange(20) % 2).predict(X)
    assert_array_equal(X, kept)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "make_labels",
    [
        lambda y: NAMES[y],
        lambda y: NAMES[y].astype(object),
        lambda y: y * 7 - 20,
        lambda y: y.astype(np.uint8),
        lambda y: y.astype(float),
        lambda y: y == 9,
        lambda y: NAMES[y].tolist(),
        lambda y: torch.from_numpy(y.astype(np.int64)),
        lambda y: pd.Series(NAMES[y]),
        lambda y: pd.Series(pd.Categorical(NAMES[y])),
    ],
    ids=[
        "str", "object", "any ints", "uint8", "float", "bool", "list", "tensor", "Series",
        "Categorical",
    ],
)  # fmt: skip
def test_labels_of_every_kind_are_learned_and_predicted(two_classes, make_labels):
    X, y = two_classes
    labels = make_labels(y)
    clf = lenet(max_epochs=4).fit(X, labels)
    expected = np.asarray(labels)
    assert_array_equal(clf.classes_, np.unique(expected))
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    assert accuracy_score(expected, predicted) > 0.9
    assert clf.score(X, labels) == accuracy_score(expected, predicted)


def test_labels_do_not_change_the_model(two_classes):
    X, y = two_classes
    expected = lenet().fit(X, y)
    named = lenet().fit(X, np.where(y == 1, "a", "b"))
    assert_array_equal(weights(named), weights(expected))
    assert_array_equal(named.classes_, ["a", "b"])


def test_labels_in_a_column_are_taken_with_a_warning(two_classes):
    X, y = two_classes
    with pytest.warns(DataConversionWarning):
        clf = quick().fit(X, y[:, None])
    assert clf.predict(X).shape == (60,)


def test_probabilities_belong_to_the_classes_in_order(fashion):
    X, y = fashion
    clf = lenet(max_epochs=5).fit(X, NAMES[y])
    proba = clf.predict_proba(X)
    assert proba.shape == (400, 10)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert clf.score(X, NAMES[y]) > 0.6

    clf.module_.eval()
    logits = clf.forward(X, training=False)
    assert_allclose(torch.softmax(logits, 1).numpy(), proba, atol=1e-6)


def test_the_learned_model_tells_new_images_apart(fashion):
    X, y = fashion
    clf = lenet(max_epochs=10).fit(X[:300], y[:300])
    assert clf.score(X[300:], y[300:]) > 0.6


# ---------------------------------------------------------------- standardization


def test_pixels_are_standardized_by_those_of_the_training_data(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    assert_allclose(clf.pixel_mean_, [X.mean()])
    assert_allclose(clf.pixel_std_, [X.std()])
    seen = _seen_by_the_network(X, y, X[:7])
    assert_allclose(seen[:, 0, 2:30, 2:30], (X[:7] - X.mean()) / X.std(), atol=1e-5)
    assert_allclose(seen[:, 0, :2], -X.mean() / X.std(), atol=1e-5)


def test_pixels_are_used_as_they_are_without_standardization(two_classes):
    X, y = two_classes
    clf = quick(standardize=False).fit(X, y)
    assert clf.pixel_mean_ is None
    assert clf.pixel_std_ is None
    seen = _seen_by_the_network(X, y, X[:7], standardize=False)
    assert_array_equal(seen, np.pad(X[:7, None], ((0, 0), (0, 0), (2, 2), (2, 2))))


def _seen_by_the_network(X, y, predicted, **params):
    seen = []

    class Watching(Flat):
        def forward(self, images):
            seen.append(images.clone())
            return super().forward(images)

    clf = quick(module=Watching, **params).fit(X, y)
    seen.clear()
    clf.predict(predicted)
    assert all(images.dtype == torch.float32 for images in seen)
    return torch.cat(seen).numpy()


def test_images_without_any_contrast_are_learned_from_without_complaint():
    X = np.full((20, 28, 28), 7, np.uint8)
    clf = quick().fit(X, np.arange(20) % 2)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_digits_of_large_numbers_are_kept(two_classes):
    X, y = two_classes
    X = np.pad(
        X, ((0, 0), (2, 2), (2, 2))
    )  # 32 x 32: nothing is padded with zeros that are far off
    expected = lenet().fit(X, y).predict_proba(X)
    offset = 1_000_000_000
    for dtype in (np.int64, np.float64, np.int32):
        far = X.astype(dtype) + dtype(offset)
        assert_allclose(lenet().fit(far, y).predict_proba(far), expected, atol=1e-3)


# ---------------------------------------------------------------- validation


def _rows(batches):
    return np.concatenate([np.asarray(images).reshape(len(images), -1) for images, _ in batches])


def _numbered(n):
    """Return tiny images, each with its own number in it, and four classes in equal parts."""
    X = np.zeros((n, 2, 2), np.int32)
    X[:, 0, 0] = np.arange(n)
    return X, np.arange(n) % 4


def test_validation_data_are_held_out_by_class_and_never_trained_on():
    X, y = _numbered(100)
    spy = Spy()
    clf = quick(validation_fraction=0.2, max_epochs=3, callbacks=[spy]).fit(X, y)
    trained, held_out = (set(_rows(b)[:, 0].tolist()) for b in (spy.training_, spy.validation_))
    assert trained | held_out == set(range(100))
    assert not trained & held_out
    assert_array_equal(np.bincount(y[sorted(held_out)]), [5, 5, 5, 5])
    assert len(held_out) == 20
    assert_allclose(clf.pixel_mean_, X[sorted(trained)].mean())
    assert_allclose(clf.pixel_std_, X[sorted(trained)].std())


def _held_out(clf, X, y):
    spy = Spy()
    clf.set_params(callbacks=[spy]).fit(X, y)
    return sorted(_rows(spy.validation_)[:, 0].tolist())


def test_the_held_out_samples_depend_on_random_state_alone():
    X, y = _numbered(100)
    clf = quick(validation_fraction=0.2)
    first = _held_out(clf, X, y)
    torch.manual_seed(123)
    assert _held_out(clone(clf), X, y) == first
    assert _held_out(clone(clf).set_params(random_state=1), X, y) != first


@pytest.mark.parametrize("again", ["partial_fit", "warm_start"])
def test_the_same_samples_stay_held_out_when_training_goes_on(again):
    X, y = _numbered(100)
    spy = Spy()
    clf = quick(validation_fraction=0.2, warm_start=again == "warm_start", callbacks=[spy])
    clf.fit(X, y)
    (clf.fit if again == "warm_start" else clf.partial_fit)(X, y)
    trained, held_out = (set(_rows(b)[:, 0].tolist()) for b in (spy.training_, spy.validation_))
    assert not trained & held_out


def test_validation_data_can_be_given(fashion):
    X, y = fashion
    clf = lenet(max_epochs=2).fit(X[:300], NAMES[y[:300]], X_val=X[300:], y_val=NAMES[y[300:]])
    last = clf.history_frame().iloc[-1]
    expected = log_loss(NAMES[y[300:]], clf.predict_proba(X[300:]), labels=clf.classes_)
    assert last["valid_loss"] == pytest.approx(expected, rel=1e-4)
    assert last["valid_acc"] == pytest.approx(clf.score(X[300:], NAMES[y[300:]]))


def test_validation_data_do_not_change_the_model(fashion):
    X, y = fashion
    without = lenet(max_epochs=2).fit(X[:300], y[:300])
    with_them = lenet(max_epochs=2).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert_array_equal(weights(with_them), weights(without))


@pytest.mark.parametrize(
    ("validation", "params", "message"),
    [
        (lambda X, y: {"X_val": X}, {}, "X_val and y_val"),
        (lambda X, y: {"y_val": y}, {}, "X_val and y_val"),
        (
            lambda X, y: {"X_val": X, "y_val": y},
            {"validation_fraction": 0.2},
            "validation_fraction",
        ),
        (lambda X, y: {"X_val": X[:, 1:], "y_val": y}, {}, r"\(1, 27, 28\)"),
        (lambda X, y: {"X_val": X, "y_val": y[1:]}, {}, "inconsistent"),
        (lambda X, y: {"X_val": X, "y_val": y + 1}, {}, "y_val"),
        (lambda X, y: {"X_val": X / np.nan, "y_val": y}, {}, "NaN"),
        (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, {}, "0 sample"),
        (lambda X, y: {}, {"validation_fraction": 0.001}, "test_size"),
        (lambda X, y: {}, {"validation_fraction": 0.999}, "train_size|train set"),
    ],
)
def test_wrong_validation_data_are_named_before_training(two_classes, validation, params, message):
    X, y = two_classes
    with np.errstate(all="ignore"):
        kwargs = validation(X, y)
    spy = Spy()
    with pytest.raises(ValueError, match=message):
        quick(callbacks=[spy], **params).fit(X, y, **kwargs)
    assert spy.training_ == []


# ---------------------------------------------------------------- training that goes on


CYCLICAL = ["constant", "triangular", "triangular2", "exp_range", "lr_halving", "batch_doubling"]


@pytest.mark.parametrize("schedule", CYCLICAL)
@pytest.mark.parametrize("augmentation", [None, "noise"])
def test_two_epochs_and_two_more_are_four_bit_for_bit(two_classes, schedule, augmentation):
    X, y = two_classes
    params = {"schedule": schedule, "step_size": 1.5, "gamma": 0.99}
    if augmentation:
        params["augmentation"] = lambda images: images + torch.randn_like(images)
    four = lenet(max_epochs=4, **params).fit(X, y)

    resumed = lenet(max_epochs=2, **params).fit(X, y)
    torch.rand(5)  # the global generator has nothing to say
    resumed.partial_fit(X, y)
    warm = lenet(max_epochs=2, warm_start=True, **params).fit(X, y).fit(X, y)
    pickled = pickle.loads(pickle.dumps(lenet(max_epochs=2, **params | {"augmentation": None})))
    for clf in (resumed, warm):
        assert_array_equal(weights(clf), weights(four))
        assert_array_equal(rates(clf), rates(four))
        assert clf.history_frame()["epoch"].tolist() == [1, 2, 3, 4]
    if not augmentation:
        pickled = pickle.loads(pickle.dumps(pickled.fit(X, y))).partial_fit(X, y)
        assert_array_equal(weights(pickled), weights(four))


def test_training_goes_on_bit_for_bit_with_held_out_data_too(two_classes):
    X, y = two_classes
    four = lenet(max_epochs=4, validation_fraction=0.2).fit(X, y)
    resumed = lenet(max_epochs=2, validation_fraction=0.2).fit(X, y).partial_fit(X, y)
    assert_array_equal(weights(resumed), weights(four))


def test_one_cycle_begins_again_in_partial_fit(two_classes):
    X, y = two_classes
    clf = lenet(schedule="one_cycle", max_epochs=2).fit(X, y).partial_fit(X, y)
    half = len(rates(clf)) // 2
    assert_array_equal(rates(clf)[:half], rates(clf)[half:])


def test_fit_begins_anew(two_classes):
    X, y = two_classes
    clf = lenet().fit(X, y)
    once = weights(clf)
    clf.fit(X, y)
    assert_array_equal(weights(clf), once)
    assert len(clf.history_frame()) == 1


def test_a_cold_fit_may_have_other_images_and_other_labels(two_classes, fashion):
    clf = lenet().fit(*two_classes)
    X, y = fashion
    clf.fit(X[:, 2:-2], NAMES[y])
    assert clf.image_shape_ == (1, 24, 28)
    assert clf.predict_proba(X[:, 2:-2]).shape == (400, 10)


def test_partial_fit_can_be_the_first_call_and_be_told_all_classes(fashion):
    X, y = fashion
    some = np.isin(y, (0, 1))
    clf = quick().partial_fit(X[some], y[some], classes=np.arange(10))
    assert_array_equal(clf.classes_, np.arange(10))
    clf.partial_fit(X, y)
    assert clf.predict_proba(X).shape == (400, 10)
    assert clf.history_frame()["epoch"].tolist() == [1, 2]


def test_partial_fit_takes_a_batch_of_a_single_class(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    clf.partial_fit(X[y == 1], y[y == 1])
    assert len(clf.history_frame()) == 2


@pytest.mark.parametrize("schedule", ["triangular", "one_cycle", "batch_doubling"])
def test_partial_fit_takes_another_number_of_samples(fashion, schedule):
    X, y = fashion
    clf = quick(schedule=schedule, batch_size=32).fit(X, y)
    clf.partial_fit(X[:50], y[:50])
    assert clf.history_frame()["n_updates"].tolist() == [13, 2]


def test_partial_fit_refuses_labels_that_fit_did_not_see(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    before = weights(clf)
    with pytest.raises(ValueError, match=r"classes \[1, 9\].*\[2\]"):
        clf.partial_fit(X, np.where(y == 1, 2, y))
    assert_array_equal(weights(clf), before)


def test_partial_fit_refuses_images_of_another_shape(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match=r"\(1, 27, 28\).*\(1, 28, 28\)"):
        clf.partial_fit(X[:, 1:], y)
    assert len(clf.history_frame()) == 1


# ---------------------------------------------------------------- schedules


PER_EPOCH, EPOCHS = 4, 5  # 60 images, 16 in a batch


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t, base, top: np.full(len(t), top)),
        (
            "triangular",
            lambda t, base, top: schedules.triangular(t, base_lr=base, max_lr=top, step_size=6),
        ),
        (
            "triangular2",
            lambda t, base, top: schedules.triangular2(t, base_lr=base, max_lr=top, step_size=6),
        ),
        (
            "exp_range",
            lambda t, base, top: schedules.exp_range(
                t, base_lr=base, max_lr=top, step_size=6, gamma=0.97
            ),
        ),
        (
            "one_cycle",
            lambda t, base, top: schedules.one_cycle(
                t, max_lr=top, total_steps=PER_EPOCH * EPOCHS, div_factor=top / base
            ),
        ),
        (
            "lr_halving",
            lambda t, base, top: schedules.lr_halving(t, max_lr=top, base_lr=base, step_size=6),
        ),
        (lambda t: 0.2 / (1 + t), lambda t, base, top: 0.2 / (1 + t)),
    ],
    ids=lambda value: value if isinstance(value, str) else "function",
)
def test_rates_are_those_of_the_schedule(two_classes, schedule, expected):
    spy = Spy()
    clf = lenet(
        schedule=schedule,
        base_lr=0.002,
        max_lr=0.05,
        step_size=1.5,
        gamma=0.97,
        max_epochs=EPOCHS,
        callbacks=[spy],
    ).fit(*two_classes)
    updates = np.arange(PER_EPOCH * EPOCHS)
    assert_allclose(rates(clf), expected(updates, 0.002, 0.05), rtol=1e-12)
    assert_array_equal(rates(clf), spy.rates_)


def test_batch_doubling_doubles_the_batch_and_holds_the_rate(two_classes):
    spy = Spy()
    clf = quick(
        schedule="batch_doubling",
        batch_size=8,
        max_batch_size=30,
        step_size=2,
        max_epochs=6,
        max_lr=0.02,
        base_lr=0.5,  # plays no part
        callbacks=[spy],
    ).fit(*two_classes)
    frame = clf.history_frame()
    expected = schedules.batch_doubling(np.arange(6), batch_size=8, step_size=2, max_batch_size=30)
    assert_array_equal(frame["batch_size"], expected)
    assert_array_equal(frame["n_updates"], np.ceil(60 / expected))
    sizes = [len(images) for images, _ in spy.training_]
    assert sizes == [8] * 7 + [4] + [8] * 7 + [4] + ([16] * 3 + [12]) * 2 + [30] * 4
    assert_array_equal(clf.history_frame("batch")["batch_size"], sizes)
    assert set(spy.rates_) == {0.02}
    assert clf.get_params()["batch_size"] == 8


@pytest.mark.parametrize("batch_size", [64, 300])
def test_a_plain_optimizer_of_torch_makes_the_same_updates(fashion, batch_size):
    """The whole training over again, by hand."""
    X, y = fashion
    spy = Spy()
    clf = quick(
        batch_size=batch_size,
        max_epochs=3,
        schedule="triangular",
        base_lr=0.001,
        max_lr=0.01,
        step_size=1,
        momentum=0.8,
        weight_decay=0.01,
        callbacks=[spy],
    ).fit(X, y)

    again = quick(max_epochs=1, schedule=lambda iteration: 0.0).fit(X, y)  # first weights, rate 0
    module = again.module_
    optimizer = torch.optim.SGD(module.parameters(), lr=0.001, momentum=0.8, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.001, 0.01, step_size_up=math.ceil(400 / batch_size), cycle_momentum=False
    )
    for images, targets in spy.training_:
        images = (images.double() - X.mean()) / X.std()
        black = -X.mean() / X.std()
        images = nn.functional.pad(images[:, None], (2, 2, 2, 2), value=black).float()
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images.view(-1, 1, 32, 32)), targets).backward()
        optimizer.step()
        scheduler.step()
    assert_allclose(weights(clf), weights(again), atol=1e-5)


# ---------------------------------------------------------------- augmentation


def test_augmentation_sees_float_images_in_training_only(fashion):
    X, y = fashion
    seen = []

    def augmentation(images):
        seen.append((images.dtype, tuple(images.shape)))
        return images

    clf = quick(augmentation=augmentation, batch_size=150, validation_fraction=0.25)
    clf.fit(X, y)
    clf.predict(X)
    assert seen == [(torch.float32, (150, 1, 32, 32))] * 2


def test_augmented_images_are_what_the_network_learns_from(two_classes):
    X, y = two_classes
    blind = lenet(augmentation=torch.zeros_like, max_epochs=3).fit(X, y)
    proba = blind.predict_proba(np.full_like(X[:1], 128))
    assert blind.history_frame()["train_loss"].iloc[-1] > 0.5
    assert np.isfinite(proba).all()
    plain = lenet(max_epochs=3).fit(X, y)
    assert plain.history_frame()["train_loss"].iloc[-1] < 0.5


def test_draws_of_the_augmentation_come_from_random_state(two_classes):
    params = {"augmentation": lambda images: images + torch.randn_like(images)}
    first = lenet(**params).fit(*two_classes)
    torch.manual_seed(99)
    assert_array_equal(weights(lenet(**params).fit(*two_classes)), weights(first))
    assert not np.array_equal(weights(lenet(**params, random_state=1).fit(*two_classes)),
                              weights(first))  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [lambda images: images[:-1], lambda images: images[..., 1:], lambda images: None]
)
def test_augmentation_that_returns_something_else_is_named(two_classes, wrong):
    with pytest.raises(ValueError, match=r"augmentation must return .*\(16, 1, 32, 32\)"):
        lenet(augmentation=wrong).fit(*two_classes)


# ---------------------------------------------------------------- history


def test_history_by_epoch_has_the_documented_columns(fashion):
    X, y = fashion
    frame = lenet(max_epochs=3, batch_size=100, validation_fraction=0.25).fit(X, y).history_frame()
    assert frame.columns.tolist() == [
        "epoch", "train_loss", "train_acc", "valid_loss", "valid_acc", "lr", "batch_size",
        "n_updates", "dur",
    ]  # fmt: skip
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["batch_size"].tolist() == [100] * 3
    assert frame["n_updates"].tolist() == [3] * 3
    assert (frame["dur"] > 0).all()
    assert frame.notna().all(axis=None)
    assert frame["epoch"].dtype.kind == frame["n_updates"].dtype.kind == "i"


def test_history_by_iteration_has_the_documented_columns(fashion):
    X, y = fashion
    clf = lenet(max_epochs=2, batch_size=150).fit(X, y).partial_fit(X, y)
    frame = clf.history_frame("batch")
    assert frame.columns.tolist() == ["epoch", "iteration", "lr", "batch_size", "train_loss"]
    assert frame["epoch"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert frame["iteration"].tolist() == list(range(12))
    assert frame["batch_size"].tolist() == [150, 150, 100] * 4
    by_epoch = clf.history_frame()
    last = frame.groupby("epoch").last()
    assert_array_equal(by_epoch["lr"], last["lr"])
    weighted = (frame["train_loss"] * frame["batch_size"]).groupby(frame["epoch"]).sum() / 400
    assert_allclose(by_epoch["train_loss"], weighted, rtol=1e-6)


def test_without_validation_its_columns_are_empty(two_classes):
    frame = quick().fit(*two_classes).history_frame()
    assert frame[["valid_loss", "valid_acc"]].isna().all(axis=None)


def test_training_accuracy_is_taken_as_training_goes_on(two_classes):
    X, y = two_classes
    clf = lenet(schedule=lambda iteration: 0.0).fit(X, y)  # nothing is learned on the way
    assert clf.history_frame()["train_acc"].iloc[0] == pytest.approx(clf.score(X, y))


@pytest.mark.parametrize("level", ["epochs", None, 1])
def test_history_has_two_levels_only(two_classes, level):
    with pytest.raises(ValueError, match="level"):
        quick().fit(*two_classes).history_frame(level)


def test_history_needs_a_fit():
    with pytest.raises(NotFittedError):
        quick().history_frame()


def test_a_history_that_was_looked_at_is_not_written_to_by_the_next_fit(two_classes):
    clf = quick().fit(*two_classes)
    first = clf.history_
    clf.fit(*two_classes)
    assert len(first) == len(clf.history_) == 1
    assert first is not clf.history_


# ---------------------------------------------------------------- skorch's parts


def test_a_score_of_ones_own_works_with_names_for_labels(fashion):
    X, y = fashion
    scoring = EpochScoring("f1_macro", name="f1", lower_is_better=False)
    on_train = EpochScoring("accuracy", name="own_acc", on_train=True, lower_is_better=False)
    clf = lenet(max_epochs=2, validation_fraction=0.25, callbacks=[scoring, on_train])
    clf.fit(X, NAMES[y])
    assert len(clf.history[:, "f1"]) == 2
    assert clf.history[:, "own_acc"] == pytest.approx(clf.history[:, "train_acc"])


def test_a_score_without_caching_is_the_same(fashion):
    X, y = fashion
    cached, computed = (
        EpochScoring("accuracy", name=f"caching_{use}", lower_is_better=False, use_caching=use)
        for use in (True, False)
    )
    clf = lenet(max_epochs=2, validation_fraction=0.25, callbacks=[cached, computed])
    clf.fit(X, NAMES[y])
    assert clf.history[:, "caching_False"] == pytest.approx(clf.history[:, "caching_True"])
    assert clf.history[:, "valid_acc"] == pytest.approx(clf.history[:, "caching_True"])


def test_a_checkpoint_keeps_the_best_weights(fashion, tmp_path):
    X, y = fashion
    checkpoint = Checkpoint(monitor="valid_acc_best", dirname=tmp_path, load_best=True)
    clf = lenet(max_epochs=5, max_lr=0.3, validation_fraction=0.25, callbacks=[checkpoint])
    clf.fit(X, NAMES[y])
    assert (tmp_path / "params.pt").exists()
    best = clf.history_frame()["valid_acc"].max()
    copied = clone(clf).set_params(callbacks=None, max_epochs=1).fit(X, NAMES[y])
    copied.load_params(f_params=tmp_path / "params.pt")
    assert_array_equal(copied.predict_proba(X), clf.predict_proba(X))
    assert 0 < best <= 1


def test_early_stopping_ends_training_and_keeps_the_model(fashion):
    X, y = fashion
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=10, threshold_mode="abs")
    clf = lenet(max_epochs=20, callbacks=[stopping])
    try:
        clf.fit(X, NAMES[y])
    except KeyboardInterrupt:  # it would end all the tests
        pytest.fail("skorch's wish to stop came out as a keyboard interrupt")
    assert len(clf.history) == 3
    assert set(clf.predict(X)) <= set(NAMES)


def test_a_sweep_of_rates_runs_on_the_classifier(two_classes):
    sweep = LRRangeTest(1e-5, 1e-1, n_iter=10)
    clf = lenet(max_epochs=3, schedule="constant", callbacks=[sweep]).fit(*two_classes)
    assert_allclose(rates(clf), np.geomspace(1e-5, 1e-1, 10))
    assert len(clf.history_frame("batch")) == 10


def test_without_callbacks_the_schedule_still_runs_and_each_batch_is_recorded(two_classes):
    X, y = two_classes
    params = {"schedule": "triangular", "max_epochs": 2, "step_size": 1}
    bare = lenet(callbacks="disable", **params).fit(X, y)
    full = lenet(**params).fit(X, y)
    assert_array_equal(weights(bare), weights(full))
    columns = ["epoch", "iteration", "lr", "batch_size", "train_loss"]
    pd.testing.assert_frame_equal(bare.history_frame("batch")[columns],
                                  full.history_frame("batch")[columns])  # fmt: skip
    assert bare.history_frame()["n_updates"].tolist() == [4, 4]
    doubling = lenet(callbacks="disable", schedule="batch_doubling", step_size=1, max_epochs=2)
    assert doubling.fit(X, y).history_frame()["batch_size"].tolist() == [16, 32]


def test_another_network_is_trained_in_its_place(two_classes):
    X, y = two_classes
    clf = quick(max_epochs=5).fit(X, y)
    assert isinstance(clf.module_, Flat)
    assert clf.module_.linear.out_features == 2
    assert clf.score(X, y) > 0.9


def test_a_network_without_parameters_of_the_data_is_built_as_it_is(two_classes):
    def network(width=5):
        return nn.Sequential(nn.Flatten(), nn.Linear(1024, width), nn.Tanh(), nn.Linear(width, 2))

    clf = quick(module=network, module__width=7).fit(*two_classes)
    assert clf.module_[1].out_features == 7


def test_a_network_given_as_an_instance_is_copied_and_stays_untrained(two_classes):
    X, y = two_classes
    torch.manual_seed(5)
    given = LeNet5(n_classes=2)
    before = copy.deepcopy(given.state_dict())
    clf = lenet(module=given, max_epochs=2).fit(X, y)
    assert clf.module is given
    assert clf.module_ is not given
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    assert not np.array_equal(
        weights(clf), torch.cat([value.flatten() for value in before.values()])
    )

    untouched = lenet(module=given, schedule=lambda iteration: 0.0).fit(X, y)
    assert all(torch.equal(v, before[k]) for k, v in untouched.module_.state_dict().items())
    assert_array_equal(weights(clone(clf).fit(X, y)), weights(clf))


@pytest.mark.parametrize("n_outputs", [2, 12])
def test_a_network_whose_outputs_are_not_the_classes_is_named(fashion, n_outputs):
    X, y = fashion
    with pytest.raises(ValueError, match=rf"{n_outputs}.*10|10.*{n_outputs}"):
        lenet(module=LeNet5(n_classes=n_outputs)).fit(X, y)


def test_another_optimizer_takes_what_it_knows(two_classes):
    X, y = two_classes
    clf = lenet(optimizer=torch.optim.Adam, max_lr=0.01, weight_decay=0.1, max_epochs=5)
    clf.fit(X, y)
    group = clf.optimizer_.param_groups[0]
    assert group["weight_decay"] == 0.1
    assert "momentum" not in group
    assert clf.score(X, y) > 0.9
    group = lenet(optimizer=torch.optim.RMSprop, momentum=0.3, max_lr=2e-3).fit(X, y)
    assert group.optimizer_.param_groups[0]["momentum"] == 0.3


def test_an_explicit_parameter_of_the_optimizer_comes_first(two_classes):
    clf = quick(momentum=0.9, optimizer__momentum=0.3, optimizer__dampening=0.1).fit(*two_classes)
    group = clf.optimizer_.param_groups[0]
    assert (group["momentum"], group["dampening"]) == (0.3, 0.1)


def test_stock_data_loader_gives_the_same_model_bit_for_bit_without_shuffling(two_classes):
    X, y = two_classes
    own = lenet(iterator_train__shuffle=False).fit(X, y)
    stock = lenet(
        iterator_train=DataLoader, iterator_train__shuffle=False, iterator_valid=DataLoader
    ).fit(X, y)
    assert_array_equal(weights(stock), weights(own))
    assert_array_equal(stock.predict_proba(X), own.predict_proba(X))


DOUBLE_UNDERSCORE = {
    "module__activation": nn.ReLU,
    "optimizer__nesterov": True,
    "callbacks__print_log": None,
    "criterion__label_smoothing": 0.1,
    "iterator_train__drop_last": True,
}


def test_parameters_with_a_double_underscore_take_effect(two_classes):
    clf = lenet(verbose=1, **DOUBLE_UNDERSCORE).fit(*two_classes)
    assert isinstance(clf.module_.activation, nn.ReLU)
    assert clf.optimizer_.param_groups[0]["nesterov"]
    assert "print_log" not in dict(clf.callbacks_)
    assert clf.criterion_.label_smoothing == 0.1
    assert clf.history_frame()["n_updates"].tolist() == [3]


def test_parameters_with_a_double_underscore_survive_clone_and_pickle(two_classes):
    clf = lenet(**DOUBLE_UNDERSCORE)
    fitted = clone(clf).fit(*two_classes)
    for copied in (clone(clf), clone(fitted), pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        params = copied.get_params(deep=False)
        assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE
        copied.fit(*two_classes)
        assert_array_equal(weights(copied), weights(fitted))
        assert "print_log" not in dict(copied.callbacks_)


def test_parameters_with_a_double_underscore_can_be_set_before_and_after_fit(two_classes):
    expected = weights(lenet(**DOUBLE_UNDERSCORE).fit(*two_classes))
    before = lenet().set_params(**DOUBLE_UNDERSCORE)
    after = lenet().fit(*two_classes).set_params(**DOUBLE_UNDERSCORE)
    for clf in (before, after):
        params = clf.get_params(deep=False)
        assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE
        assert_array_equal(weights(clf.fit(*two_classes)), expected)


@pytest.mark.parametrize("fitted", [False, True])
def test_parameters_are_told_as_they_were_given(two_classes, fitted):
    clf = lenet(**DOUBLE_UNDERSCORE)
    if fitted:
        clf.fit(*two_classes)
    params = clf.get_params()
    assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE


@pytest.mark.parametrize("fitted", [False, True])
def test_an_equal_estimator_is_built_from_all_parameters(two_classes, fitted):
    clf = lenet(**DOUBLE_UNDERSCORE)
    expected = weights(clone(clf).fit(*two_classes))
    if fitted:
        clf.fit(*two_classes)
    for other in (CLRLeNetClassifier(**clf.get_params()), lenet().set_params(**clf.get_params())):
        assert_array_equal(weights(other.fit(*two_classes)), expected)
        assert rates(other.set_params(schedule="constant").fit(*two_classes)).min() == 0.1


def test_parameters_with_a_double_underscore_can_be_searched(two_classes):
    grid = {
        "module__activation": [nn.Tanh, nn.ReLU],
        "optimizer__nesterov": [False, True],
        "callbacks__print_log": [None],
    }
    search = GridSearchCV(lenet(), grid, cv=2, error_score="raise").fit(*two_classes)
    assert search.best_estimator_.get_params()["module__activation"] in (nn.Tanh, nn.ReLU)


def test_an_optimizer_parameter_set_on_a_fitted_net_holds_for_partial_fit(two_classes):
    clf = quick(schedule="constant").fit(*two_classes)
    clf.set_params(optimizer__weight_decay=0.25).partial_fit(*two_classes)
    assert clf.optimizer_.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.parametrize("name", ["lr", "train_split", "module_activation", "epochs", "foo__bar"])
def test_unknown_parameters_are_refused_at_once(name):
    with pytest.raises(TypeError, match=name):
        CLRLeNetClassifier(**{name: 1})
    with pytest.raises(ValueError, match=name):
        CLRLeNetClassifier().set_params(**{name: 1})


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks__nothing": None},
        {"callbacks__nothing__lr": 1},
        {"module__colour": 3},
        {"optimizer__speed": 3},
        {"criterion__speed": 3},
    ],
)
def test_parameters_that_a_part_does_not_have_are_named_in_fit(two_classes, params):
    (name,) = params
    with pytest.raises((TypeError, ValueError), match=name.rpartition("__")[2]):
        lenet(**params).fit(*two_classes)


def test_parameters_of_the_schedule_callback_can_be_set_by_name(two_classes):
    clf = lenet(
        schedule="triangular", callbacks__lr_schedule__cycle_momentum=True, max_epochs=2
    ).fit(*two_classes)
    assert "event_momentum" in clf.history[0]["batches"][0]


def test_weights_are_saved_and_loaded_as_in_skorch(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet(max_epochs=2).fit(X, y)
    clf.save_params(f_params=tmp_path / "weights.pt", f_history=tmp_path / "history.json")
    other = lenet(random_state=1).fit(X, y)
    other.load_params(f_params=tmp_path / "weights.pt", f_history=tmp_path / "history.json")
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    pd.testing.assert_frame_equal(other.history_frame(), clf.history_frame())


def test_a_compiled_network_is_the_same_model(two_classes):
    X, y = two_classes
    plain = lenet().fit(X, y)
    compiled = lenet(compile=True, compile__backend="eager").fit(X, y)
    assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), atol=1e-4)
    assert list(compiled.module_.state_dict()) == list(plain.module_.state_dict())
    assert type(compiled.module_) is LeNet5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_code_makes_the_same_update_for_all_sizes_of_a_batch(fashion):
    X, y = fashion
    counters.clear()
    params = {"schedule": "batch_doubling", "step_size": 1, "batch_size": 40, "max_lr": 0.02}
    plain = lenet(**params, max_epochs=4).fit(X, y)
    compiled = lenet(**params, max_epochs=4, compile=True).fit(X, y)
    assert_allclose(weights(compiled), weights(plain), atol=1e-5)
    assert_allclose(compiled.predict_proba(X[:300]), plain.predict_proba(X[:300]), atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2  # one that trains and one that predicts


def test_a_missing_compiler_is_told_in_words(fashion, monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    torch._dynamo.reset()
    clf = lenet(compile=True)
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler .* Nothing has been trained"):
        clf.fit(*fashion)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), None])
def test_the_device_may_be_given_in_any_form(two_classes, device):
    X, y = two_classes
    assert_array_equal(weights(lenet(device=device).fit(X, y)), weights(lenet().fit(X, y)))


# ---------------------------------------------------------------- printing


def test_nothing_is_printed_unless_asked_for(two_classes, capfd):
    lenet(validation_fraction=0.2).fit(*two_classes).predict(two_classes[0])
    assert capfd.readouterr() == ("", "")


def test_a_line_an_epoch_is_printed_where_it_is_asked_for(two_classes, capfd):
    lenet(verbose=1, max_epochs=3).fit(*two_classes)
    assert len(capfd.readouterr().out.splitlines()) >= 3


# ---------------------------------------------------------------- trainings that end early


class Interrupting:
    """An augmentation during which somebody presses Ctrl-C, or an error occurs."""

    def __init__(self, iteration, error=KeyboardInterrupt):
        self.left, self.error = iteration, error

    def __call__(self, images):
        self.left -= 1
        if self.left == 0 and self.error is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        if self.left == 0:
            raise self.error
        return images


def test_an_interrupt_is_passed_on_and_the_model_is_of_use(two_classes):
    X, y = two_classes
    clf = lenet(max_epochs=9, augmentation=Interrupting(12))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, NAMES[y])
    assert len(clf.history_frame("batch")) == 11
    assert clf.history_frame()["n_updates"].tolist() == [4, 4, 3]
    assert clf.score(X, NAMES[y]) > 0.5
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), clf.predict_proba(X))
    clf.partial_fit(X, NAMES[y])
    assert len(clf.history_frame()) == 3 + 9


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_training_that_goes_on_after_an_error_is_reproducible_too(two_classes, error):
    def interrupted_and_resumed():
        clf = lenet(max_epochs=2, augmentation=Interrupting(3, error))
        with pytest.raises(error):
            clf.fit(*two_classes)
        return weights(clf.partial_fit(*two_classes))

    torch.manual_seed(1)
    first = interrupted_and_resumed()
    torch.manual_seed(2)
    assert_array_equal(interrupted_and_resumed(), first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_generators_and_threads_are_put_back_after_an_error(two_classes, error):
    torch.set_num_threads(2)
    try:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
        with pytest.raises(error):
            lenet(augmentation=Interrupting(3, error)).fit(*two_classes)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert_array_equal(np.random.get_state()[1], numpy_state[1])
    finally:
        torch.set_num_threads(1)


def test_divergence_stops_training_at_that_batch_and_says_where(two_classes):
    X, y = two_classes
    losses = []

    class Late(nn.CrossEntropyLoss):
        def forward(self, y_pred, y_true):
            losses.append(super().forward(y_pred, y_true))
            return losses[-1] * (math.inf if len(losses) == 7 else 1)

    clf = lenet(criterion=Late, schedule=lambda t: 0.01 + 0.001 * t, max_epochs=5)
    with pytest.raises(DivergenceError, match="max_lr") as caught:
        clf.fit(X, y)
    error = caught.value
    assert len(losses) == 7
    assert (error.epoch, error.iteration) == (2, 6)
    assert error.lr == pytest.approx(0.016)
    for part in ("epoch 2", "iteration 6", "0.016", "range test"):
        assert part in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(error, ValueError)


def test_a_rate_that_is_far_too_high_is_reported(fashion):
    X, y = fashion
    clf = lenet(max_lr=1e6, schedule="constant", module__activation=nn.ReLU, max_epochs=5)
    with pytest.raises(DivergenceError, match=r"learning rate 1e\+06"):
        clf.fit(X, y)


# ---------------------------------------------------------------- wrong input


def _nan(X):
    X = X / 255
    X[3, 4, 5] = np.nan
    return X


WRONG_PARAMETERS = [
    ({"base_lr": 0.2, "max_lr": 0.1}, r"base_lr.*0\.2.*max_lr=0\.1"),
    ({"base_lr": 0.1, "max_lr": 0.1}, "base_lr"),
    ({"base_lr": 0.2, "max_lr": 0.1, "schedule": "one_cycle"}, "base_lr"),
    ({"base_lr": 0.2, "max_lr": 0.1, "schedule": "lr_halving"}, "base_lr"),
    ({"base_lr": -0.1}, "base_lr"),
    ({"base_lr": math.nan}, "base_lr"),
    ({"base_lr": math.inf}, "base_lr"),
    ({"max_lr": -0.1}, "max_lr"),
    ({"max_lr": 0}, "max_lr"),
    ({"max_lr": math.nan}, "max_lr"),
    ({"max_lr": math.inf}, "max_lr"),
    ({"schedule": "sawtooth"}, "schedule.*triangular.*sawtooth"),
    ({"step_size": 0}, "step_size"),
    ({"step_size": -2}, "step_size"),
    ({"step_size": math.nan}, "step_size"),
    (
        {"schedule": "batch_doubling", "batch_size": 64, "max_batch_size": 32},
        "max_batch_size.*32.*64",
    ),
]


@pytest.mark.parametrize(("params", "message"), WRONG_PARAMETERS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_parameters_are_named_before_training(two_classes, params, message, method):
    spy = Spy()
    clf = lenet(callbacks=[spy], **params)
    with pytest.raises(ValueError, match=message) as caught:
        getattr(clf, method)(*two_classes)
    assert spy.training_ == []
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFittedError):
        clf.predict(two_classes[0])


WRONG_DATA = [
    (lambda X, y: (X[:0], y[:0]), "0 sample"),
    (lambda X, y: (np.zeros((60, 0)), y), "0 feature"),
    (lambda X, y: (np.zeros((60, 0, 5)), y), "0 feature|empty|shape"),
    (lambda X, y: (np.zeros((60, 1, 5, 0)), y), "0 feature|empty|shape"),
    (lambda X, y: (_nan(X), y), "NaN"),
    (lambda X, y: (np.where(X == 0, np.inf, X), y), "infinity"),
    (lambda X, y: (X, np.ones(60)), "1 class"),
    (lambda X, y: (X, y[:-1]), "inconsistent"),
    (lambda X, y: (X, None), "y"),
    (lambda X, y: (X, y + 0.5), "continuous"),
    (lambda X, y: (X, np.where(y == 1, np.nan, y)), "NaN"),
    (lambda X, y: (X, np.column_stack([y, y])), "1d|shape"),
    (lambda X, y: (X[:, 0, 0], y), r"1D|shape \(60,\)|2D"),
    (lambda X, y: (np.zeros((60, 2, 28, 28)), y), r"1 or 3 channels.*\(60, 2, 28, 28\)"),
    (lambda X, y: (np.zeros((60, 1, 1, 28, 28)), y), r"\(60, 1, 1, 28, 28\)"),
    (lambda X, y: (X + 1j, y), "[Cc]omplex"),
    (lambda X, y: (np.full((60, 4), "a"), y), "could not convert|numeric|dtype"),
    (lambda X, y: (np.full((60, 4, 4), "a"), y), "could not convert|numeric|dtype"),
    (lambda X, y: (None, y), "X|None|array"),
    (lambda X, y: (5, y), "array|5"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_DATA)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_data_are_named_before_training(two_classes, make, message, method):
    spy = Spy()
    clf = lenet(callbacks=[spy])
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(*make(*two_classes))
    assert spy.training_ == []
    with pytest.raises(NotFittedError):
        clf.predict(two_classes[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: X[:, 1:], r"\(1, 27, 28\).*\(1, 28, 28\)"),
        (lambda X: X.transpose(0, 2, 1)[:, :14].reshape(60, 14, 28), r"\(1, 14, 28\)"),
        (lambda X: X.reshape(60, 14, 56), r"\(1, 14, 56\).*\(1, 28, 28\)"),
        (lambda X: np.stack([X] * 3, axis=1), r"\(3, 28, 28\).*\(1, 28, 28\)"),
        (lambda X: X.reshape(60, -1)[:, 1:], "783 features.*784"),
        (_nan, "NaN"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[0, 0], "1D"),
        (lambda X: X[:, None, None], "shape"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_wrong_images_are_named_in_prediction(two_classes, make, message, method):
    X, y = two_classes
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(make(X))


def test_images_for_rows_of_another_length_are_told_apart_from_padding(two_classes):
    X, y = two_classes
    clf = quick().fit(X.reshape(60, -1)[:, :780], y)  # padded to 28 x 28
    with pytest.raises(ValueError, match=r"784.*780|780.*784"):
        clf.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_prediction_needs_a_fit(two_classes, method):
    X, y = two_classes
    with pytest.raises(NotFittedError):
        getattr(quick(), method)(*((X, y) if method == "score" else (X,)))
    assert not hasattr(quick(), "classes_")


# ---------------------------------------------------------------- what is set between trainings


@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start"])
def test_what_is_set_between_trainings_takes_effect_and_keeps_the_weights(two_classes, go_on):
    clf = lenet(max_lr=0.05, base_lr=0.01, schedule="triangular", warm_start=True, step_size=1)
    clf.fit(*two_classes)
    before = weights(clf)
    clf.set_params(schedule="constant", max_lr=1e-30, momentum=0.1, batch_size=30)
    (clf.fit if go_on == "warm_start" else clf.partial_fit)(*two_classes)
    assert set(rates(clf)[4:]) == {1e-30}
    assert clf.optimizer_.param_groups[0]["momentum"] == 0.1
    assert clf.history_frame()["n_updates"].tolist() == [4, 2]
    assert_allclose(weights(clf), before, atol=1e-6)


def test_callbacks_set_between_trainings_are_called(two_classes):
    clf, spy = lenet().fit(*two_classes), Spy()
    clf.set_params(callbacks=[spy]).partial_fit(*two_classes)
    assert len(spy.training_) == 4


def test_a_callback_put_into_the_list_between_trainings_is_called(two_classes):
    callbacks, spy = [], Spy()
    clf = lenet(callbacks=callbacks).fit(*two_classes)
    clf.callbacks.append(spy)
    clf.partial_fit(*two_classes)
    assert len(spy.training_) == 4


def test_a_schedule_set_between_trainings_may_grow_the_batch(two_classes):
    clf = lenet().fit(*two_classes)
    clf.set_params(schedule="batch_doubling", step_size=1, max_batch_size=32)
    assert clf.partial_fit(*two_classes).history_frame()["batch_size"].tolist() == [16, 32]


def test_the_history_tells_the_batch_size_that_was_used(two_classes):
    clf = lenet().fit(*two_classes).set_params(batch_size=7)
    assert clf.history_frame()["batch_size"].tolist() == [16]


def test_an_epoch_without_a_batch_is_an_error(two_classes):
    with pytest.raises(ValueError, match="no batch"):
        lenet(batch_size=64, iterator_train__drop_last=True).fit(*two_classes)


def test_other_classes_are_refused_when_training_goes_on(two_classes):
    clf = lenet().partial_fit(*two_classes, classes=[1, 9])
    clf.partial_fit(*two_classes, classes=[9, 1])
    with pytest.raises(ValueError, match=r"classes=\[1, 2, 9\].*\[1, 9\]"):
        clf.partial_fit(*two_classes, classes=[1, 2, 9])


# ---------------------------------------------------------------- boundaries that are measured


@pytest.mark.slow
def test_automatic_boundaries_are_those_of_a_range_test_and_are_kept(fashion):
    X, y = fashion
    clf = lenet(base_lr="auto", max_lr="auto", schedule="triangular", step_size=0.5).fit(X, y)
    assert (clf.base_lr_, clf.max_lr_) == (clf.lr_range_.base_lr, clf.lr_range_.max_lr)
    assert rates(clf).min() == pytest.approx(clf.base_lr_)
    assert rates(clf).max() == pytest.approx(clf.max_lr_, rel=0.1)
    measured = clf.lr_range_
    assert clf.partial_fit(X, y).lr_range_ is measured
    assert_array_equal(weights(clone(clf).fit(X, y).partial_fit(X, y)), weights(clf))


@pytest.mark.slow
def test_one_boundary_may_be_measured_in_a_pipeline_and_a_grid(fashion):
    X, y = fashion
    pipeline = make_pipeline(FunctionTransformer(), lenet(max_lr="auto", base_lr=1e-4))
    grid = {"clrlenetclassifier__max_lr": ["auto", 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_held_out_samples_have_no_part_in_the_measurement(fashion, monkeypatch):
    seen = []

    def spied(estimator, X, y, **kwargs):
        seen.append(len(X))
        return lr_range_test(estimator, X, y, **kwargs)

    monkeypatch.setattr("skclr.range_test.lr_range_test", spied)
    lenet(max_lr="auto", validation_fraction=0.25).fit(*fashion)
    assert seen == [300]


def test_a_boundary_that_cannot_be_measured_is_named_before_training(two_classes):
    X, _ = two_classes
    noise = np.random.RandomState(0).randint(2, size=60)
    spy = Spy()
    clf = lenet(max_lr="auto", callbacks=[spy])
    with pytest.raises(ValueError, match=r"No max_lr could be measured.*give it as a number"):
        clf.fit(np.zeros_like(X), noise)
    assert not spy.training_


@pytest.mark.slow
def test_only_the_boundary_that_a_schedule_needs_has_to_be_found(fashion):
    clf = lenet(base_lr="auto", max_lr=0.01, schedule=lambda iteration: 0.01).fit(*fashion)
    assert clf.base_lr_ is None
    clf.set_params(schedule="constant", max_lr="auto").fit(*fashion)
    assert clf.max_lr_ > 0


@pytest.mark.slow
def test_a_measured_range_travels_with_the_weights(fashion, tmp_path):
    clf = lenet(max_lr="auto").fit(*fashion)
    clf.save_params(f_params=tmp_path / "model", use_safetensors=True)
    loaded = lenet(max_lr="auto")
    loaded.load_params(f_params=tmp_path / "model", use_safetensors=True)
    assert loaded.max_lr_ == clf.max_lr_
    assert_array_equal(loaded.predict_proba(fashion[0]), clf.predict_proba(fashion[0]))


# ---------------------------------------------------------------- data sets and memory maps


class OneByOne(Dataset):
    """Samples that a data set makes when it is asked for them."""

    def __init__(self, X, y, transform=lambda image: image):
        self.X, self.y, self.transform = X, y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.transform(self.X[index]), self.y[index]


@pytest.mark.parametrize(
    "dataset",
    [
        OneByOne,
        lambda X, y: OneByOne(X, y, Image.fromarray),
        lambda X, y: OneByOne(X, y, lambda image: image[..., np.newaxis]),
        lambda X, y: TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
        lambda X, y: skorch.dataset.Dataset(X, y),
        lambda X, y: Subset(OneByOne(X[::-1], y[::-1]), range(len(X))[::-1]),
        lambda X, y: Subset(TensorDataset(*map(torch.from_numpy, (X, y))), range(len(X))),
    ],
    ids=["samples", "PIL", "channels last", "tensors", "skorch", "subset", "subset of tensors"],
)
def test_a_torch_dataset_gives_the_model_of_its_arrays(fashion, dataset):
    X, y = fashion
    data = dataset(X, y)
    expected = quick(validation_fraction=0.25).fit(X, NAMES[y])
    clf = quick(validation_fraction=0.25).fit(data, NAMES[y])
    assert_array_equal(weights(clf), weights(expected))
    assert_array_equal(clf.predict(data), expected.predict(X))
    assert clf.image_shape_ == (1, 28, 28)
    assert clf.n_features_in_ == 784
    own_labels = quick(validation_fraction=0.25).fit(data)
    assert_array_equal(weights(own_labels), weights(quick(validation_fraction=0.25).fit(X, y)))


def test_a_torchvision_dataset_is_taken_with_its_own_labels(tmp_path):
    data = FakeData(60, (1, 28, 28), num_classes=3, transform=pil_to_tensor)
    images = np.stack([image.numpy() for image, _ in data])
    labels = np.array([label for _, label in data])
    clf = quick().fit(data)
    assert_array_equal(weights(clf), weights(quick().fit(images, labels)))
    assert clf.score(data, labels) == quick().fit(images, labels).score(images, labels)


def test_validation_data_may_be_a_dataset_too(fashion):
    X, y = fashion
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    clf = quick().fit(Subset(data, range(300)), X_val=Subset(data, range(300, 400)))
    expected = quick().fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    measured = ["train_loss", "valid_loss", "valid_acc"]
    assert_array_equal(clf.history_frame()[measured], expected.history_frame()[measured])


def test_what_a_dataset_lacks_is_said_before_any_training(fashion):
    X, y = fashion
    with pytest.raises(ValueError, match="requires y to be passed"):
        quick().fit(skorch.dataset.Dataset(X))
    with pytest.raises(ValueError, match="have no labels"):
        quick().fit(ImagesAlone(X, y))
    with pytest.raises(TypeError, match="must have a length and take an index"):
        quick().fit(Stream(), y)
    uneven = OneByOne(X, y, lambda image: image[: 20 + image[14, 14] % 2])
    with pytest.raises(ValueError, match="do not go together"):
        quick().fit(uneven)
    missing = OneByOne(X, y, lambda image: np.where(image > 250, np.nan, image))
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        quick().fit(missing)


class ImagesAlone(OneByOne):
    def __getitem__(self, index):
        return self.X[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_memory_map_is_never_in_memory_as_a_whole(tmp_path, dtype):
    shape = (20_000, 28, 28) if dtype == "uint8" else (5_000, 28, 28)  # 16 MB
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, shape)
    X[:] = np.random.RandomState(0).randint(0, 256, shape)
    y = np.arange(len(X)) % 10
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    quick().fit(X[:100], y[:100])  # what is allocated once, for any data
    tracemalloc.start()
    clf = quick(validation_fraction=0.1, base_lr=1e-5, max_lr=1e-4).fit(X, y)
    clf.predict_proba(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.7 * X.nbytes + 200 * len(X)  # labels, indices and history are per sample


# ---------------------------------------------------------------- large batches


class BatchNormed(Flat):
    """The linear classifier behind a layer that sees a batch as a whole."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.norm = nn.BatchNorm2d(in_channels)

    def forward(self, images):
        return super().forward(self.norm(images))


def after_one_update(monkeypatch, fashion, piece, **params):
    monkeypatch.setattr("skclr._training._pieces._LARGEST_ON_CPU", piece)
    clf = CLRLeNetClassifier(
        schedule="constant", batch_size=400, max_epochs=1, random_state=0, **params
    ).fit(*fashion)
    return weights(clf), clf.history_frame()


@pytest.mark.parametrize("piece", [1, 64, 150])
def test_a_batch_in_pieces_makes_the_same_update(monkeypatch, fashion, piece):
    whole, history = after_one_update(monkeypatch, fashion, 400)
    pieces, again = after_one_update(monkeypatch, fashion, piece)
    assert not np.array_equal(whole, pieces)  # it was in pieces: the last bits differ
    assert_allclose(pieces, whole, rtol=1e-4, atol=1e-6)
    measured = ["train_loss", "train_acc", "n_updates"]
    assert_allclose(again[measured], history[measured], rtol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"module": BatchNormed},
        {"criterion__reduction": "sum", "max_lr": 1e-4},
        {"criterion__weight": torch.arange(1.0, 11.0)},
        {"criterion__ignore_index": 3},
    ],
    ids=["batch norm", "sum", "weighted mean", "mean over some"],
)
def test_a_batch_whose_loss_is_no_mean_of_its_pieces_stays_whole(monkeypatch, fashion, params):
    whole, _ = after_one_update(monkeypatch, fashion, 400, **params)
    assert_array_equal(after_one_update(monkeypatch, fashion, 64, **params)[0], whole)
