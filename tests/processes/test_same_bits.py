"""One training on several processes has the bits of one on one process, whatever it is like."""

import copy

import numpy as np
import pytest
import torch
from groups import bits, can_fork, in_group, sample_file, small, values
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import nn

from skclr import SnapshotEnsemble, lr_range_test
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import CycleAverage, GradientNoiseScale

pytestmark = [can_fork, pytest.mark.slow]

SCHEDULES = ["constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving",
             "cosine", "cosine_restarts", "batch_doubling"]  # fmt: skip


class TwoHeads(nn.Module):
    """A network of one's own, with a head that no loss depends on, and a tuple for an answer."""

    def __init__(self, n_classes=10):
        super().__init__()
        self.body = nn.Linear(1024, 20)
        self.head = nn.Linear(20, n_classes)
        self.unused = nn.Linear(20, 3)

    def forward(self, images):
        hidden = torch.tanh(self.body(images.flatten(1)))
        return self.head(hidden), hidden


class OfFirst(nn.CrossEntropyLoss):
    """The loss of the first part of an answer."""

    def forward(self, input, target):
        return super().forward(input[0] if isinstance(input, tuple) else input, target)


class Precise(nn.Sequential):
    """Weights of two dtypes."""

    def __init__(self, n_classes=10):
        super().__init__(nn.Flatten(), nn.Linear(1024, 12), nn.Tanh(), nn.Linear(12, n_classes))
        self[3].double()

    def forward(self, images):
        return self[3](self[2](self[1](self[0](images))).double()).float()


def by_function(iteration):
    return 0.05 / (1 + 0.1 * iteration)


CASES = {
    **{schedule: {"schedule": schedule} for schedule in SCHEDULES},
    "cosine_restarts": {"schedule": "cosine_restarts", "step_size": 1, "cycle_factor": 1.5},
    "a function": {"schedule": by_function},
    "growing from 2 pieces to 4": {"schedule": "batch_doubling", "batch_size": 88, "step_size": 1,
                                   "max_epochs": 4},
    "one sample in a batch": {"batch_size": 1, "max_epochs": 1},
    "two samples in a batch": {"batch_size": 2, "max_epochs": 1},
    "all in a batch": {"batch_size": 10_000},
    "augmentation": {"augmentation": RandomShiftFlip()},
    "an augmentation that draws nothing": {"augmentation": lambda images: images * 0.5},
    "class weights": {"class_weight": "balanced", "batch_size": 700},
    "held-out samples": {"validation_fraction": 0.2},
    "callbacks that end it": {"validation_fraction": 0.2, "max_epochs": 4, "max_lr": 1e-4,
                              "base_lr": 1e-5,
                              "callbacks": [EarlyStopping(patience=1, threshold=0.5)]},
    "noise scale": {"callbacks": [GradientNoiseScale(batch_size=64, n_batches=2)]},
    "averages": {"schedule": "triangular", "callbacks": [CycleAverage()]},
    "scheduler": {"schedule": None, "callbacks": [LRScheduler("StepLR", step_size=1)]},
    "Adam": {"optimizer": torch.optim.Adam, "max_lr": 0.01, "weight_decay": 1e-3},
    "LBFGS": {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 2, "schedule": "constant",
              "max_epochs": 1},
    "Nesterov": {"optimizer__nesterov": True},
    "two heads": {"module": TwoHeads, "criterion": OfFirst, "batch_size": 600},
    "two dtypes": {"module": Precise, "batch_size": 600},
    "convolutions by numba": {"module__engine": "numba", "batch_size": 100},
    "convolutions by numba in pieces": {"module__engine": "numba", "batch_size": 600,
                                        "augmentation": RandomShiftFlip()},
    "raw pixels": {"standardize": False, "max_lr": 0.01},
    "a generator of numbers": {"random_state": "RandomState(3)"},
}  # fmt: skip
FEW = ["exp_range", "one sample in a batch", "all in a batch", "growing from 2 pieces to 4",
       "augmentation", "held-out samples"]  # fmt: skip


def given(case):
    params = copy.deepcopy(CASES[case])
    if params.get("random_state") == "RandomState(3)":
        params["random_state"] = np.random.RandomState(3)
    return params


def trained(case, data, **params):
    X, y = data
    n = 8 if "in a batch" in case and "all" not in case else len(X)
    return bits(small(**given(case), **params).fit(X[:n], y[:n]), X)


@pytest.fixture(scope="module")
def images(_fashion):
    """700 images, of which a batch of 350 has two pieces, and a batch of all of them four."""
    X, y = _fashion
    return np.concatenate([X, X[100:]]), np.concatenate([y, y[100:]])


@pytest.fixture(scope="module")
def alone(images):
    return {case: trained(case, images) for case in CASES}


@pytest.fixture(scope="module")
def in_each(images):
    """What each process of groups of two, three and four has come to."""

    def train(cases):
        return lambda rank: {case: trained(case, images, distributed=True) for case in cases}

    cases = {2: list(CASES), 3: [*SCHEDULES, *FEW], 4: FEW}
    return {n: values(in_group(n, train(cases[n]))) for n in cases}


@pytest.mark.parametrize("case", CASES)
def test_every_process_has_the_bits_of_one_that_is_alone(in_each, alone, case):
    found = [end[case] for ends in in_each.values() for end in ends if case in end]
    assert len(found) == (9 if case in FEW else 5 if case in SCHEDULES else 2)
    assert found == [alone[case]] * len(found)


def test_the_cases_are_different_trainings(alone):
    found = [tuple(part.values()) for part in alone.values()]
    assert len(set(found)) == len(found)


# ---------------------------------------------------------------- other ways to train


def gone_on(data, **params):
    """Train by several calls, which change parameters in between."""
    X, y = data
    clf = small(schedule="batch_doubling", max_epochs=1, **params)
    clf.partial_fit(X, y, classes=np.arange(10)).set_params(max_lr=0.03)
    clf.partial_fit(X, y).set_params(module__activation=nn.ReLU)
    return bits(clf.set_params(warm_start=True, momentum=0.5).fit(X, y), X)


def validated(data, **params):
    X, y = data
    names = np.array(["shirt", "boot"])[y % 2]
    return bits(small(**params).fit(X[:400], names[:400], X_val=X[400:], y_val=names[400:]), X)


def weighed(data, **params):
    X, y = data
    weights = np.random.RandomState(0).uniform(0, 2, len(y))
    weights[::7] = 0
    clf = small(validation_fraction=0.2, class_weight={label: 1 + label for label in range(10)},
                **params)  # fmt: skip
    return bits(clf.fit(X, y, sample_weight=weights), X)


def searched(data, **params):
    X, y = data
    steps = make_pipeline(FunctionTransformer(np.asarray), small(max_epochs=1, **params))
    grid = {"clrlenetclassifier__schedule": ["one_cycle", "constant"],
            "clrlenetclassifier__max_lr": [0.05, 1e30]}  # fmt: skip
    search = GridSearchCV(steps, grid, cv=2).fit(X, y)
    best = bits(search.best_estimator_[-1], X)
    return best, search.cv_results_["mean_test_score"].tolist().__repr__()


def measured(data, **params):
    X, y = data[0][:140], data[1][:140]
    found = lr_range_test(small(batch_size=70, **params), X, y, n_iter=40, n_repeats=2,
                          random_state=0)  # fmt: skip
    return found.losses.tolist(), found.base_lr


def built_of_instances(data, **params):
    """Train with the criterion as an instance, and torch's own layers as a network."""
    X, y = data
    layers = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))
    return bits(small(module=layers, criterion=nn.CrossEntropyLoss(label_smoothing=0.1),
                      max_lr=0.01, **params).fit(X, y), X)  # fmt: skip


def kept_at_low_points(data, **params):
    X, y = data
    cycles = small(schedule="triangular", max_epochs=3, **params)
    return SnapshotEnsemble(cycles, n_members=2).fit(X, y).predict_proba(X).tobytes()


WAYS = [gone_on, validated, weighed, searched, measured, built_of_instances, kept_at_low_points]


@pytest.fixture(scope="module")
def ways_in_each(images):
    return values(in_group(2, lambda rank: [way(images, distributed=True) for way in WAYS]))


@pytest.mark.filterwarnings("ignore::skclr.range_test.RangeTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_so_has_one_that_is_trained_in_another_way(ways_in_each, images, way):
    expected = way(images)
    for found in ways_in_each:
        assert found[WAYS.index(way)] == expected


@pytest.mark.slow
def test_boundaries_are_measured_by_all_together(images):
    X, y = images
    given = {"max_lr": "auto", "batch_size": 100, "max_epochs": 1}
    expected = bits(small(**given).fit(X, y), X)
    found = in_group(2, lambda rank: bits(small(distributed=True, **given).fit(X, y), X))
    assert values(found) == [expected] * 2


def test_a_memory_map_is_read_by_each_process(images, tmp_path):
    X, y = images
    path = sample_file(tmp_path, X)

    def train(rank):
        return bits(small(distributed=True).fit(np.load(path, mmap_mode="r"), y), X)

    expected = bits(small().fit(X, y), X)
    assert values(in_group(2, train)) == [expected] * 2


def test_without_a_seed_all_processes_have_that_of_the_first(images):
    X, y = images

    def train(rank):
        np.random.seed(rank)
        first = bits(small(random_state=None, distributed=True).fit(X, y), X)
        drawn = np.random.RandomState(rank)
        second = small(random_state=drawn, distributed=True).fit(X, y)
        return first, bits(second, X)

    ends = values(in_group(2, train))
    assert ends[0] == ends[1]
    assert ends[0][1] == bits(small(random_state=np.random.RandomState(0)).fit(X, y), X)


def test_threads_in_each_process_change_no_bit(images):
    X, y = images

    def train(rank):
        torch.set_num_threads(2)
        return bits(small(batch_size=700, distributed=True).fit(X, y), X)

    assert values(in_group(2, train)) == [bits(small(batch_size=700).fit(X, y), X)] * 2


def test_a_group_of_one_is_a_process_like_any_other(images):
    X, y = images
    (found,) = values(in_group(1, lambda rank: bits(small(distributed=True).fit(X, y), X)))
    assert found == bits(small().fit(X, y), X)


def test_only_the_processes_that_take_part_in_it_need_the_others(images):
    X, y = images

    def train(rank):
        clf = small(distributed=True).fit(X, y)
        if rank:
            return None
        alone = small().fit(X, y)  # which waits for nobody
        return bits(clf, X) == bits(alone, X), clf.score(X, y) == alone.score(X, y)

    assert values(in_group(2, train))[0] == (True, True)
