"""Data that are read batch by batch, and batches in pieces."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import skorch.dataset
import torch
import torch._inductor.config
from classifiers import NAMES, Flat, quick, weights
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms.v2.functional import pil_to_tensor

from skclr import CLRLeNetClassifier

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


def test_samples_may_be_dicts_and_images_may_come_one_by_one(fashion):
    X, y = fashion
    pictures = [Image.fromarray(image) for image in X]
    samples = [{"image": image, "label": label} for image, label in zip(pictures, y, strict=True)]
    expected = quick().fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    clf = quick().fit(samples[:300], X_val=samples[300:])
    assert_array_equal(clf.history_frame()["valid_acc"], expected.history_frame()["valid_acc"])
    for given in (samples, pictures, pd.DataFrame({"image": pictures})):
        assert_array_equal(clf.predict_proba(given), expected.predict_proba(X))


def test_a_range_is_measured_on_a_dataset_as_on_its_arrays(fashion):
    X, y = fashion
    boundaries = {"base_lr": "auto", "max_lr": "auto"}
    expected = quick(**boundaries).fit(X, y)
    clf = quick(**boundaries).fit(OneByOne(X, y))
    assert (clf.base_lr_, clf.max_lr_) == (expected.base_lr_, expected.max_lr_)
    assert_array_equal(weights(clf), weights(expected))


def test_what_a_dataset_lacks_is_said_before_any_training(fashion):
    X, y = fashion
    for unlabelled in (skorch.dataset.Dataset(X), ImagesAlone(X, y)):
        with pytest.raises(ValueError, match="have no labels"):
            quick().fit(unlabelled)
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
