"""Images that come one by one: lists, arrays of objects, columns, and samples that are dicts."""

import pathlib

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from skclr.batches import check_images, check_labelled_images, is_lazy

N = 6
IMAGES = np.random.RandomState(0).randint(0, 256, (N, 5, 4)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])
PICTURES = [Image.fromarray(image) for image in IMAGES]
TENSORS = [torch.from_numpy(image) for image in IMAGES]


def array_of(objects):
    array = np.empty(len(objects), dtype=object)
    for place, item in enumerate(objects):
        array[place] = item
    return array


class Samples(Dataset):
    def __init__(self, make, n=N):
        self.make, self.n = make, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.make(index)


class OfAnotherLibrary:
    """A data set as Hugging Face's is: columns by name, samples by index, and not torch's."""

    column_names = ("image", "label")

    def __len__(self):
        return N

    def __getitem__(self, index):
        if isinstance(index, str):
            return {"image": PICTURES, "label": LABELS.tolist()}[index]
        return {"image": PICTURES[index], "label": int(LABELS[index])}


class Stream:
    """A data set of another library that has no length."""

    def __iter__(self):
        return iter(PICTURES)


class TorchStream(IterableDataset):
    def __iter__(self):
        return iter(PICTURES)


def images_in(X, y=LABELS):
    images, labels, _ = check_labelled_images(X, y, None, "Classifier")
    return images[np.arange(N)] if is_lazy(images) else images, labels


IN_ORDER = {
    "list of PIL": PICTURES,
    "tuple of PIL": tuple(PICTURES),
    "list of arrays": list(IMAGES),
    "list of tensors": TENSORS,
    "list of arrays, channel first": list(IMAGES[:, None]),
    "list of arrays, channel last": list(IMAGES[..., None]),
    "list of lists": IMAGES.tolist(),
    "array of arrays": array_of(IMAGES),
    "array of PIL": array_of(PICTURES),
    "array of tensors": array_of(TENSORS),
    "array of lists": array_of(IMAGES.tolist()),
    "array of arrays of rows": array_of([array_of(image) for image in IMAGES]),
    "column of an array": array_of(PICTURES)[:, None],
    "Series of PIL": pd.Series(PICTURES),
    "Series with an index": pd.Series(list(IMAGES), index=range(N)[::-1]),
    "DataFrame": pd.DataFrame({"image": PICTURES}),
    "DataFrame of arrays": pd.DataFrame({"image": list(IMAGES)}, index=list("abcdef")),
}
WITH_LABELS = {
    "pairs": list(zip(PICTURES, LABELS, strict=True)),
    "pairs of tensors": list(zip(TENSORS, torch.from_numpy(LABELS), strict=True)),
    "dicts": [{"image": i, "label": n} for i, n in zip(PICTURES, LABELS, strict=True)],
    "data set of dicts": Samples(lambda i: {"img": TENSORS[i], "id": i, "label": LABELS[i]}),
    "other names": Samples(lambda i: {"picture": IMAGES[i].tolist(), "kind": int(LABELS[i])}),
    "two images": Samples(lambda i: {"image": IMAGES[i], "mask": IMAGES[i], "y": LABELS[i]}),
    "longer tuples": Samples(lambda i: (PICTURES[i], LABELS[i], "a.png")),
    "another library's": OfAnotherLibrary(),
    "Subset of another library's": Subset(OfAnotherLibrary(), range(N)),
}


@pytest.mark.parametrize("form", [*IN_ORDER, *WITH_LABELS])
def test_images_given_one_by_one_are_those_of_one_array(form):
    X = (IN_ORDER | WITH_LABELS)[form]
    expected, _ = images_in(IMAGES)
    images, labels = images_in(X)
    assert_array_equal(images, expected)
    assert_array_equal(labels, LABELS)
    _, _, shape = check_labelled_images(X, LABELS, None, "Classifier")
    assert shape.image_shape == (1, 5, 4)
    assert_array_equal(check_images(X, shape, "Classifier")[np.arange(N)], expected)


@pytest.mark.parametrize("form", WITH_LABELS)
def test_samples_bring_their_labels(form):
    images, labels = images_in(WITH_LABELS[form], None)
    assert_array_equal(images, images_in(IMAGES)[0])
    assert_array_equal(labels, LABELS)


def test_rows_given_one_by_one_are_those_of_one_table():
    rows = IMAGES.reshape(N, -1)
    for X in (list(rows), array_of(rows), pd.DataFrame({"pixels": list(rows)})):
        assert_array_equal(images_in(X)[0], rows)
    images, labels = images_in(Samples(lambda i: {"x": rows[i], "y": LABELS[i]}), None)
    assert_array_equal(images, rows)
    assert_array_equal(labels, LABELS)


def test_colour_images_of_pil_are_taken():
    colour = np.random.RandomState(0).randint(0, 256, (N, 5, 4, 3)).astype(np.uint8)
    images, _ = images_in([Image.fromarray(image) for image in colour])
    assert_array_equal(images, np.moveaxis(colour, 3, 1))


TWO_SIZES = [*PICTURES[1:], PICTURES[0].resize((9, 9))]


class Emptied(OfAnotherLibrary):
    def __len__(self):
        return 0


REFUSED = {
    "empty": (
        Samples(None, 0),
        r"^Found array with 0 sample\(s\) in the data set, of type Samples",
    ),
    "another library's, empty": (Emptied(), r"^Found array with 0 sample\(s\)"),
    "empty range": (range(0), r"^Found array with 0 sample\(s\)"),
    "DataLoader": (
        DataLoader(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))),
        r"X is a DataLoader, .*: pass its data set, loader\.dataset\.",
    ),
    "dict": ({"image": IMAGES, "label": LABELS}, r"X is a dict with the keys \['image', 'label'\]"),
    "generator": ((image for image in IMAGES), r"of type generator: pass a list .*list\(X\)"),
    "set": ({1, 2}, r"of type set: pass a list"),
    "None": (None, r"X is None: pass an array or a list of images"),
    "number": (3, r"X is of type int: pass an array"),
    "class": (Samples, r"X is of type type: pass an array"),
    "stream": (Stream(), r"a data set that has a length and takes an index"),
    "stream of torch": (TorchStream(), r"must have a length and take an index"),
    "text": ("images.npy", r"X is 'images\.npy': read them first"),
    "paths": ([pathlib.Path("a.png")] * N, r"X\[0\] is 'a\.png', the name of a file.*PIL"),
    "names": (["a.png"] * N, r"X\[0\] is 'a\.png', the name of a file"),
    "array of names": (np.array(["a.png"] * N), r"X\[0\] is 'a\.png', the name of a file"),
    "column of names": (pd.DataFrame({"file": ["a.png"] * N}), r"X\[0\] is 'a\.png', the name"),
    "bytes": ([b"GIF"] * N, r"X\[0\] is a file in bytes: read them first"),
    "encoded": (pd.Series([{"bytes": b"GIF", "path": None}] * N), r"X\[0\] is a file in bytes"),
    "one image": (PICTURES[0], r"X is a single image: pass a list of images"),
    "palette": ([image.convert("P") for image in PICTURES], r"palette.*convert\('L'\)"),
    "four channels": ([image.convert("RGBA") for image in PICTURES], r"with 1 or 3 channels"),
    "sizes": (TWO_SIZES, r"several shapes, such as \(5, 4\) and \(9, 9\): make them one size"),
    "column of sizes": (pd.DataFrame({"image": TWO_SIZES}), r"several shapes, such as"),
    "modes": ([*PICTURES[1:], PICTURES[0].convert("RGB")], r"\(5, 4\) and \(5, 4, 3\)"),
    "ragged lists": ([[1, 2], [3]], r"several shapes, such as \(2,\) and \(1,\)"),
    "a missing image": (array_of([*PICTURES[1:], None]), r"X\[5\] is None, which is no image"),
    "NaN": (pd.Series([*PICTURES[1:], np.nan]), r"X\[5\] is nan, which is no image"),
    "objects": ([object()] * N, r"X\[0\] is of type object, which is no image"),
    "complex": (list(IMAGES * 1j), r"X\[0\] is an array of complex128, which is no image"),
    "column among others": (
        pd.DataFrame({"image": PICTURES, "label": LABELS}),
        r"images in its column 'image' and other columns beside it: .*X\['image'\]",
    ),
    "two images": ([{"a": IMAGES[0], "b": IMAGES[0]}] * N, r"several images, \['a', 'b'\]"),
    "no image": ([{"text": "a", "label": 1}] * N, r"no image that is read already: pass a data"),
    "samples that are names": (Samples(lambda i: ("a.png", 1)), r"sample 0 is 'a\.png', the name"),
    "samples with palettes": (
        Samples(lambda i: (PICTURES[i].convert("P"), 1)),
        r"image of sample 0 is an image with a palette",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("y", [LABELS, None], ids=["labels", "alone"])
def test_what_holds_no_plain_images_is_refused_with_what_to_pass(form, y):
    X, sentence = REFUSED[form]
    if y is None and form == "four channels":
        pytest.skip("the missing labels are told first")
    _, _, shape = check_labelled_images(IMAGES, LABELS, None, "Classifier")
    with pytest.raises((TypeError, ValueError), match=sentence):
        check_labelled_images(X, y, None, "Classifier")
    with pytest.raises((TypeError, ValueError), match=sentence):
        check_images(X, shape, "Classifier")


def test_labels_that_are_not_plain_are_asked_for():
    samples = [{"image": image, "fine": 1, "group": 2} for image in IMAGES]
    assert_array_equal(images_in(samples)[1], LABELS)
    with pytest.raises(TypeError, match=r"may be any of \['fine', 'group'\]: pass the labels as y"):
        images_in(samples, None)


@pytest.mark.parametrize("make", [tuple, list])
def test_tuples_of_one_image_are_images_without_labels(make):
    colours = np.stack([IMAGES, IMAGES // 2, IMAGES // 3], 1)
    for of_one in (IMAGES, colours):
        for data in (Samples(lambda i, of_one=of_one: make([of_one[i]])), [(i,) for i in of_one]):
            images, labels = images_in(data)
            assert_array_equal(images, images_in(of_one)[0])
            assert_array_equal(labels, LABELS)
            with pytest.raises(ValueError, match="y is None, and the samples of the data set have"):
                images_in(data, None)


def test_nested_tuples_are_images():
    rows = [tuple(map(tuple, image)) for image in IMAGES.tolist()]
    for nested in (rows, [(image,) for image in rows]):
        assert_array_equal(images_in(nested)[0], images_in(IMAGES)[0])
    assert_array_equal(images_in([(image[0],) for image in rows])[0], IMAGES[:, None, :1])


def test_samples_without_anything_are_no_images():
    with pytest.raises(ValueError, match="The images are empty"):
        images_in(Samples(lambda i: ()))


def test_samples_unlike_the_first_are_named():
    samples = Samples(lambda i: {"image" if i < 3 else "img": IMAGES[i], "label": i % 2})
    with pytest.raises(ValueError, match=r"^Sample 3 of the data set has no 'image', as .*has\.$"):
        images_in(samples)
    samples = Samples(lambda i: (IMAGES[i], 1) if i < 3 else (IMAGES[i],))
    with pytest.raises(ValueError, match="Sample 3 of the data set has no 1, as the first has"):
        images_in(samples, None)
    samples = Samples(lambda i: {"image": IMAGES[i]} | ({"label": 1} if i < 3 else {}))
    with pytest.raises(ValueError, match="Sample 3 of the data set has no 'label'"):
        images_in(samples, None)
