"""Two knobs: any schedule of the batch size beside any schedule of the learning rate."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from classifiers import Spy, lenet, quick, rates, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch.utils.data import DataLoader, TensorDataset

from skclr import CLRLeNetClassifier, GradientNoiseScale, compare_schedules, schedules
from skclr._fingerprint import fingerprint
from skclr.callbacks import BatchDoubling, BatchSizeSchedule, NoiseDoubling
from skclr.displays import BatchSizeDisplay, HistoryDisplay, ScheduleDisplay

SCHEDULES = ["constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving",
             "cosine", "cosine_restarts", None]  # fmt: skip
SIZES = [10, 30, 15, 60]
RAMP = partial(schedules.batch_steps, milestones=[1, 3], batch_size=10, factor=[1.5, 4])


def ramp(epoch):
    return SIZES[epoch]


GROWTHS = ["doubling", "noise", ramp, RAMP]


def sizes_of(clf):
    return clf.history_frame()["batch_size"].tolist()


def small(**params):
    given = {"max_epochs": 4, "batch_size": 10, "step_size": 1, "gamma": 0.97, "base_lr": 0.001}
    return quick(**(given | params))


# ---------------------------------------------------------------- both at once


def expected_rates(schedule, sizes, base=0.001, top=0.01):
    """Return the rates of epochs of 60 images by their formulas in epochs, and in updates."""
    counts = [-(-60 // size) for size in sizes]
    at = np.concatenate([epoch + np.arange(n) / n for epoch, n in enumerate(counts)])
    in_epoch, n_epochs = np.repeat(counts, counts), len(sizes)
    cycle = np.floor(1 + at / 2)
    height = np.maximum(0, 1 - np.abs(at - 2 * cycle + 1))
    if schedule == "one_cycle":
        return [
            schedules.one_cycle(e * n, max_lr=top, total_steps=n_epochs * int(n), div_factor=10)
            for e, n in zip(at, in_epoch, strict=True)
        ]
    scale = {
        "triangular": height,
        "triangular2": height / 2 ** (cycle - 1),
        "exp_range": height * 0.97 ** np.arange(len(at)),
        "cosine": (1 + np.cos(np.pi * at / n_epochs)) / 2,
        "cosine_restarts": (1 + np.cos(np.pi * (at % 1))) / 2,
    }
    if schedule in scale:
        return base + (top - base) * scale[schedule]
    return (
        np.maximum(base, top / 2 ** np.floor(at)) if schedule == "lr_halving" else [top] * len(at)
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("batch_schedule", GROWTHS, ids=["doubling", "noise", "own", "partial"])
def test_both_move_at_once_and_each_keeps_its_place(two_classes, schedule, batch_schedule):
    spy = Spy()
    clf = small(schedule=schedule, batch_schedule=batch_schedule, callbacks=[spy])
    sizes = sizes_of(clf.fit(*two_classes))
    measured = [epoch.get("noise_scale") for epoch in clf.history_]
    expected = {"doubling": [10, 20, 40, 80], ramp: SIZES, RAMP: [10, 15, 15, 60]}
    if batch_schedule == "noise":
        by_noise = [NoiseDoubling(10).batch_size_after(measured[:n]) for n in range(4)]
        expected = {"noise": by_noise}
    assert sizes == expected[batch_schedule]
    found = clf.history_frame("batch").groupby("epoch")["batch_size"].max()
    assert found.tolist() == [-(-60 // -(-60 // size)) for size in sizes]
    assert_allclose(rates(clf), expected_rates(schedule, sizes), rtol=1e-9)
    assert_array_equal(rates(clf), spy.rates_)


def test_a_schedule_of_ones_own_counts_the_updates_that_are_made(two_classes):
    clf = small(schedule=lambda t: 0.01 / (1 + t), batch_schedule=ramp).fit(*two_classes)
    assert_allclose(rates(clf), 0.01 / (1 + np.arange(6 + 2 + 4 + 1)))


def test_batch_doubling_is_short_for_a_constant_rate_and_a_doubled_batch(two_classes, tmp_path):
    X, y = two_classes
    alike = {"max_batch_size": 35, "step_size": 2}
    short = small(schedule="batch_doubling", **alike).fit(X, y)
    long = small(schedule="constant", batch_schedule="doubling", **alike).fit(X, y)
    assert_array_equal(weights(short), weights(long))
    assert sizes_of(short) == sizes_of(long) == [10, 10, 20, 20]
    kinds = [[(name, type(item)) for name, item in clf.callbacks_] for clf in (short, long)]
    assert kinds[0] == kinds[1]
    assert kinds[0][0] == ("batch_schedule", BatchDoubling)
    again = [pickle.loads(pickle.dumps(clf)).partial_fit(X, y) for clf in (short, long)]
    assert_array_equal(*map(weights, again))
    assert sizes_of(again[0]) == [10, 10, 20, 20, 35, 35, 35, 35]


# ---------------------------------------------------------------- what is refused


def test_two_schedules_of_the_batch_are_refused(two_classes):
    for other in ("doubling", "noise", ramp):
        clf = small(schedule="batch_doubling", batch_schedule=other)
        with pytest.raises(ValueError, match="batch_schedule has to be None") as caught:
            clf.fit(*two_classes)
        assert "\n" not in str(caught.value)
        assert not clf.initialized_
    clf = small(batch_schedule="noise", callbacks=[("mine", BatchDoubling(10))])
    with pytest.raises(ValueError, match=r"NoiseDoubling \('batch_schedule'\) and BatchDoubling"):
        clf.fit(*two_classes)
    clf = small(batch_schedule="noise", iterator_train__batch_size=7)
    with pytest.raises(ValueError, match="iterator_train__batch_size=7 would have no effect"):
        clf.fit(*two_classes)


@pytest.mark.parametrize("batch_schedule", ["doubling", "noise"])
def test_a_limit_below_the_first_size_is_refused(two_classes, batch_schedule):
    with pytest.raises(ValueError, match="max_batch_size must be at least batch_size"):
        small(batch_schedule=batch_schedule, max_batch_size=9).fit(*two_classes)


BAD = [0, 0.5, True, float("nan"), None, "64", np.array([64])]


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_function_that_gives_no_size_is_refused_before_anything_else(
    two_classes, bad, epoch, monkeypatch
):
    monkeypatch.setattr("skclr.classifier._estimator.measure_range", None)  # not called
    spy = Spy()
    clf = small(
        batch_schedule=lambda at: bad if at == epoch else 10, max_lr="auto", callbacks=[spy]
    )
    expected = f"^The schedule gave .* as the batch size of epoch {epoch}, .* at least 1 is needed"
    for call in (clf.fit, clf.partial_fit, lambda *data: clf.initialize()):
        with pytest.raises(ValueError, match=expected):
            call(*two_classes)
        assert not spy.training_
        assert not clf.initialized_
    with pytest.raises(ValueError, match=f"'odd': {expected[1:]}"):
        compare_schedules({"odd": clf}, *two_classes, *two_classes, seeds=1)


def test_a_function_that_fails_later_leaves_what_was_trained(two_classes):
    clf = small(batch_schedule=lambda epoch: 10 if epoch < 5 else 0).fit(*two_classes)
    before = weights(clf)
    with pytest.raises(ValueError, match="of epoch 5, counted from 0"):
        clf.partial_fit(*two_classes)
    assert_array_equal(weights(clf), before)
    assert sizes_of(clf) == [10] * 4
    assert clf.set_params(max_epochs=1).partial_fit(*two_classes).history_[-1, "batch_size"] == 10


def test_beyond_the_data_an_epoch_is_one_update(two_classes):
    clf = small(batch_schedule=lambda epoch: 61 + epoch).fit(*two_classes)
    assert clf.history_frame()["n_updates"].tolist() == [1] * 4
    assert sizes_of(clf) == [61, 62, 63, 64]
    with pytest.raises(ValueError, match="would make no update"):
        clone(clf).set_params(iterator_train__drop_last=True).fit(*two_classes)


# ---------------------------------------------------------------- as a parameter


def test_both_knobs_are_searched(two_classes):
    grid = {"schedule": ["cosine", "exp_range"],
            "batch_schedule": [None, "doubling", "noise", RAMP]}  # fmt: skip
    search = GridSearchCV(small(), grid, cv=2, error_score="raise").fit(*two_classes)
    assert search.cv_results_["mean_test_score"].shape == (8,)
    alone = clone(search.best_estimator_).fit(*two_classes)
    assert_array_equal(weights(alone), weights(search.best_estimator_))


def test_another_one_takes_effect_with_the_next_call(two_classes):
    clf = small(max_epochs=2).fit(*two_classes)
    clf.set_params(batch_schedule=ramp)
    assert sizes_of(clf.partial_fit(*two_classes)) == [10, 10, 15, 60]
    clf.set_params(batch_schedule=None)
    assert sizes_of(clf.partial_fit(*two_classes))[4:] == [10, 10]
    assert clf.get_params()["batch_size"] == 10


@pytest.mark.parametrize("batch_schedule", ["doubling", "noise", ramp])
@pytest.mark.parametrize("schedule", ["exp_range", "cosine_restarts", "constant"])
def test_two_epochs_and_two_more_are_four_bit_for_bit(two_classes, schedule, batch_schedule):
    X, y = two_classes
    params = {"schedule": schedule, "batch_schedule": batch_schedule, "max_batch_size": 40}
    four = small(**params).fit(X, y)
    two = small(**params, max_epochs=2).fit(X, y)
    two = pickle.loads(pickle.dumps(two)).partial_fit(X, y)
    warm = small(**params, max_epochs=2, warm_start=True).fit(X, y).fit(X, y)
    for clf in (two, warm):
        assert_array_equal(weights(clf), weights(four))
        assert_array_equal(rates(clf), rates(four))
        assert sizes_of(clf) == sizes_of(four)
    assert len(set(sizes_of(four))) > 1


@pytest.mark.parametrize("batch_schedule", ["noise", RAMP], ids=["noise", "partial"])
def test_any_images_and_labels_will_do(two_classes, batch_schedule):
    X, y = two_classes
    clf = small(batch_schedule=batch_schedule).fit(X, y)
    given = {"batch_schedule": batch_schedule}
    assert_array_equal(weights(small(**given).fit(X, y.astype(str))), weights(clf))
    lazy = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert sizes_of(small(**given).fit(lazy)) == sizes_of(clf)
    loader = small(**given, iterator_train=DataLoader, validation_fraction=0.25).fit(X, y)
    assert len(sizes_of(loader)) == 4
    alone = small(**given, callbacks="disable").fit(X, y)
    assert_array_equal(weights(alone), weights(clf))


def test_the_default_changes_no_digest_and_no_pickle_of_before():
    clf = CLRLeNetClassifier()
    before = CLRLeNetClassifier()
    del vars(before)["batch_schedule"]
    assert clf.get_params(deep=False).keys() - vars(before).keys() == {"batch_schedule"}
    opened = pickle.loads(pickle.dumps(before))
    assert opened.batch_schedule is None
    assert fingerprint(opened) == fingerprint(clf)
    other = CLRLeNetClassifier(batch_schedule="noise")
    assert len({fingerprint(clf), fingerprint(other)}) == 2
    assert fingerprint(clone(other)) == fingerprint(other)


def test_callbacks_of_a_pickle_of_before_are_not_begun_anew(two_classes):
    clf = small(callbacks=[("spy", Spy())]).fit(*two_classes)
    del vars(clf)["batch_schedule"]
    clf._training.parameters.pop("batch_schedule")
    opened = pickle.loads(pickle.dumps(clf)).set_params(max_epochs=1).partial_fit(*two_classes)
    assert len(dict(opened.callbacks_)["spy"].training_) == 5 * 6


# ---------------------------------------------------------------- beside the other parts


@pytest.mark.parametrize(
    ("batch_schedule", "first"), [("doubling", 20), ("noise", 20), (lambda e: np.int64(30), 30)]
)
def test_measured_boundaries_are_those_of_the_first_batch_size(
    two_classes, batch_schedule, first, monkeypatch
):
    class Enough(Exception):
        pass

    def looked_at(estimator, X, y, **kwargs):
        swept = clone(estimator).without_schedule()
        seen.append((swept.batch_size, swept.batch_schedule, swept.schedule))
        raise Enough

    seen = []
    monkeypatch.setattr("skclr.classifier._boundaries.measure_sweeps", looked_at)
    clf = small(max_lr="auto", batch_size=20, batch_schedule=batch_schedule)
    with pytest.raises(Enough):
        clf.fit(*two_classes)
    assert seen == [(first, None, None)]


def test_a_comparison_takes_both_knobs_and_counts_what_a_measurement_takes(two_classes):
    candidates = {
        name: small(schedule="cosine", batch_schedule=name if name != "ramp" else RAMP)
        for name in ("doubling", "noise", "ramp")
    }
    found = compare_schedules(candidates, *two_classes, *two_classes, seeds=2)
    assert (found.runs["status"] == "ok").all()
    epochs = found.history.set_index(["candidate", "seed"])
    assert epochs.loc[("doubling", 0), "batch_size"].tolist() == [10, 20, 40, 80]
    for seed in (0, 1):
        own = epochs.loc[("noise", seed)]
        alone = clone(candidates["noise"]).set_params(random_state=seed).fit(*two_classes)
        assert own["batch_size"].tolist() == sizes_of(alone)
        assert own["noise_scale"].tolist() == alone.history_[:, "noise_scale"]
        run = found.runs.set_index(["candidate", "seed"]).loc[("noise", seed)]
        assert run["seconds"] == pytest.approx(own["seconds"].sum())
    BatchSizeDisplay.from_comparison(found, "noise")


def test_seconds_of_a_measurement_are_of_the_training(two_classes, monkeypatch):
    def slow(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        NoiseDoubling.__mro__[1].on_epoch_end(self, net, dataset_train, dataset_valid)
        self.seconds_.append(1000.0)

    monkeypatch.setattr(NoiseDoubling, "on_epoch_end", slow)
    found = compare_schedules(
        {"noise": small(batch_schedule="noise")}, *two_classes, *two_classes, seeds=1
    )
    assert found.runs["seconds"].item() == pytest.approx(4000, abs=100)
    assert_allclose(found.history["seconds"], 1000, atol=100)


def test_displays_show_both(two_classes):
    clf = small(schedule="triangular", batch_schedule="noise", validation_fraction=0.25)
    clf.fit(*two_classes)
    both = ScheduleDisplay.from_estimator(clf)
    assert len(both.lines_) == 1 + (len(set(sizes_of(clf))) > 1)
    assert len(HistoryDisplay.from_estimator(clf).lines_) == 4
    by_size = BatchSizeDisplay.from_estimator(clf)
    assert by_size.batch_size.tolist() == sizes_of(clf)
    assert by_size.noise_scale[0].tolist() == clf.history_[:, "noise_scale"]


def test_a_noise_scale_of_ones_own_is_gone_by(two_classes):
    own = GradientNoiseScale(batch_size=5, n_batches=4)
    clf = small(batch_schedule="noise", callbacks=[own]).fit(*two_classes)
    measured = clf.history_[:, "noise_scale"]
    assert measured == small(callbacks=[own], batch_schedule=sizes_of(clf).__getitem__).fit(
        *two_classes
    ).history_[:, "noise_scale"]  # fmt: skip
    expected = [NoiseDoubling(10).batch_size_after(measured[:n]) for n in range(4)]
    assert sizes_of(clf) == expected


def test_a_function_may_be_a_method_or_a_partial_and_warns_of_nothing(two_classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = lenet(batch_schedule=BatchDoubling(20, every=1).batch_size_at, max_epochs=2)
        assert sizes_of(clf.fit(*two_classes)) == [20, 40]
        assert isinstance(dict(clf.callbacks_)["batch_schedule"], BatchSizeSchedule)
