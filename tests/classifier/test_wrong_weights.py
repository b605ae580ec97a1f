"""Weights that cannot be: a sentence before any training, and nothing changed."""

import re

import numpy as np
import pytest
import torch
from classifiers import Flat, quick, weights
from numpy.testing import assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn

from skclr import CLRLeNetClassifier, compare_schedules, lr_candidates_test, lr_range_test

ONES = np.ones(60)


def changed(value):
    wrong = ONES.copy()
    wrong[7] = value
    return wrong


WRONG = {
    "negative": (changed(-2), "sample_weight must not be negative, and has -2"),
    "NaN": (changed(np.nan), "sample_weight must be finite"),
    "infinite": (changed(np.inf), "sample_weight must be finite"),
    "too few": (ONES[1:], r"the shape \(60,\), and has the shape \(59,\)"),
    "too many": (np.ones(120), r"the shape \(60,\), and has the shape \(120,\)"),
    "a column": (ONES[:, None], r"has the shape \(60, 1\)"),
    "a number": (1.0, r"has the shape \(\)"),
    "zeros": (ONES * 0, r"sample_weight must not be zero everywhere: nothing would count then\."),
    "words": (["heavy"] * 60, "sample_weight must be an array of numbers"),
    "one class": ("by class", "a sample_weight or class_weight of zero y has 1 class"),
}


def fitted(data):
    return quick(warm_start=True).fit(*data)


@pytest.mark.parametrize("call", ["fit", "partial_fit", "fit of a fitted one"])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_weights_of_samples_are_answered_with_a_sentence(two_classes, kind, call):
    X, y = two_classes
    given, words = WRONG[kind]
    given = (y == 9).astype(float) if isinstance(given, str) else given
    if call == "fit of a fitted one":
        clf = fitted(two_classes).set_params(warm_start=False)
        before = weights(clf), clf.history
    else:
        clf = quick()
    method = clf.partial_fit if call == "partial_fit" else clf.fit
    with pytest.raises(ValueError, match=words):
        method(X, y, sample_weight=given)
    if call == "fit of a fitted one":
        assert_array_equal(weights(clf), before[0])
        assert clf.history is before[1]
    else:
        assert not hasattr(clf, "classes_")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({1: 2}, "no weight for [9]: give each of the classes [1, 9] one"),
        ({}, "no weight for [1, 9]"),
        ({1: 2, 5: 1}, "leaves a class as it is. Its labels [5] are not among them."),
        ({"boot": 2, np.int64(2): 1}, "Its labels ['boot', 2] are not among them."),
        ({"1": 2, "9": 1}, "no weight for [1, 9]"),
        ({1: -1, 9: 1}, "class_weight must not be negative, and has -1"),
        ({1: np.nan, 9: 1}, "class_weight must be finite"),
        ({1: 0, 9: 0}, "class_weight must not be zero everywhere: nothing would count then."),
        ({1: 0, 9: 0, 5: 1}, "class_weight must not be zero everywhere"),
        ({1: "much", 9: 1}, "class_weight must be an array of numbers"),
        ({1: 0, 9: 1}, "a sample_weight or class_weight of zero y has 1 class: [9]"),
    ],
    ids=str,
)
def test_wrong_weights_of_classes_are_answered_with_a_sentence(two_classes, given, words):
    clf = quick(class_weight=given)
    with pytest.raises(ValueError, match=re.escape(words)):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")
    with pytest.raises(ValueError, match=re.escape(words.split(",")[0])):
        compare_schedules({"one": clf}, *two_classes, *two_classes, seeds=1)


def test_weights_without_a_sample_that_they_leave_are_named(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    clf.set_params(class_weight={1: 0, 9: 1})
    with pytest.raises(ValueError, match="Every sample of y has a weight of zero, by its class"):
        clf.partial_fit(X, y, sample_weight=y == 1)
    with pytest.raises(ValueError, match="Every sample of y_val has a weight of zero"):
        clf.partial_fit(X, y, X_val=X[y == 1], y_val=y[y == 1])


def test_weights_of_validation_data_go_with_them(two_classes):
    X, y = two_classes
    with pytest.raises(ValueError, match="sample_weight_val goes with X_val and y_val"):
        quick().fit(X, y, sample_weight_val=ONES)
    with pytest.raises(ValueError, match="sample_weight_val must not be negative"):
        quick().fit(X, y, X_val=X, y_val=y, sample_weight_val=-ONES)
    with pytest.raises(ValueError, match=r"sample_weight_val must not be zero .* would count then"):
        quick().fit(X, y, X_val=X, y_val=y, sample_weight_val=0 * ONES)


class NoReduction(nn.Module):
    def forward(self, scores, targets):
        return nn.functional.cross_entropy(scores, targets)


class AlwaysMean(NoReduction):
    reduction = "mean"


CRITERIA = [
    ({"criterion": NoReduction}, "NoReduction cannot take sample_weight or class_weight"),
    ({"criterion": AlwaysMean}, r"the shape \(60,\), and not \(\)"),
    ({"criterion__reduction": "none"}, "it needs an attribute `reduction`, 'mean' or 'sum'"),
    ({"criterion__weight": torch.ones(2)}, "give class_weight={label: weight, ...} in place of"),
    ({"criterion__ignore_index": 1}, "a class of weight 0 is ignored too"),
]


@pytest.mark.parametrize(("params", "words"), CRITERIA, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("by_class", [True, False])
def test_a_criterion_that_cannot_be_weighted_is_named(two_classes, params, words, by_class):
    clf = quick(**params, class_weight={1: 1, 9: 3} if by_class else None)
    given = None if by_class else np.arange(1, 61)
    with pytest.raises(ValueError, match=words):
        clf.fit(*two_classes, given)
    assert not hasattr(clf, "classes_")


def test_weights_to_score_with_are_looked_at_too(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    for given, words in [
        (-ONES, "negative"),
        (ONES * 0, "zero everywhere: nothing would count then"),
        (ONES[1:], "inconsistent"),
    ]:
        with pytest.raises(ValueError, match=words):
            clf.score(X, y, sample_weight=given)


def test_a_net_that_takes_no_weights_is_named(table):
    net = NeuralNetClassifier(nn.Linear, module__in_features=4, module__out_features=2)
    for test in (lr_range_test, lr_candidates_test):
        with pytest.raises(TypeError, match=r"NeuralNetClassifier\.fit has no such parameter"):
            test(net, *table, sample_weight=ONES)


def test_a_loss_of_ones_own_is_weighted_where_it_is_one_of_each_sample(two_classes):
    class Penalized(CLRLeNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            loss = super().get_loss(y_pred, y_true, *args, **kwargs)
            return loss + 0.0 * self.module_.linear.weight.square().sum()

    given = np.arange(1, 61)
    clf = Penalized(module=Flat, max_epochs=1, max_lr=0.01, random_state=0).fit(*two_classes, given)
    assert_array_equal(weights(clf), weights(quick().fit(*two_classes, given)))
