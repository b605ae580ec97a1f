import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError
from torchvision.datasets import FashionMNIST

import skclr
from skclr.datasets import fetch_fashion_mnist, load_fashion_mnist_sample


def fetch_the_small_set(small_set, **kwargs):
    small_set.put(small_set.folders[0])
    return fetch_fashion_mnist(**kwargs)


LOADERS = pytest.mark.parametrize(
    "load",
    [lambda small_set, **kwargs: load_fashion_mnist_sample(**kwargs), fetch_the_small_set],
    ids=["load_fashion_mnist_sample", "fetch_fashion_mnist"],
)


@LOADERS
def test_bunch_names_the_classes_and_tells_where_the_images_come_from(small_set, load):
    bunch = load(small_set)
    assert bunch.target_names == [
        name.removeprefix("T-shirt/").lower() for name in FashionMNIST.classes
    ]
    assert "Copyright (c) 2017 Zalando SE" in bunch.DESCR
    assert bunch.frame is None


@LOADERS
def test_return_X_y_gives_the_data_and_target_of_the_bunch(small_set, load):
    X, y = load(small_set, return_X_y=True)
    bunch = load(small_set)
    assert_array_equal(X, bunch.data)
    assert_array_equal(y, bunch.target)


@LOADERS
def test_as_frame_gives_a_column_a_pixel_row_after_row(small_set, load):
    import pandas as pd

    bunch = load(small_set, as_frame=True)
    assert isinstance(bunch.data, pd.DataFrame)
    assert isinstance(bunch.target, pd.Series)
    assert list(bunch.data.columns) == bunch.feature_names == [f"pixel{i}" for i in range(1, 785)]
    assert (bunch.data.dtypes == np.uint8).all()
    assert bunch.target.name == "target"
    assert bunch.frame.drop(columns="target").equals(bunch.data)
    assert bunch.frame["target"].equals(bunch.target)


def test_as_frame_has_the_pixels_of_the_array_in_its_columns(small_set):
    small_set.put(small_set.folders[0])
    X, y = fetch_fashion_mnist(as_frame=True, return_X_y=True)
    assert_array_equal(X["pixel1"], small_set.images[:30, 0, 0])
    assert_array_equal(X["pixel28"], small_set.images[:30, 0, 27])
    assert_array_equal(X["pixel29"], small_set.images[:30, 1, 0])
    assert_array_equal(y, small_set.labels[:30])


@pytest.mark.parametrize(
    ("loader", "bad"),
    [
        (load_fashion_mnist_sample, {"subset": "all"}),
        (load_fashion_mnist_sample, {"subset": None}),
        (load_fashion_mnist_sample, {"return_X_y": "yes"}),
        (load_fashion_mnist_sample, {"as_frame": "auto"}),
        (fetch_fashion_mnist, {"subset": "valid"}),
        (fetch_fashion_mnist, {"data_home": 1}),
        (fetch_fashion_mnist, {"download_if_missing": None}),
        (fetch_fashion_mnist, {"return_X_y": "yes"}),
        (fetch_fashion_mnist, {"as_frame": "auto"}),
    ],
)
def test_bad_argument_is_answered_in_scikit_learns_words(loader, bad):
    with pytest.raises(InvalidParameterError, match=f"The '{next(iter(bad))}' parameter of"):
        loader(**bad)


def test_import_loads_no_heavy_library_and_needs_no_network():
    # A stand-in for the package skclr, so that only skclr.datasets itself is looked at;
    # scikit-learn itself imports pandas where it is installed.
    program = f"""
import socket, sys, types
socket.socket.connect = socket.getaddrinfo = None
package = types.ModuleType("skclr")
package.__path__ = {list(skclr.__path__)!r}
sys.modules["skclr"] = package
import sklearn.utils
before = set(sys.modules)
import skclr.datasets
heavy = {{"torch", "torchvision", "skorch", "matplotlib", "pandas"}}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
