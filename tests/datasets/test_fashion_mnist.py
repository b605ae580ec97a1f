import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import get_data_home
from small_fashion_mnist import FILES, idx, needs_the_full_set
from torchvision.datasets.mnist import read_image_file, read_label_file

from skclr.datasets import _fashion_mnist, fetch_fashion_mnist


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
