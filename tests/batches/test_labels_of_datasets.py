"""Labels of data sets: the right ones, and made of no more samples than need be."""

import numpy as np
import pytest
import skorch.dataset
import torch
from numpy.testing import assert_array_equal
from skorch.helper import SliceDataset
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from skclr.batches import BatchIterator, ImageDataset, opened

N = 100
LABELS = np.arange(N) // 7 % 5


class Counting(Dataset):
    """Samples that are counted; a label is a function of what `targets` tells."""

    def __init__(self, label=lambda told: told, name="targets", told=LABELS, **attributes):
        self.label, self.n_made = label, 0
        vars(self).update({name: told, "own": LABELS} | attributes)

    def __len__(self):
        return N

    def __getitem__(self, index):
        self.n_made += 1
        return np.full((2, 2), index), self.label(self.own[index])


class Columns(Counting):
    """A data set as Hugging Face's is, with columns beside its samples."""

    column_names = ("image", "label")
    format = {"type": None}

    def __getitem__(self, index):
        if index == "label":
            return self.own.tolist()
        image, label = super().__getitem__(index)
        return {"image": image, "label": label}


def labels_of(dataset):
    return opened(dataset)[1]


@pytest.mark.parametrize("name", ["targets", "labels"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, np.ndarray.tolist], ids=str)
def test_labels_that_are_told_are_taken_with_a_look_at_a_few_samples(name, kind):
    data = Counting(name=name, told=kind(LABELS))
    assert_array_equal(labels_of(data), LABELS)
    assert data.n_made <= 10


@pytest.mark.parametrize(
    "data",
    [
        Counting(label=lambda told: told % 2),
        Counting(label=lambda told: "ab"[told % 2]),
        Counting(label=lambda told: 4 if told == 3 else told),
        Counting(told=LABELS[::-1]),
        Counting(told=LABELS[:-1]),
        Counting(told="abc"),
        Counting(told=np.stack([LABELS, LABELS], axis=1)),
        Counting(name="something"),
        Columns(label=lambda told: told + 1),
        Columns(label=lambda told: told + 1, format={"type": "custom"}),
    ],
)
def test_labels_that_are_told_wrongly_or_not_at_all_are_read_from_the_samples(data):
    expected = [data.label(label) for label in LABELS]
    assert_array_equal(labels_of(data), expected)
    assert_array_equal(labels_of(Subset(data, [9, 3])), [expected[9], expected[3]])


def test_samples_of_an_image_alone_have_the_labels_that_are_told_if_any():
    class Alone(Counting):
        def __getitem__(self, index):
            return super().__getitem__(index)[:1]

    assert labels_of(Alone(name="something")) is None
    assert labels_of(Subset(Alone(name="something"), [9, 3])) is None
    assert_array_equal(labels_of(Alone()), LABELS)
    assert_array_equal(opened(Alone())[0][:], opened(Counting())[0][:])


def test_a_data_set_without_samples_is_refused():
    for empty in (Subset(Counting(), []), ImageDataset(np.zeros((0, 1, 2, 2)))):
        for labelled in (True, False):
            with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) in the data set"):
                opened(empty, labelled=labelled)


def test_a_target_transform_is_applied_to_what_is_told():
    data = Counting(label=lambda told: 7 * told, target_transform=lambda told: 7 * told)
    assert_array_equal(labels_of(data), 7 * LABELS)
    assert data.n_made <= 10


def test_a_column_tells_the_labels_of_samples_that_are_dicts():
    data = Columns(name="none")
    assert_array_equal(labels_of(data), LABELS)
    assert data.n_made <= 10


def test_a_function_that_makes_the_samples_is_not_asked_for_a_column():
    class Transformed(Columns):
        format = {"type": "custom"}

        def __getitem__(self, index):
            assert index != "label"
            return super().__getitem__(index)

    assert_array_equal(labels_of(Transformed(name="none")), LABELS)


@pytest.mark.parametrize(
    "part",
    [
        lambda data: Subset(data, range(0, N, 3)),
        lambda data: Subset(Subset(data, range(0, N, 3)), range(N // 3 + 1)),
        lambda data: SliceDataset(data)[np.arange(0, N, 3)],
        lambda data: SliceDataset(Subset(data, range(0, N, 3))),
        lambda data: Subset(ConcatDataset([data, data]), range(N + 2, 2 * N, 3)),
    ],
    ids=["subset", "subset of a subset", "slice", "slice of a subset", "subset of two"],
)
def test_a_part_of_a_data_set_has_the_labels_of_its_samples(part):
    data = part(Counting())
    images, labels = opened(data)
    assert_array_equal(labels, LABELS[np.ravel(images[:][:, 0, 0, 0])])
    assert len(images) == len(labels) == len(data)


def test_only_the_samples_of_a_part_are_read():
    data = Counting(name="something")
    labels_of(Subset(data, range(5)))
    assert data.n_made < 10


def test_data_sets_one_after_the_other_have_the_labels_of_both():
    told, read = Counting(), Counting(name="something")
    held = TensorDataset(torch.zeros(3, 2, 2), torch.tensor([4, 4, 0]))
    expected = [*LABELS, 4, 4, 0, *LABELS]
    assert_array_equal(labels_of(ConcatDataset([told, held, read])), expected)
    assert labels_of(ConcatDataset([told, ImageDataset(np.zeros((2, 1, 2, 2)))])) is None
    empty = TensorDataset(torch.zeros(0, 2, 2), torch.zeros(0))
    with_empty = ConcatDataset(
        [Subset(read, []), held, empty, ImageDataset(np.zeros((0, 1, 2, 2)))]
    )
    assert_array_equal(labels_of(with_empty), [4, 4, 0])
    named = Counting(label="abcde".__getitem__)
    with pytest.raises(ValueError, match="labels of several kinds"):
        labels_of(ConcatDataset([told, named]))


class OfOwnSamples:
    """Mixed in before a data set: other samples than that gives."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return np.asarray(image).reshape(2, 2) + 1000, 10 - int(label)

    def __getitems__(self, indices):
        return [self[index] for index in indices]


class OwnSubset(OfOwnSamples, Subset):
    pass


class OwnTensors(OfOwnSamples, TensorDataset):
    pass


class OwnParts(OfOwnSamples, ConcatDataset):
    pass


class OwnSkorch(skorch.dataset.Dataset):
    def transform(self, X, y):
        return X + 1000, 10 - y


class OwnSlice(SliceDataset):
    def transform(self, data):
        return data + 1000 if self.idx == 0 else 10 - data


IMAGES = np.arange(N).repeat(4).reshape(N, 2, 2)


@pytest.mark.parametrize(
    "data",
    [
        OwnSubset(Counting(), range(N)),
        OwnTensors(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        OwnParts([Counting()]),
        OwnSkorch(IMAGES, LABELS),
    ],
    ids=lambda data: type(data).__name__,
)
def test_a_subclass_that_gives_other_samples_is_asked_for_them(data):
    images, labels = opened(data)
    assert_array_equal(np.ravel(images[np.arange(N)][:, 0, 0, 0]), np.arange(N) + 1000)
    assert_array_equal(labels, 10 - LABELS)


def test_a_slice_of_a_subclass_is_asked_for_its_images():
    images, _ = opened(OwnSlice(Counting()))
    assert_array_equal(np.ravel(images[np.arange(N)][:, 0, 0, 0]), np.arange(N) + 1000)


def test_a_subset_that_gives_other_samples_is_not_read_by_whole_batches():
    data = OwnSubset(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)), range(N))
    with pytest.raises(TypeError, match="OwnSubset"):
        BatchIterator(data)
