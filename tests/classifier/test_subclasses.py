"""Classes derived from the classifier, with parameters of their own."""

import inspect

import numpy as np
import pytest
import torch
from classifiers import Flat
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier


class Sparse(CLRLeNetClassifier):
    """Adds a penalty on the weights."""

    def __init__(self, l1=1e-4, **kwargs):
        super().__init__(**kwargs)
        self.l1 = l1

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        penalty = sum(weights.abs().sum() for weights in self.module_.parameters())
        return super().get_loss(y_pred, y_true, *args, **kwargs) + self.l1 * penalty


class Tagging:
    """A mixin in skorch's manner, which takes everything and passes it on."""

    def __init__(self, *args, tag, **kwargs):
        super().__init__(*args, **kwargs)
        self.tag = tag


class Tagged(Tagging, CLRLeNetClassifier):
    """Takes its parameters from a mixin and from the classifier."""


class Closed(CLRLeNetClassifier):
    """Names all of its parameters."""

    def __init__(self, max_epochs=2, random_state=None):
        super().__init__(Flat, max_epochs=max_epochs, random_state=random_state)


def test_a_subclass_keeps_the_parameters_that_it_passes_on():
    copied = clone(Sparse(max_epochs=2, l1=0.5, optimizer__nesterov=True))
    assert (copied.max_epochs, copied.l1, copied.optimizer__nesterov) == (2, 0.5, True)
    assert set(Sparse().get_params(deep=False)) >= {"l1", "max_lr", "schedule", "module"}
    assert "l1=0.5" in repr(copied)


def test_parameters_of_a_subclass_and_of_the_classifier_are_searched_together(two_classes):
    clf = Sparse(module=Flat, max_epochs=1, random_state=0)
    search = GridSearchCV(clf, {"max_lr": [0.01, 0.02], "l1": [0.0, 1e-3]}, cv=2)
    assert len(search.fit(*two_classes).cv_results_["params"]) == 4


def test_a_mixin_that_passes_everything_on_keeps_all_parameters(two_classes):
    clf = Tagged(Flat, tag="a", max_epochs=1, random_state=0)
    copied = clone(clf)
    assert (copied.module, copied.tag, copied.max_epochs) == (Flat, "a", 1)
    first, *_ = inspect.signature(Tagged).parameters.values()
    assert first.name == "module"
    assert copied.fit(*two_classes).score(*two_classes) > 0.5


def test_a_subclass_that_names_its_parameters_has_no_others():
    assert set(Closed().get_params(deep=False)) == {"max_epochs", "random_state"}
    assert clone(Closed(max_epochs=3)).max_epochs == 3
    with pytest.raises(ValueError, match="max_lr"):
        Closed().set_params(max_lr=0.1)


def test_the_loss_of_a_subclass_is_the_one_that_is_trained_with(two_classes):
    X, y = two_classes
    alike = {"module": Flat, "max_epochs": 3, "random_state": 0}
    weak, strong = (Sparse(l1=l1, **alike).fit(X, y) for l1 in (0.0, 0.1))
    sizes = [
        sum(torch.linalg.vector_norm(w, 1).item() for w in clf.module_.parameters())
        for clf in (weak, strong)
    ]
    assert np.isfinite(sizes).all()
    assert sizes[1] < 0.9 * sizes[0]
