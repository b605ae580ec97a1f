"""Data sets wherever arrays go, with the labels that they bring."""

import tracemalloc

import numpy as np
import pytest
import torch
from classifiers import quick, weights
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from skorch.helper import SliceDataset
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import Grayscale

from skclr import (
    ScheduleComparison,
    SnapshotEnsemble,
    compare_schedules,
    load_fashion_mnist_sample,
    lr_candidates_test,
    lr_range_test,
)

pytestmark = pytest.mark.filterwarnings("ignore::skclr.exceptions.RangeTestWarning")

SWEEP = {"n_iter": 12, "n_repeats": 2, "min_lr": 1e-5, "max_lr": 1e-3, "random_state": 0}


class OneByOne(Dataset):
    """Samples that are made when they are asked for, and counted."""

    def __init__(self, X, y):
        self.X, self.y, self.n_made = X, y, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        self.n_made += 1
        return self.X[index], int(self.y[index])


class ImagesAlone(OneByOne):
    def __getitem__(self, index):
        return self.X[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 80 images in two folders of classes."""
    root = tmp_path_factory.mktemp("images")
    X, y = load_fashion_mnist_sample(return_X_y=True)
    for place, (image, label) in enumerate(zip(X[:80], y[:80] % 2, strict=True)):
        path = root / f"{'odd' if label else 'even'}" / f"{place:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return ImageFolder(root, transform=Grayscale())


@pytest.fixture(scope="module")
def arrays(folder):
    images = np.stack([np.asarray(image) for image, _ in folder])
    return images, np.array(folder.targets)


FORMS = {
    "folder": lambda data: data,
    "subset": lambda data: Subset(ConcatDataset([data, data]), range(len(data), 2 * len(data))),
    "parts": lambda data: ConcatDataset(
        [Subset(data, range(30)), Subset(data, range(30, len(data)))]
    ),
    "slice": SliceDataset,
    "slice of a subset": lambda data: SliceDataset(Subset(data, range(len(data)))),
    "pairs": list,
    "dicts": lambda data: [{"image": image, "label": label} for image, label in data],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_is_scored_and_predicted_like_its_arrays(folder, arrays, form):
    data, (X, y) = FORMS[form](folder), arrays
    expected = quick().fit(X, y)
    clf = quick().fit(data)
    assert_array_equal(weights(clf), weights(expected))
    assert clf.score(data) == clf.score(data, y) == expected.score(X, y)
    half = np.arange(len(y)) % 2
    assert clf.score(data, sample_weight=half) == expected.score(X, y, sample_weight=half)
    assert_array_equal(clf.predict(data), expected.predict(X))
    assert_array_equal(clf.predict_proba(data), expected.predict_proba(X))


@pytest.mark.parametrize("form", ["folder", "subset", "dicts"])
def test_rates_are_searched_on_a_data_set_as_on_its_arrays(folder, arrays, form):
    data, (X, y) = FORMS[form](folder), arrays
    expected = lr_range_test(quick(), X, y, **SWEEP)
    assert_array_equal(lr_range_test(quick(), data, **SWEEP).losses, expected.losses)
    settings = {"lrs": [0.001, 0.01], "epochs": 1, "random_state": 0}
    expected = lr_candidates_test(quick(), X, y, **settings)
    assert_array_equal(lr_candidates_test(quick(), data, **settings).losses, expected.losses)


@pytest.mark.parametrize("form", ["folder", "parts", "slice", "pairs"])
def test_schedules_are_compared_on_data_sets_as_on_their_arrays(folder, arrays, form, tmp_path):
    data, (X, y) = FORMS[form](folder), arrays
    candidates = {"one": quick(), "other": quick(max_lr=0.02)}
    expected = compare_schedules(candidates, X, y, X, y, seeds=1).runs
    store = tmp_path / "runs.csv"
    runs = compare_schedules(candidates, data, X_test=data, seeds=1, store=store).runs
    measured = ["test_accuracy", "test_loss", "train_loss"]
    assert_array_equal(runs[measured], expected[measured])
    again = compare_schedules(candidates, FORMS[form](folder), X_test=data, seeds=1, store=store)
    assert_array_equal(again.runs["seconds"], runs["seconds"])  # nothing was trained again
    other = Subset(folder, range(1, len(folder)))
    with pytest.raises(ValueError, match="runs on other data"):
        compare_schedules(candidates, other, X_test=data, seeds=1, store=store)


def test_a_data_set_that_draws_is_known_again_in_a_store(folder, tmp_path):
    class Noisy(OneByOne):
        def __getitem__(self, index):
            return torch.rand(8, 8), index % 2

    data = Noisy(range(20), range(20))
    store = tmp_path / "runs.csv"
    for _ in range(2):
        compare_schedules({"one": quick()}, data, X_test=data, seeds=1, store=store)
    assert len(ScheduleComparison.from_csv(store).runs) == 1


def test_plain_nets_and_classifiers_are_compared_on_one_data_set():
    X = np.random.RandomState(0).rand(40, 64).astype(np.float32)
    data = TensorDataset(torch.from_numpy(X), torch.arange(40) % 2)
    plain = NeuralNetClassifier(
        nn.Linear, module__in_features=64, module__out_features=2, max_epochs=1, verbose=0,
        criterion=nn.CrossEntropyLoss, train_split=None,
    )  # fmt: skip
    for candidates in ({"plain": plain}, {"plain": plain, "own": quick()}):
        runs = compare_schedules(candidates, data, X_test=data, seeds=1).runs
        assert runs["status"].tolist() == ["ok"] * len(candidates)
        expected = compare_schedules(
            candidates, X, np.arange(40) % 2, X, np.arange(40) % 2, seeds=1
        )
        assert_array_equal(runs["test_accuracy"], expected.runs["test_accuracy"])
    lr_range_test(plain, data, **SWEEP)


def test_large_images_are_in_memory_a_few_at_a_time():
    class Large(Dataset):
        targets = np.arange(200) % 2

        def __len__(self):
            return 200

        def __getitem__(self, index):
            return np.full((3, 256, 256), index, np.uint8), index % 2  # 39 MB in all

    class Pooled(nn.Module):
        def __init__(self, n_classes=2):
            super().__init__()
            self.linear = nn.Linear(3, n_classes)

        def forward(self, images):
            return self.linear(images.mean((2, 3)))

    clf = quick(module=Pooled, image_size=128, batch_size=16)
    clf.fit(Subset(Large(), range(40)))  # what is allocated once, for any data
    tracemalloc.start()
    clf.fit(Large()).score(Large())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


# ---------------------------------------------------------------- searches


def test_a_grid_is_searched_over_a_folder_without_its_images_in_memory(folder, arrays):
    X, y = arrays
    grid = {"max_lr": [0.01, 0.05]}
    expected = GridSearchCV(quick(), grid, cv=2).fit(X, y)
    images = SliceDataset(folder)
    for labels in (y, folder.targets, SliceDataset(folder, idx=1)):
        search = GridSearchCV(quick(), grid, cv=2, error_score="raise").fit(images, labels)
        assert_array_equal(
            search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
        )
    assert search.score(images, y) == search.best_estimator_.score(folder)


def test_a_slice_makes_one_image_at_a_time(folder, arrays):
    X, y = arrays
    data = OneByOne(X, y)
    slices = SliceDataset(data)
    cross_val_score(quick(standardize=False), slices, y, cv=2, error_score="raise")
    # two trainings of half of them, a look at their ends, two scores of a half, and some looks
    assert data.n_made < 4 * len(X)


def test_labels_of_a_slice_may_stand_alone_or_be_left_out(folder, arrays):
    _, y = arrays
    some = SliceDataset(folder, indices=np.arange(0, 80, 2))
    labels = SliceDataset(folder, idx=1)[np.arange(0, 80, 2)]
    expected = weights(quick().fit(some, y[::2]))
    assert_array_equal(weights(quick().fit(some, labels)), expected)
    assert_array_equal(weights(quick().fit(some)), expected)
    assert quick().fit(some).score(some, labels) == quick().fit(some).score(some)


def test_a_pipeline_is_scored_on_a_data_set(folder):
    pipeline = make_pipeline(quick()).fit(folder)
    assert pipeline.score(folder) == quick().fit(folder).score(folder)


def test_an_ensemble_is_scored_on_a_data_set(folder, arrays):
    X, y = arrays
    clf = quick(schedule="cosine_restarts", base_lr=1e-4, step_size=1, max_epochs=2)
    ensemble = SnapshotEnsemble(clf).fit(folder)
    assert (
        ensemble.score(folder)
        == ensemble.score(X, y)
        == SnapshotEnsemble(clf).fit(X, y).score(X, y)
    )
    with pytest.raises(ValueError, match="y is None"):
        ensemble.score(X)


# ---------------------------------------------------------------- refusals


class Untrained(nn.Module):
    """A network that is never built."""

    def __init__(self):
        pytest.fail("a training has begun")


class OneTuples(OneByOne):
    def __getitem__(self, index):
        return (self.X[index],)


class OneLists(OneByOne):
    def __getitem__(self, index):
        return [Image.fromarray(self.X[index])]


WITHOUT_LABELS = {
    "images alone": ImagesAlone,
    "tuples of one": OneTuples,
    "lists of one": OneLists,
    "subset of tuples": lambda X, y: Subset(OneTuples(X, y), range(len(X))),
    "parts of tuples": lambda X, y: ConcatDataset([OneTuples(X[:0], y), OneTuples(X, y)]),
    "slice of tuples": lambda X, y: SliceDataset(OneTuples(X, y)),
    "list of tuples": lambda X, y: [(Image.fromarray(image),) for image in X],
}


@pytest.fixture(params=WITHOUT_LABELS)
def unlabelled(request, arrays):
    return WITHOUT_LABELS[request.param](*arrays)


def test_a_data_set_without_labels_is_refused_before_any_training(arrays, unlabelled):
    X, y = arrays
    clf, never = quick().fit(X, y), quick(module=Untrained)
    calls = [
        lambda: clf.score(unlabelled),
        lambda: never.fit(unlabelled),
        lambda: never.partial_fit(unlabelled),
        lambda: SnapshotEnsemble(never).fit(unlabelled),
        lambda: quick().fit(X, y, X_val=unlabelled),
        lambda: lr_range_test(never, unlabelled, **SWEEP),
        lambda: lr_candidates_test(never, unlabelled),
        lambda: compare_schedules({"one": never}, unlabelled, X_test=unlabelled),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"y is None, and the samples .* have no labels"):
            call()
    with pytest.raises(ValueError, match=r"y_test is None, and the samples .* have no labels"):
        compare_schedules({"one": never}, X, y, unlabelled)
    assert clf.score(unlabelled, y) == clf.score(X, y)
    assert_array_equal(clf.predict(unlabelled), clf.predict(X))
    assert_array_equal(weights(quick().fit(unlabelled, y)), weights(clf))
    sweep = lr_range_test(quick(), unlabelled, y, **SWEEP)
    assert_array_equal(sweep.losses, lr_range_test(quick(), X, y, **SWEEP).losses)


class OfAnotherLibrary:
    """Samples by index, as a data set of another library has them."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return {"image": self.X[index], "label": self.y[index]}


EMPTY = {
    "pairs": OneByOne,
    "images alone": ImagesAlone,
    "another library's": OfAnotherLibrary,
    "subset": lambda X, y: Subset(OneByOne(X, y), []),
    "subset of some": lambda X, y: Subset(OneByOne(np.zeros((2, 28, 28)), [0, 1]), []),
    "parts": lambda X, y: ConcatDataset([OneByOne(X, y), OneByOne(X, y)]),
    "slice": lambda X, y: SliceDataset(OneByOne(X, y)),
    "tensors": lambda X, y: TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
}


@pytest.mark.parametrize("form", EMPTY)
def test_a_data_set_without_samples_is_answered_like_an_empty_array(arrays, form):
    X, y = arrays
    data = EMPTY[form](X[:0], y[:0])
    clf, never = quick().fit(X, y), quick(module=Untrained)
    calls = [
        lambda: clf.predict(data),
        lambda: clf.predict_proba(data),
        lambda: clf.score(data),
        lambda: clf.score(data, y[:0]),
        lambda: clf.partial_fit(data),
        lambda: never.fit(data),
        lambda: never.fit(data, y[:0]),
        lambda: quick().fit(X, y, X_val=data),
        lambda: quick().fit(X, y, X_val=data, y_val=y[:0]),
        lambda: lr_range_test(never, data, **SWEEP),
        lambda: lr_candidates_test(never, data),
        lambda: compare_schedules({"one": never}, data, X_test=data),
        lambda: compare_schedules({"one": never}, X, y, data),
        lambda: SnapshotEnsemble(never).fit(data),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^Found array with 0 sample\(s\)"):
            call()


def test_an_empty_part_takes_the_labels_from_no_other(arrays):
    X, y = arrays
    data = ConcatDataset([OneByOne(X[:0], y[:0]), OneByOne(X, y), OneByOne(X[:0], y[:0])])
    assert_array_equal(weights(quick().fit(data)), weights(quick().fit(X, y)))


def test_a_loader_is_answered_with_its_data_set_wherever_it_comes(arrays):
    X, y = arrays
    loader = DataLoader(OneByOne(X, y))
    clf, never = quick().fit(X, y), quick(module=Untrained)
    ensemble = SnapshotEnsemble(
        quick(schedule="cosine_restarts", base_lr=1e-4, step_size=1, max_epochs=2)
    ).fit(X, y)
    calls = [
        lambda: clf.predict(loader),
        lambda: clf.score(loader),
        lambda: clf.score(loader, y),
        lambda: ensemble.score(loader),
        lambda: never.fit(loader),
        lambda: never.fit(X, y, X_val=loader),
        lambda: lr_range_test(never, loader, **SWEEP),
        lambda: lr_candidates_test(never, loader),
        lambda: compare_schedules({"one": never}, loader, X_test=loader),
        lambda: compare_schedules({"one": never}, X, y, loader),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"X is a DataLoader, .* its data set, loader\.dataset"):
            call()


def test_arrays_without_labels_are_refused(arrays):
    X, y = arrays
    clf = quick().fit(X, y)
    for call in (
        lambda: clf.score(X),
        lambda: lr_range_test(quick(), X, **SWEEP),
        lambda: lr_candidates_test(quick(), X),
    ):
        with pytest.raises(ValueError, match="y is None, and the images are no data set"):
            call()
    with pytest.raises(ValueError, match="X_test is None"):
        compare_schedules({"one": quick()}, X, y)
    with pytest.raises(NotFittedError):
        quick().score(X)


def test_labels_that_are_none_are_no_labels(arrays):
    pairs = [(image, None) for image in arrays[0]]
    with pytest.raises(ValueError, match="have no labels"):
        quick().fit(Pairs(pairs))


class Pairs(Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


def test_images_of_several_sizes_are_answered_with_a_transform_to_give(arrays):
    X, y = arrays
    pairs = [(image[: 20 + label], label) for image, label in zip(X, y, strict=True)]
    with pytest.raises(ValueError, match=r"one size, such as torchvision.*Resize"):
        quick().fit(Pairs(pairs))
