"""The state of a training, and of a prediction, each as one value."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import skorch
from skorch.callbacks import Callback

from skclr._history import count_updates
from skclr._process import GeneratorStates
from skclr.batches import ImagePreparation, InputShape, pixel_statistics


@dataclass(frozen=True, eq=False)
class PredictionState:
    """What a prediction needs besides the weights.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, in the order of the scores.
    input_shape : InputShape
        The form of the images.
    pixel_mean, pixel_std : ndarray of shape (channels,) or None
        What standardizes the pixels.
    image_size : tuple of int
        Height and width to which images are brought.
    """

    classes: np.ndarray
    input_shape: InputShape
    pixel_mean: np.ndarray | None = None
    pixel_std: np.ndarray | None = None
    image_size: tuple[int, int] = (32, 32)  # pickles of before have none

    def standardizing(
        self, images: Any, indices: np.ndarray | None, weights: np.ndarray | None
    ) -> PredictionState:
        """Return the state with the statistics of these of the images, and their weights."""
        mean, std = pixel_statistics(images, indices, weights)
        return replace(self, pixel_mean=mean, pixel_std=std)

    @cached_property
    def labels_are_indices(self) -> bool:
        """Whether the labels are 0, 1, ..., and so are their own indices."""
        return np.array_equal(self.classes, np.arange(len(self.classes)))

    def preparation(self) -> ImagePreparation:
        """Return what makes float images of what comes in."""
        return ImagePreparation(
            self.input_shape.image_shape, self.pixel_mean, self.pixel_std, self.image_size
        )

    def module_parameters(self) -> dict[str, Any]:
        """Return the parameters of a module that follow from the data and the size of images."""
        height, width = self.image_size
        return {
            "n_classes": len(self.classes),
            "in_channels": self.input_shape.image_shape[0],
            "image_size": height if height == width else self.image_size,
        }


class Boundaries(NamedTuple):
    """The boundaries of the learning rate, and the range test that measured them, if one did."""

    base_lr: float | None = None
    max_lr: float | None = None
    lr_range: Any = None


@dataclass(frozen=True)
class TrainingState:
    """What a training goes on from besides its network, optimizer, callbacks and history.

    Parameters
    ----------
    generators : GeneratorStates or None
        Where the random generators were left.
    split_seed : int or None
        Determines which samples are held out.
    boundaries : Boundaries
        Between which the learning rate moves.
    parameters : dict
        Those in effect: what was set since takes effect with the next call.
    weights_loaded : bool
        Whether the network holds weights that were loaded before any data were seen.
    n_calls : int
        The calls of `fit` and `partial_fit` that have trained it since its weights were new.
    """

    generators: GeneratorStates | None = None
    split_seed: int | None = None
    boundaries: Boundaries = field(default_factory=Boundaries)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights_loaded: bool = False
    n_calls: int = 0


class Snapshot:
    """A net as it was, to which it can be put back.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.
    copied : bool
        Whether the states of its network and optimizer are copied, since what comes works on them;
        otherwise they are kept as they are, since what comes makes new ones.
    """

    def __init__(self, net: skorch.NeuralNet, *, copied: bool):
        self._net = net
        self._attributes = dict(vars(net))
        self._callbacks = [(item, dict(vars(item))) for item in _callbacks_of(net)]
        history = net.history_ or []
        self._n_epochs = len(history)
        self._n_updates = count_updates(history)
        names = [*net._modules, *net._criteria, *net._optimizers] if copied else []
        parts = {name: getattr(net, f"{name}_", None) for name in names}
        self._states = [
            (part, copy.deepcopy(part.state_dict()))
            for part in parts.values()
            if part is not None and hasattr(part, "state_dict")
        ]

    def n_updates_since(self) -> int:
        """Return the number of updates that the net has made since."""
        history = self._net.history_
        before = self._n_updates if history is self._attributes.get("history_") else 0
        return count_updates(history) - before

    def put_back(self) -> None:
        """Make the net what it was."""
        vars(self._net).clear()
        vars(self._net).update(self._attributes)
        for callback, attributes in self._callbacks:
            vars(callback).clear()
            vars(callback).update(attributes)
        if self._net.history_ is not None:
            del self._net.history_[self._n_epochs :]
        for part, state in self._states:
            part.load_state_dict(state)


def _callbacks_of(net: skorch.NeuralNet) -> Iterable[Callback]:
    """Return the callbacks whose state belongs to the training; a user's own is the user's."""
    found = [callback for _, callback in getattr(net, "callbacks_", ())]
    libraries = ("skclr", "skorch")
    return [item for item in found if type(item).__module__.split(".")[0] in libraries]
