"""What fit and predict accept: images and labels, checked before anything is trained."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data
from torch.utils.data import Subset

from skclr.batches._arrays import channels_first
from skclr.batches._dataset import ImageDataset
from skclr.batches._labelled import for_training
from skclr.batches._labels import given_labels
from skclr.batches._lazy import is_lazy, opened
from skclr.batches._objects import images_of_objects, is_dataset
from skclr.exceptions import PixelScaleWarning

_LOOKED_AT, _VALUES_LOOKED_AT = 32, 2**20  # images, and pixels of all their channels
_FAR = 30.0
_UNLABELLED = "y is None, and the samples of the data set have no labels."


class InputShape(NamedTuple):
    """The form of the images that a classifier was fitted on.

    Parameters
    ----------
    n_features : int
        Values in a sample.
    image_shape : tuple of int
        Channels, height and width.
    feature_names : ndarray of shape (n_features,) or None
        Names of columns, where there are some.
    sample_shape : tuple of int or None
        The shape in which a sample came. Version 0.1.0 did not note it.
    dtype : str or None
        The name of the dtype in which its pixels came.
    """

    n_features: int
    image_shape: tuple[int, int, int]
    feature_names: np.ndarray | None = None
    sample_shape: tuple[int, ...] | None = None
    dtype: str | None = None


def check_images(X: Any, expected: InputShape, name: str) -> Any:
    """Return images, rows or channels first, or raise ValueError unless they are as expected.

    Parameters
    ----------
    X : array-like or Dataset
        What was given.
    expected : InputShape
        What `fit` has seen.
    name : str
        The estimator's name, for messages.
    """
    return _checked_images(X, expected, name)[0]


def form_of_images(X: Any, expected: InputShape, name: str) -> InputShape:
    """Return the form of images, or raise ValueError as `check_images` does."""
    return _checked_images(X, expected, name)[1]


def _checked_images(X, expected, name):
    if is_dataset(X):
        X, _ = opened(X, labelled=False)
    else:
        X = images_of_objects(X)
    if not is_lazy(X):
        if _n_dimensions(X) == 2:
            X = validate_data(_witness(name, expected), X, reset=False, dtype="numeric")
        else:
            X = _check_nd(X, name)
    return _as_images(X, expected, name)


def check_labelled_images(
    X: Any, y: Any, expected: InputShape | None, name: str
) -> tuple[Any, np.ndarray, InputShape]:
    """Return images, labels, and the form of the images.

    Parameters
    ----------
    X, y : array-like, or a Dataset and None
        What was given.
    expected : InputShape or None
        What `fit` has seen; None in a first call.
    name : str
        The estimator's name, for messages.
    """
    if is_dataset(X):
        X, own_labels = opened(X, labelled=y is None)
        y = own_labels if y is None else y
        if y is None:
            raise ValueError(_UNLABELLED)
    else:
        X = images_of_objects(X)
    y = given_labels(y)
    feature_names = None
    if is_lazy(X):
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
    elif expected is None or _n_dimensions(X) == 2:
        witness = _witness(name, expected)
        reset = expected is None
        X, y = validate_data(
            witness, X, y, reset=reset, allow_nd=True, dtype="numeric", multi_output=False
        )
        feature_names = getattr(witness, "feature_names_in_", None)
    else:
        X = _check_nd(X, name)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
    check_classification_targets(y)
    images, seen = _as_images(X, expected, name)
    return images, y, seen._replace(feature_names=feature_names)


def labels_beside(X: Any, y: Any, name: str = "y") -> Any:
    """Return the labels that were given or, where none were, those of the data set.

    Parameters
    ----------
    X, y : array-like, or a Dataset and None
        What was given.
    name : str, default="y"
        What the labels are called, for messages.
    """
    if y is not None:
        return given_labels(y)
    if not is_dataset(X):
        raise ValueError(
            f"{name} is None, and the images are no data set that has labels: give them as {name}."
        )
    _, labels = opened(X)
    if labels is None:
        raise ValueError(_UNLABELLED.replace("y", name, 1))
    return labels


def check_classes(
    labels: np.ndarray, given: Any, known: np.ndarray | None, name: str
) -> np.ndarray:
    """Return all classes, sorted, or raise ValueError.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        The labels of a call.
    given : array-like or None
        All labels that can occur, where the call told them.
    known : ndarray of shape (n_classes,) or None
        Those of the first call, which a later one cannot change.
    name : str
        The estimator's name, for messages.
    """
    if known is not None:
        if given is not None and not np.array_equal(np.unique(given), known):
            raise ValueError(
                f"classes={np.unique(given).tolist()} are not those of the first call, "
                f"{known.tolist()}."
            )
        return known
    classes = np.unique(labels if given is None else given)
    if len(classes) < 2:
        raise ValueError(
            f"{name} needs at least two classes, and y has 1 class: {classes.tolist()}."
        )
    return classes


def encode(labels: np.ndarray, classes: np.ndarray, name: str) -> np.ndarray:
    """Return the index of each label among the sorted classes, or raise ValueError."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"{name} has labels that are not among the classes {classes.tolist()}: "
            f"{unknown.tolist()}."
        )
    return np.searchsorted(classes, labels)


def warn_of_other_pixels(images: Any, mean: np.ndarray, std: np.ndarray) -> None:
    """Warn where the pixels of images are of another scale than those that were trained on.

    Parameters
    ----------
    images : array-like of shape (n, n_features) or (n, channels, height, width)
        Of which the first few are looked at.
    mean, std : ndarray of shape (channels,)
        Of the pixels that were trained on.

    Warns
    -----
    PixelScaleWarning
        If their spread, or their distance from the mean, is another by a factor of 30 or more.
    """
    fewer = max(1, _VALUES_LOOKED_AT // math.prod(images.shape[1:]))
    some = np.asarray(images[: min(_LOOKED_AT, fewer)], dtype=np.float64)
    some = some.reshape(len(some), len(mean), -1)
    spread, distance = some.std(axis=(0, 2)) / std, np.abs(some.mean(axis=(0, 2)) - mean) / std
    flat = spread == 0  # a single black image tells nothing
    if ((spread < 1 / _FAR) & ~flat).all() or (spread > _FAR).any() or (distance > _FAR).any():
        warnings.warn(
            f"The pixels are of another scale than in fit: there their mean was {mean.round(3)} "
            f"and their standard deviation {std.round(3)}, here they are "
            f"{some.mean(axis=(0, 2)).round(3)} and {some.std(axis=(0, 2)).round(3)}. Were they "
            "from 0 to 255 there, and are from 0 to 1 here?",
            PixelScaleWarning,
            stacklevel=3,
        )


def is_encoded(X: Any) -> bool:
    """Tell whether this is a data set of images and class indices, checked before."""
    X = for_training(X)
    while isinstance(X, Subset):
        X = X.dataset
    return isinstance(X, ImageDataset)


def _witness(name, expected):
    """Return an estimator on which scikit-learn's checks find, and note, what was seen."""
    witness = _witness_class(name)()
    if expected is not None:
        witness.n_features_in_ = expected.n_features
        if expected.feature_names is not None:
            witness.feature_names_in_ = expected.feature_names
    return witness


@lru_cache
def _witness_class(name):
    return type(name, (ClassifierMixin, BaseEstimator), {})


def _check_nd(X, name):
    return check_array(X, allow_nd=True, dtype="numeric", estimator=name, input_name="X")


def _as_images(X, expected, name):
    """Return rows as they are and images with the channels first, and their form."""
    with np.errstate(over="ignore"):
        fits = is_lazy(X) or X.dtype != np.longdouble or np.isfinite(X.astype(np.float64)).all()
    if not fits:
        raise ValueError("X contains a value too large for dtype('float64').")
    if 0 in X.shape[1:]:
        raise ValueError(f"The images are empty: X has the shape {X.shape}.")
    images = X if is_lazy(X) else channels_first(X)
    seen = InputShape(
        math.prod(images.shape[1:]),
        _image_shape(images),
        sample_shape=tuple(X.shape[1:]),
        dtype=np.dtype(X.dtype).name,
    )
    if expected is None or seen[:2] == expected[:2]:
        return images, seen
    if seen.image_shape == expected.image_shape:
        raise ValueError(
            f"X has {seen.n_features} features, but {name} was fitted on {expected.n_features}."
        )
    raise ValueError(
        f"X has images of shape {seen.image_shape} (channels, height, width), but {name} was "
        f"fitted on images of shape {expected.image_shape}."
    )


def _n_dimensions(X):
    return X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim


def _image_shape(images):
    """Return channels, height and width; those of the next square for rows."""
    if images.ndim == 4:
        return tuple(images.shape[1:])
    side = math.isqrt(images.shape[1] - 1) + 1
    return (1, side, side)
