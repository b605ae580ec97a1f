"""Images that come as Python objects, one by one: made one array, or refused in a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from skclr.batches._arrays import from_torch

_IMAGE_KEYS = frozenset({"image", "img", "pixel_values", "x"})
_LABEL_KEYS = frozenset({"label", "labels", "target", "targets", "class", "y"})
_TO_READ = "read them first, for instance with PIL.Image.open, and pass a list of the images"


def is_dataset(X: Any) -> bool:
    """Tell whether this gives samples by index: a data set of torch's, skorch's or another's.

    Those of other libraries, and lists, are told by their first sample, a dict or a tuple of an
    image and maybe a label. What has no samples, and is no list, is one.

    Raises
    ------
    TypeError
        If it gives batches of them, as a DataLoader does.
    """
    _refuse_loader(X)
    if isinstance(X, (Dataset, SliceDataset)):
        return True
    if isinstance(X, (str, bytes, Mapping, type)) or hasattr(X, "__array__") or hasattr(X, "dtype"):
        return False
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        return False
    if not len(X):
        return not isinstance(X, (list, tuple))
    try:
        first = X[0]
    except (KeyError, TypeError, IndexError):
        return False
    if isinstance(first, tuple) and len(first) == 2:
        return _is_image(first[0]) and _is_scalar(first[1])
    if isinstance(first, tuple) and len(first) == 1:  # of lists, it may be an image of one channel
        return _is_image(first[0]) and not isinstance(first[0], (list, tuple))
    return isinstance(first, Mapping) and "bytes" not in first


def images_of_objects(X: Any) -> Any:
    """Return images that were given one by one as an array; arrays and tables as they are.

    Parameters
    ----------
    X : array-like
        Also a list, an array of objects, a Series or the one column of a DataFrame that holds
        images of PIL, arrays or tensors, all of one shape.

    Raises
    ------
    TypeError
        If there are no images in it, or not in a form that says which they are.
    ValueError
        If the images are not of one shape.
    """
    _refuse_what_holds_no_images(X)
    objects = _objects_in(X)
    if objects is None:
        return from_torch(X)
    arrays = [pixels_of(image, f"X[{place}]") for place, image in enumerate(objects)]
    shapes = list(dict.fromkeys(array.shape for array in arrays))
    if len(shapes) > 1:
        raise ValueError(
            f"The images in X have several shapes, such as {shapes[0]} and {shapes[1]}: make them "
            "one size and one number of channels first."
        )
    return np.stack(arrays)


def pixels_of(image: Any, name: str) -> np.ndarray:
    """Return one image, of PIL, torch, NumPy or in lists, as an array, or raise.

    Parameters
    ----------
    image : object
        The image.
    name : str
        What to call it in messages.
    """
    if isinstance(image, (str, os.PathLike)):
        raise TypeError(f"{name} is {str(image)!r}, the name of a file or other text: {_TO_READ}.")
    if isinstance(image, bytes) or (isinstance(image, Mapping) and "bytes" in image):
        raise TypeError(f"{name} is a file in bytes: {_TO_READ}.")
    if _is_of_pil(image) and image.mode in ("P", "PA"):
        raise ValueError(
            f"{name} is an image with a palette, whose numbers are no brightness: convert all "
            "images first, with image.convert('L') or image.convert('RGB')."
        )
    array = np.asarray(from_torch(image))
    if array.dtype == object and array.ndim:  # an array of rows that are arrays
        array = np.asarray(array.tolist()) if _is_even(array) else array
    if array.dtype.kind not in "buif" or not array.ndim:
        raise TypeError(
            f"{name} is {_described(image)}, which is no image: pass arrays, tensors or images of "
            "PIL."
        )
    return array


def image_key(sample: Mapping) -> Any:
    """Return the key of the image in a sample, or raise TypeError where it is not plain."""
    found = [key for key, value in sample.items() if _is_image(value)]
    found = found or [key for key, value in sample.items() if getattr(value, "ndim", 0) == 1]
    key = _the_one(found, _IMAGE_KEYS)
    if key is None:
        several = f"several images, {found}" if found else "no image that is read already"
        raise TypeError(
            f"A sample of X is a dict with the keys {list(sample)} and {several}: pass a data set "
            "of pairs of an image and a label, or a list of images as X and the labels as y."
        )
    return key


def label_key(sample: Mapping) -> Any:
    """Return the key of the label in a sample, None where it has none, or raise TypeError."""
    found = [key for key, value in sample.items() if _is_scalar(value)]
    key = _the_one(found, _LABEL_KEYS)
    if key is None and found:
        raise TypeError(
            f"A sample of X is a dict, and its label may be any of {found}: pass the labels as y."
        )
    return key


def _the_one(keys: list, known: frozenset[str]) -> Any:
    named = [key for key in keys if isinstance(key, str) and key.lower() in known]
    return next((some[0] for some in (keys, named) if len(some) == 1), None)


def _refuse_loader(X: Any) -> None:
    if isinstance(X, DataLoader):
        raise TypeError(
            "X is a DataLoader, which has made batches already: pass its data set, loader.dataset. "
            "The classifier makes batches itself, of batch_size images."
        )


def _refuse_what_holds_no_images(X: Any) -> None:
    _refuse_loader(X)
    if isinstance(X, Mapping):
        raise TypeError(
            f"X is a {type(X).__name__} with the keys {list(X)[:10]}: pass one of its parts as X, "
            "such as the images, and the labels as y."
        )
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(f"X is {_described(X)}: {_TO_READ}.")
    if isinstance(X, (Iterator, set, frozenset)):
        raise TypeError(f"X is {_described(X)}: pass a list of the images, list(X).")
    if _is_of_pil(X):
        raise ValueError("X is a single image: pass a list of images, such as [image].")
    if not _is_array_like(X):
        # of nothing and of a number, scikit-learn says that the value is wrong
        raise (ValueError if X is None or np.isscalar(X) else TypeError)(
            f"X is {_described(X)}: pass an array or a list of images, or a data set that has a "
            "length and takes an index."
        )


def _objects_in(X: Any) -> Sequence | None:
    """Return the images that X holds one by one; None where X is an array or a table."""
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        return _column_of_images(X)
    if hasattr(X, "dtype") and not isinstance(X, Tensor):
        holds_objects = getattr(X.dtype, "kind", "") in ("O", "U", "S")
        is_column = holds_objects and (X.ndim == 1 or X.shape[1:] == (1,))
        objects: Any = np.asarray(X).ravel() if is_column else ()
    else:
        objects = X if isinstance(X, (list, tuple)) else ()
    if len(objects) == 0 or all(map(_is_number, objects)):
        return None
    if objects is X and isinstance(objects[0], (list, tuple)) and _is_even(objects):
        return None  # rows of numbers: NumPy and scikit-learn know what to do
    return objects


def _column_of_images(frame: Any) -> Sequence | None:
    """Return the column of images; None for a table of numbers."""
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if column.dtype.kind != "O":
            continue
        first = next((value for value in column if value is not None), None)
        if first is None or _is_number(first) or (isinstance(first, str) and frame.shape[1] > 1):
            continue
        if frame.shape[1] > 1:
            raise TypeError(
                f"X has images in its column {name!r} and other columns beside it: pass the "
                f"column alone, X[{name!r}]."
            )
        return column.to_numpy()
    return None


def _is_array_like(X: Any) -> bool:
    names = ("__array__", "__array_interface__", "__dlpack__", "__buffer__", "dtype")
    is_sequence = hasattr(X, "__len__") and hasattr(X, "__getitem__")
    return not isinstance(X, type) and (is_sequence or any(hasattr(X, name) for name in names))


def _is_of_pil(image: Any) -> bool:
    return hasattr(image, "getbands") and hasattr(image, "mode")


def _is_image(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (list, tuple, np.ndarray, Tensor))
    return _is_of_pil(value) or getattr(value, "ndim", 0) >= 2


def _is_number(value: Any) -> bool:
    return _is_scalar(value) and not isinstance(value, (str, bytes))


def _is_scalar(value: Any) -> bool:
    return np.isscalar(value) or getattr(value, "ndim", None) == 0


def _is_even(rows: Any) -> bool:
    """Tell whether lists are all of one length, at every depth, so that NumPy makes an array."""
    try:
        return np.asarray(list(rows)).dtype != object
    except ValueError:
        return False


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    known = value is None or isinstance(value, (float, str, os.PathLike))
    return repr(value) if known else f"of type {type(value).__name__}"
