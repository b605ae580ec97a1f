"""Images kept on a device for a training: rehearsed with the memory of the CPU."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback
from torch.utils.data import Subset, TensorDataset

from skclr import CLRLeNetClassifier
from skclr._training import _checkpointed
from skclr.batches import BatchIterator, ImageDataset, _on_device, kept_on_device, opened

CPU = torch.device("cpu")


def rehearsed(monkeypatch, n_bytes=2**30):
    """Have the memory of the CPU stand in for that of a GPU."""
    keep = _on_device._keep
    monkeypatch.setattr(_on_device, "free_memory", lambda device: n_bytes)
    monkeypatch.setattr(_on_device, "_keep", lambda device, *rest: keep(CPU, *rest))
    return kept_on_device(torch.device("cuda"), [])


def kept(datasets, n_bytes=2**30):
    """Keep copies in the memory of the CPU, and return whether each data set has one."""
    list(_on_device._keep(CPU, datasets, n_bytes))
    sources = [_on_device.source_of(dataset)[0] for dataset in datasets]
    return [getattr(source, "on_device", None) is not None for source in sources]


def images(n=23, weights=False, dtype=np.uint8):
    X = (np.arange(n * 2 * 9) % 251).reshape(n, 2, 3, 3).astype(dtype)
    return ImageDataset(X, np.arange(n) % 3, weights=np.linspace(0, 1, n) if weights else None)


def batches(dataset, seed=None, **params):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    iterator = BatchIterator(dataset, 5, shuffle=seed is not None, generator=generator, **params)
    return list(iterator)


@pytest.mark.parametrize("part", [None, [3, 1, 22, -1, 7, 7, 0], range(4, 19)])
@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_batches_are_the_same(part, seed, weights, dtype):
    dataset = images(weights=weights, dtype=dtype)
    dataset = dataset if part is None else Subset(dataset, part)
    plain = batches(dataset, seed, even=True)
    assert kept([dataset]) == [True]
    for own, expected in zip(batches(dataset, seed, even=True), plain, strict=True):
        assert len(own) == len(expected) == 2 + weights
        for own_part, expected_part in zip(own, expected, strict=True):
            assert own_part.dtype == expected_part.dtype
            assert torch.equal(own_part, expected_part)


def test_large_images_are_copied_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(_on_device, "_BYTES_AT_ONCE", 50)
    dataset = images()
    assert kept([dataset]) == [True]
    assert_array_equal(dataset.on_device.images, dataset.images)


def test_views_are_copied_too_whatever_their_strides():
    X = np.moveaxis(np.arange(6 * 3 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3, 3), 3, 1)[::-1]
    dataset = ImageDataset(X, np.arange(6))
    assert kept([dataset]) == [True]
    assert_array_equal(dataset.on_device.images, X)


def test_images_that_do_not_fit_are_left_where_they_are():
    first, second = images(), images()
    n_bytes = first.images.nbytes
    assert kept([images()], n_bytes - 1) == [False]
    assert kept([first, second], n_bytes) == [True, False]


def test_training_and_validation_share_a_copy_of_the_same_images():
    train = images()
    valid = ImageDataset(train.images, train.targets)
    datasets = [Subset(train, range(10)), Subset(valid, range(10, 23))]
    assert kept(datasets, train.images.nbytes) == [True, True]
    assert train.on_device.images is valid.on_device.images


def test_some_of_the_images_of_an_array_are_kept_as_they_are_by_themselves():
    whole = images()
    some, _ = opened(Subset(whole, [5, 3, 8]))
    dataset = ImageDataset(some, np.array([0, 1, 0]))
    assert kept([dataset], whole.images.nbytes // 7) == [True]
    assert_array_equal(dataset.on_device.images, some[np.arange(3)])


def test_what_is_no_array_in_memory_is_left_as_it_is(tmp_path):
    np.save(tmp_path / "X.npy", images().images)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    targets = np.zeros(23, dtype=np.int64)
    samples = [(torch.zeros(1, 4, 4), 0)] * 23
    one_by_one, _ = opened(samples)
    datasets = [
        ImageDataset(on_disk, targets),
        ImageDataset(np.asarray(on_disk), targets),
        ImageDataset(on_disk[:, :1], targets),
        ImageDataset(one_by_one, targets),
        ImageDataset(images(dtype="uint16").images, targets),
        ImageDataset(images().images),
        TensorDataset(torch.zeros(23, 1)),
    ]
    assert kept(datasets) == [False] * len(datasets)


def test_copies_end_with_the_context_also_by_an_error(monkeypatch):
    rehearsed(monkeypatch)
    dataset = images()
    with kept_on_device(torch.device("cuda"), [dataset]):
        assert dataset.on_device is not None
        with kept_on_device(torch.device("cuda"), [dataset]):
            pass
        assert dataset.on_device is not None
    assert dataset.on_device is None
    with pytest.raises(ArithmeticError), kept_on_device(torch.device("cuda"), [dataset]):
        raise ArithmeticError
    assert dataset.on_device is None


def test_nothing_is_kept_for_the_cpu():
    dataset = images()
    with kept_on_device(CPU, [dataset]):
        assert dataset.on_device is None


def test_a_wrong_index_is_an_error_of_python():
    dataset = images()
    kept([dataset])
    for wrong in (23, -24):
        with pytest.raises(IndexError, match="out of range for 23 images"):
            batches(Subset(dataset, [0, wrong]))


def test_a_copy_goes_into_no_pickle():
    dataset = images()
    kept([dataset])
    assert pickle.loads(pickle.dumps(dataset)).on_device is None
    assert dataset.on_device is not None


@pytest.mark.parametrize(
    "params", [{}, {"validation_fraction": 0.3}, {"class_weight": "balanced"}, {"max_lr": "auto"}]
)
def test_a_training_is_the_same(fashion, monkeypatch, params):
    X, y = fashion
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            held = [
                _on_device.source_of(part)[0] for part in (dataset_train, dataset_valid) if part
            ]
            seen.append([part.on_device is not None for part in held])

    def fitted():
        clf = CLRLeNetClassifier(max_epochs=2, random_state=0, callbacks=[Look()], **params)
        return clf.fit(X[:300], y[:300])

    plain = fitted()
    rehearsed(monkeypatch)
    keep = _on_device.kept_on_device
    monkeypatch.setattr(
        _checkpointed, "kept_on_device", lambda device, parts: keep(torch.device("cuda"), parts)
    )
    held = fitted()
    assert [any(epoch) for epoch in seen] == [False, False, True, True]
    assert all(all(epoch) for epoch in seen[2:])
    for own, other in zip(held.module_.parameters(), plain.module_.parameters(), strict=True):
        assert torch.equal(own, other)
    epochs = [[epoch["train_loss"] for epoch in clf.history_] for clf in (held, plain)]
    assert epochs[0] == epochs[1]
