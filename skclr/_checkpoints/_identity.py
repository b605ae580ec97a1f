"""Which training a checkpoint is of, and in what two of them differ."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
import skorch
import torch

from skclr._fingerprint import parameter_texts, rows_digest
from skclr._process import isolated_generators
from skclr.lenet import engine_of

_SAMPLES_READ = 64  # of a data set that reads its images one by one
_DATA = {
    "X": "the training images",
    "y": "the training labels",
    "sample_weight": "the weights of the training samples",
    "X_val": "the validation images",
    "y_val": "the validation labels",
    "sample_weight_val": "the weights of the validation samples",
    "classes": "the classes",
}


def training_identity(
    net: skorch.NeuralNet, data: Mapping[str, Any], **others: Any
) -> dict[str, Any]:
    """Return what a training is told by, as values of JSON.

    Parameters
    ----------
    net : skorch.NeuralNet
        Whose parameters decide.
    data : mapping of str to array or None
        Images, labels, weights and classes, under the names X, y, sample_weight, the same with
        _val, and classes.
    **others : values of JSON
        What else tells it.
    """
    return {
        "parameters": parameter_texts(net),
        "data": {name: _digest(part) for name, part in data.items()},
        "versions": {
            "skclr": _own_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "skorch": skorch.__version__,
            **_versions_of_engine(net),
        },
        **others,
    }


def _versions_of_engine(net: skorch.NeuralNet) -> dict[str, str]:
    if engine_of(net) != "numba":
        return {}
    try:
        return {"numba": importlib.metadata.version("numba")}
    except importlib.metadata.PackageNotFoundError:  # the network says so, in a sentence
        return {}


def _own_version() -> str:
    # of the package, which imports this room and is not imported by it
    return sys.modules[__name__.partition(".")[0]].__version__


def _digest(part: Any) -> str | None:
    if part is None:
        return None
    if isinstance(part, np.ndarray):
        return rows_digest(part)
    with isolated_generators(0):  # of which a data set may draw
        return f"{len(part)} {rows_digest(np.asarray(part[places_looked_at(len(part))]))}"


def places_looked_at(n_samples: int) -> np.ndarray:
    """Return which samples tell a data set that reads them one by one, spread evenly."""
    return np.unique(np.linspace(0, n_samples - 1, _SAMPLES_READ).astype(int))


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Return a name for a training, the same with other versions."""
    told = {name: value for name, value in identity.items() if name != "versions"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in what two identities differ, in words."""
    words = [
        _two_values(name, old, new)
        for group in ("parameters", "versions")
        for name, old, new in _unlike(there[group], here[group])
    ]
    words += [f"{_DATA[name]} are others" for name, *_ in _unlike(there["data"], here["data"])]
    others = {*there, *here} - {"parameters", "versions", "data"}
    for name in sorted(others):
        old, new = there.get(name), here.get(name)
        if old == new:
            continue
        if name in _DATA:
            words.append(f"{_DATA[name]} are others")
        elif name == "beginning":
            words.append("the classifier goes on from other weights")
        else:
            words.append(_two_values(name, old, new))
    return words


def _unlike(there, here):
    for name in dict.fromkeys([*there, *here]):
        if there.get(name) != here.get(name):
            yield name, there.get(name), here.get(name)


def _two_values(name, old, new):
    if any(str(value).startswith("#") for value in (old, new)):
        return f"{name} is another one"
    shown = ["not set" if value is None else value for value in (old, new)]
    return f"{name} is {shown[0]} there and {shown[1]} here"
