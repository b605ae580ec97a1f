"""Whether a network takes images of a size, found out before it is trained."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from skorch.callbacks import Callback, InputShapeSetter

from skclr._process import isolated_generators, one_thread
from skclr._training._network import Network
from skclr._training._state import PredictionState

_OF_LENET = (32, 32)  # of other networks, the first batch tells


def check_takes_images(net: Any, state: PredictionState) -> None:
    """Raise ValueError unless the network that would be built takes images of this size.

    Parameters
    ----------
    net : skorch.NeuralNet
        A net with its parameters builds a network, which is given black images and forgotten.
    state : PredictionState
        Tells the size and the channels of the images, and the classes.
    """
    if state.image_size == _OF_LENET or _may_be_set_up_by_callbacks(net):
        return
    twin = type(net)(**net.get_params(deep=False))
    twin._prediction = state
    with isolated_generators(0, device=net.device), one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again with the network that is trained
        with twin._current_init_context("module"):
            twin.initialize_module()
        module = twin.module_.to(net.device or "cpu").eval()
        network = Network(module, state, net.device)
        shape = (2, state.input_shape.image_shape[0], *state.image_size)
        with torch.no_grad():
            network.answer(torch.zeros(shape, dtype=network.dtype, device=network.device))


def _may_be_set_up_by_callbacks(net: Any) -> bool:
    """Tell whether a callback may build another network when the training begins."""
    given = net.callbacks if isinstance(net.callbacks, list) else []
    kinds = [_kind(item[1] if isinstance(item, tuple) else item) for item in given]
    return any(
        issubclass(kind, InputShapeSetter)
        or (
            kind.__module__.split(".")[0] not in ("skclr", "skorch")
            and kind.on_train_begin is not Callback.on_train_begin
        )
        for kind in kinds
    )


def _kind(callback: Any) -> Any:
    return callback if isinstance(callback, type) else type(callback)
