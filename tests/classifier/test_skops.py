"""What is outside of skorch's parts is no tensor, so that skops and MLflow's format take it."""

import pickle

import pytest
import skops.io
import torch
from classifiers import NAMES, quick, weights
from numpy.testing import assert_array_equal

OWN = ("skclr.", "skorch.", "torch.")
OTHERS = {"builtins.print", "functools.partial", "classifiers.Flat"}


def tensors_in(value, path="", seen=None):
    """Return the places of all tensors that a value holds, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return [path]
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, (list, tuple, set)):
        parts = enumerate(value)
    else:
        parts = getattr(value, "__dict__", {}).items() if not isinstance(value, type) else ()
    return [place for name, part in parts for place in tensors_in(part, f"{path}.{name}", seen)]


def fitted(two_classes, **params):
    X, y = two_classes
    return quick(validation_fraction=0.2, **params).fit(X, NAMES[y])


@pytest.mark.parametrize("params", [{}, {"schedule": "batch_doubling"}, {"schedule": "one_cycle"}])
def test_no_tensor_stands_outside_of_the_parts_of_skorch(two_classes, params):
    state = fitted(two_classes, **params).__getstate__()
    parts = {"module_", "criterion_", "optimizer_", "__cuda_dependent_attributes__"}
    assert tensors_in({name: value for name, value in state.items() if name not in parts}) == []


@pytest.mark.parametrize(
    "params",
    [{}, {"schedule": "batch_doubling"}, {"schedule": "constant"}, {"batch_schedule": "noise"}],
)
def test_skops_saves_and_loads_it_and_it_learns_on(two_classes, params):
    X, y = two_classes
    clf = fitted(two_classes, **params)
    data = skops.io.dumps(clf)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith(OWN) or name in OTHERS for name in trusted)
    loaded = skops.io.loads(data, trusted=trusted)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(
        weights(loaded.partial_fit(X, NAMES[y])),
        weights(pickle.loads(pickle.dumps(clf)).partial_fit(X, NAMES[y])),
    )
