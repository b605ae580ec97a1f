import gzip
import importlib.util
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from small_fashion_mnist import FILES, needs_the_full_set

from skclr.datasets import _fashion_mnist, fetch_fashion_mnist, load_fashion_mnist_sample

SAMPLE_SCRIPT = Path(__file__).parents[2] / "tools" / "make_fashion_mnist_sample.py"


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
