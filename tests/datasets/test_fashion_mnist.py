import gzip
import hashlib
import importlib.util
import io
import os
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections import Counter
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import get_data_home
from sklearn.utils._param_validation import InvalidParameterError
from torchvision.datasets import FashionMNIST
from torchvision.datasets.mnist import read_image_file, read_label_file

import skclr
from skclr.datasets import _fashion_mnist, fetch_fashion_mnist, load_fashion_mnist_sample

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SAMPLE_SCRIPT = Path(__file__).parents[2] / "tools" / "make_fashion_mnist_sample.py"

needs_the_full_set = pytest.mark.skipif(
    len(_fashion_mnist._find(_fashion_mnist._folders(None))) < len(FILES),
    reason="the full Fashion-MNIST is not on this machine (Debian: dataset-fashion-mnist)",
)


def idx(array):
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


class SmallSet:
    """A machine of its own: 30 + 20 random images, four folders to search, one mirror."""

    def __init__(self, root):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
        self.labels = rng.integers(0, 10, 50, dtype=np.uint8)
        arrays = (self.images[:30], self.labels[:30], self.images[30:], self.labels[30:])
        self.content = dict(zip(FILES, map(idx, arrays), strict=True))
        self.gzipped = {f"{name}.gz": gzip.compress(self.content[name]) for name in FILES}
        self.data_home = root / "home" / "scikit_learn_data"
        self.folders = (
            self.data_home / "fashion-mnist",
            self.data_home / "FashionMNIST" / "raw",
            root / "work" / "data" / "FashionMNIST" / "raw",
            root / "system" / "fashion-mnist",
        )
        self.on_the_mirror = {}
        self.requested = []

    def put(self, folder, *, corrupt=False):
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in self.gzipped.items():
            (folder / file).write_bytes(gzip.compress(b"\0" * 100) if corrupt else content)

    def files(self):
        return sorted(path.name for path in self.data_home.rglob("*") if path.is_file())

    def urlopen(self, request):
        file = request.full_url.rpartition("/")[2]
        self.requested.append(file)
        if file not in self.on_the_mirror:
            raise urllib.error.URLError("Name or service not known")
        response = io.BytesIO(self.on_the_mirror[file])
        response.url, response.length = request.full_url, len(self.on_the_mirror[file])
        return response


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    small = SmallSet(tmp_path)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(small.data_home))
    monkeypatch.setattr(_fashion_mnist, "_SYSTEM_FOLDER", small.folders[3])
    monkeypatch.setattr(_fashion_mnist, "_verified", set())
    monkeypatch.setattr(
        _fashion_mnist,
        "_FULL_SHA256",
        {name: hashlib.sha256(content).hexdigest() for name, content in small.content.items()},
    )
    monkeypatch.setattr(
        FashionMNIST,
        "resources",
        [(file, hashlib.md5(content).hexdigest()) for file, content in small.gzipped.items()],
    )
    monkeypatch.setattr(urllib.request, "urlopen", small.urlopen)
    return small


# The shipped sample


@pytest.mark.parametrize(("subset", "n_images"), [("train", 6000), ("test", 1000)])
def test_sample_has_the_promised_number_of_images_equally_many_of_each_class(subset, n_images):
    sample = load_fashion_mnist_sample(subset=subset)
    assert sample.data.shape == (n_images, 28, 28)
    assert sample.data.dtype == np.uint8
    assert sample.target.dtype == np.int64
    assert_array_equal(np.bincount(sample.target), [n_images // 10] * 10)


def test_sample_is_the_train_subset_unless_asked_otherwise():
    assert_array_equal(
        load_fashion_mnist_sample().data, load_fashion_mnist_sample(subset="train").data
    )


def test_sample_mixes_the_classes_in_its_order():
    _, y = load_fashion_mnist_sample(return_X_y=True)
    assert all(len(np.unique(y[start : start + 200])) == 10 for start in range(0, 6000, 200))


def test_arrays_are_the_callers_own_to_change():
    sample = load_fashion_mnist_sample(subset="test")
    before = sample.data.copy()
    sample.data[:] = 0
    assert_array_equal(load_fashion_mnist_sample(subset="test").data, before)


@needs_the_full_set
@pytest.mark.parametrize("subset", ["train", "test"])
def test_sample_images_are_drawn_without_replacement_from_the_same_subset_of_the_full_set(subset):
    sample, full = (
        Counter((image.tobytes(), label) for image, label in zip(X, y, strict=True))
        for X, y in (
            load_fashion_mnist_sample(subset=subset, return_X_y=True),
            fetch_fashion_mnist(subset=subset, return_X_y=True, download_if_missing=False),
        )
    )
    assert not sample - full


@needs_the_full_set
@pytest.mark.skipif(not SAMPLE_SCRIPT.exists(), reason="the script is in the repository only")
def test_script_draws_the_shipped_sample_again(tmp_path):
    specification = importlib.util.spec_from_file_location("make_sample", SAMPLE_SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    script.write_sample(tmp_path)
    other_compressor = "ng" in zlib.ZLIB_RUNTIME_VERSION  # same content, other bytes
    for file in (f"{name}.gz" for name in FILES):
        drawn = (tmp_path / file).read_bytes()
        shipped = (_fashion_mnist._SHIPPED_FOLDER / file).read_bytes()
        assert gzip.decompress(drawn) == gzip.decompress(shipped)
        assert drawn == shipped or other_compressor


def test_sample_ships_with_its_licence():
    licence = (_fashion_mnist._SHIPPED_FOLDER / "LICENSE-fashion-mnist.txt").read_text()
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in licence
    assert "Permission is hereby granted, free of charge" in licence


def test_corrupt_sample_is_answered_with_advice_to_reinstall(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"\0" * 100))
    monkeypatch.setattr(_fashion_mnist, "_SHIPPED_FOLDER", tmp_path)
    with pytest.raises(OSError, match=r"train-images-idx3-ubyte\.gz is corrupt.*reinstall skclr"):
        load_fashion_mnist_sample()


# The full set


@needs_the_full_set
@pytest.mark.parametrize(
    ("subset", "n_images"), [("train", 60_000), ("test", 10_000), ("all", 70_000)]
)
def test_full_set_has_the_published_size(subset, n_images):
    full = fetch_fashion_mnist(subset=subset, download_if_missing=False)
    assert full.data.shape == (n_images, 28, 28)
    assert full.data.dtype == np.uint8
    assert_array_equal(np.bincount(full.target), [n_images // 10] * 10)


def test_full_set_is_read_as_torchvision_reads_it(small_set):
    raw = small_set.folders[1]
    raw.mkdir(parents=True)
    for name, content in small_set.content.items():
        (raw / name).write_bytes(content)
    X, y = fetch_fashion_mnist(return_X_y=True, download_if_missing=False)
    assert_array_equal(X, read_image_file(raw / FILES[0]).numpy())
    assert_array_equal(y, read_label_file(raw / FILES[1]).numpy())


@pytest.mark.parametrize(
    ("subset", "images"), [("train", slice(30)), ("test", slice(30, 50)), ("all", slice(50))]
)
def test_subset_chooses_the_images_and_all_is_train_then_test(small_set, subset, images):
    small_set.put(small_set.folders[0])
    X, y = fetch_fashion_mnist(subset=subset, return_X_y=True)
    assert_array_equal(X, small_set.images[images])
    assert_array_equal(y, small_set.labels[images])


@pytest.mark.parametrize("first", range(4))
def test_folders_are_searched_in_order_and_a_good_file_hides_later_ones(small_set, first):
    small_set.put(small_set.folders[first])
    for folder in small_set.folders[first + 1 :]:
        small_set.put(folder, corrupt=True)
    X, _ = fetch_fashion_mnist(return_X_y=True, download_if_missing=False)
    assert_array_equal(X, small_set.images[:30])


@pytest.mark.parametrize("first", range(4))
def test_corrupt_file_is_reported_and_neither_skipped_nor_deleted(small_set, first):
    small_set.put(small_set.folders[first], corrupt=True)
    for folder in small_set.folders[first + 1 :]:
        small_set.put(folder)
    file = small_set.folders[first] / f"{FILES[0]}.gz"
    expected = hashlib.sha256(small_set.content[FILES[0]]).hexdigest()
    found = hashlib.sha256(b"\0" * 100).hexdigest()
    with pytest.raises(OSError, match="is corrupt") as error:
        fetch_fashion_mnist()
    for part in (str(file), expected, found, "delete it"):
        assert part in str(error.value)
    assert gzip.decompress(file.read_bytes()) == b"\0" * 100


@pytest.mark.parametrize("n_bytes", [0, 5, 1000])
def test_truncated_gzip_file_is_reported_as_corrupt(small_set, n_bytes):
    small_set.put(small_set.folders[0])
    file = small_set.folders[0] / f"{FILES[0]}.gz"
    file.write_bytes(small_set.gzipped[file.name][:n_bytes])
    expected = hashlib.sha256(small_set.content[FILES[0]]).hexdigest()
    message = f"{re.escape(str(file))} is corrupt.*{expected}.*cannot be decompressed.*delete it"
    with pytest.raises(OSError, match=message):
        fetch_fashion_mnist()


def test_truncated_raw_file_is_reported_as_corrupt(small_set):
    small_set.put(small_set.folders[0])
    (small_set.folders[0] / FILES[0]).write_bytes(small_set.content[FILES[0]][:-1])
    with pytest.raises(OSError, match=f"{FILES[0]} is corrupt"):
        fetch_fashion_mnist()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\0\0\x08\x01\0\0\0\x05abcd", b"\0\0\x0d\x01\0\0\0\x04abcd"],
    ids=["empty", "no dimensions", "a byte short", "floats"],
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(OSError, match=r"odd-file is not a whole IDX file of unsigned bytes"):
        _fashion_mnist._parse_idx(content, Path("odd-file"))


def test_files_of_one_set_may_lie_in_different_folders(small_set):
    small_set.put(small_set.folders[0])
    small_set.put(small_set.folders[3])
    (small_set.folders[0] / f"{FILES[1]}.gz").unlink()
    _, y = fetch_fashion_mnist(return_X_y=True, download_if_missing=False)
    assert_array_equal(y, small_set.labels[:30])


def test_checksum_is_computed_once_for_a_file_that_does_not_change(small_set, monkeypatch):
    small_set.put(small_set.folders[0])
    hashed, sha256 = [], hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data: hashed.append(len(data)) or sha256(data))
    fetch_fashion_mnist()
    fetch_fashion_mnist()
    assert len(hashed) == 2  # the images and the labels


def test_checksum_is_computed_again_for_a_file_that_was_replaced(small_set):
    small_set.put(small_set.folders[0])
    fetch_fashion_mnist()
    file = small_set.folders[0] / f"{FILES[1]}.gz"
    mtime = file.stat().st_mtime
    file.write_bytes(gzip.compress(idx(np.zeros(30, np.uint8))))
    os.utime(file, (mtime + 1, mtime + 1))
    with pytest.raises(OSError, match="is corrupt"):
        fetch_fashion_mnist()


# Missing files


def test_missing_files_without_download_name_every_folder_and_the_ways_out(small_set):
    with pytest.raises(OSError, match="Fashion-MNIST is incomplete") as error:
        fetch_fashion_mnist(download_if_missing=False)
    ways_out = ("download_if_missing=True", "dataset-fashion-mnist")
    for part in (*map(str, small_set.folders), f"{FILES[0]}.gz", f"{FILES[1]}.gz", *ways_out):
        assert part in str(error.value)
    assert FILES[2] not in str(error.value)
    assert not small_set.requested


def test_search_creates_no_folder(small_set):
    with pytest.raises(OSError, match="incomplete"):
        fetch_fashion_mnist(download_if_missing=False)
    assert not small_set.data_home.exists()


@pytest.mark.parametrize("variable", ["{tmp}/elsewhere", "~/elsewhere", None])
def test_default_data_home_is_scikit_learns(small_set, tmp_path, monkeypatch, variable):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("SCIKIT_LEARN_DATA")
    if variable:
        monkeypatch.setenv("SCIKIT_LEARN_DATA", variable.format(tmp=tmp_path))
    assert _fashion_mnist._folders(None)[0] == Path(get_data_home()) / "fashion-mnist"


@pytest.mark.parametrize("kind", [str, Path])
def test_data_home_is_searched_and_downloaded_to_when_given(small_set, tmp_path, kind):
    small_set.on_the_mirror = small_set.gzipped
    fetch_fashion_mnist(data_home=kind(tmp_path / "mine"))
    small_set.on_the_mirror = {}
    X, _ = fetch_fashion_mnist(data_home=kind(tmp_path / "mine"), return_X_y=True)
    assert_array_equal(X, small_set.images[:30])
    assert not small_set.data_home.exists()


# Download, with torchvision's own code and a mirror in memory


def test_download_puts_all_four_files_into_data_home_and_nothing_else(small_set):
    small_set.on_the_mirror = small_set.gzipped
    X, y = fetch_fashion_mnist(subset="test", return_X_y=True)
    assert_array_equal(X, small_set.images[30:])
    assert_array_equal(y, small_set.labels[30:])
    assert sorted(path.name for path in small_set.folders[0].iterdir()) == sorted(small_set.gzipped)


def test_download_asks_only_for_the_files_that_are_in_no_folder(small_set):
    small_set.put(small_set.folders[3])
    (small_set.folders[3] / f"{FILES[2]}.gz").unlink()
    small_set.on_the_mirror = small_set.gzipped
    fetch_fashion_mnist(subset="test")
    assert set(small_set.requested) == {f"{FILES[2]}.gz"}


def test_nothing_is_downloaded_for_a_subset_that_is_there(small_set):
    small_set.put(small_set.folders[3])
    (small_set.folders[3] / f"{FILES[2]}.gz").unlink()
    fetch_fashion_mnist(subset="train")
    assert not small_set.requested


def test_download_prints_nothing(small_set, capsys):
    small_set.on_the_mirror = small_set.gzipped
    fetch_fashion_mnist()
    assert capsys.readouterr() == ("", "")


def test_second_mirror_is_tried_when_the_first_fails(small_set, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://one.invalid/", "http://two.invalid/"])
    small_set.on_the_mirror = small_set.gzipped

    def urlopen(request):
        if "one.invalid" in request.full_url:
            raise urllib.error.URLError("gone")
        return small_set.urlopen(request)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    X, _ = fetch_fashion_mnist(return_X_y=True)
    assert_array_equal(X, small_set.images[:30])


def test_no_network_is_one_sentence_that_says_what_to_do_and_leaves_no_file(small_set):
    with pytest.raises(OSError, match="Name or service not known") as error:
        fetch_fashion_mnist()
    for part in ("could not be downloaded", str(small_set.folders[0]), "dataset-fashion-mnist"):
        assert part in str(error.value)
    assert small_set.files() == []


@pytest.mark.parametrize("received", [b"", b"<html>log in to this network</html>", None])
def test_download_of_something_else_or_a_part_leaves_no_file(small_set, received):
    part = small_set.gzipped[f"{FILES[0]}.gz"][:-10] if received is None else received
    small_set.on_the_mirror = small_set.gzipped | {f"{FILES[0]}.gz": part}
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_fashion_mnist()
    assert small_set.files() == []


@pytest.mark.parametrize(
    ("interruption", "answer"),
    [
        (IncompleteRead(b""), OSError),
        (TimeoutError(), OSError),
        (KeyboardInterrupt(), BaseException),
    ],
)
def test_download_that_breaks_off_leaves_no_file(small_set, monkeypatch, interruption, answer):
    class BreaksOff(io.BytesIO):
        url, length = None, 10_000

        def read(self, size=-1):
            if self.tell() > 0:
                raise interruption
            return super().read(10)

    monkeypatch.setattr(urllib.request, "urlopen", lambda request: BreaksOff(b"x" * 10_000))
    with pytest.raises(answer) as error:
        fetch_fashion_mnist()
    assert interruption in (error.value, error.value.__cause__)
    assert small_set.files() == []


def test_download_after_a_failure_fetches_the_rest(small_set):
    small_set.on_the_mirror = {
        file: small_set.gzipped[file] for file in list(small_set.gzipped)[:2]
    }
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_fashion_mnist(subset="all")
    small_set.on_the_mirror = {
        file: small_set.gzipped[file] for file in list(small_set.gzipped)[2:]
    }
    X, _ = fetch_fashion_mnist(subset="all", return_X_y=True)
    assert_array_equal(X, small_set.images)


# What both return


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
