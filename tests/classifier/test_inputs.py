"""Images and labels of every form, and how they are standardized."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch._inductor.config
from classifiers import NAMES, Flat, lenet, quick, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score

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
    return torch.cat(seen).cpu().numpy()


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
