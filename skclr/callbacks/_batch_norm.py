"""The statistics of batch normalization, computed anew for weights that no training has had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNet
from torch import nn
from torch.optim.swa_utils import update_bn

from skclr._process import isolated_generators
from skclr.callbacks._weights import modules_of

_SEED = 0  # of the order of the samples, whatever the training draws


def refresh_batch_norm(net: NeuralNet, dataset: Any) -> None:
    """Compute the statistics of batch normalization in one pass over the training data.

    Nothing is done where a net has none. Generators and the modes of the modules stay as they are.
    """
    answering = _Answering(net)
    layers = [
        layer
        for layer in answering.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    ]
    if not layers:
        return
    with _drawing_nothing(net), _as_before(answering):
        update_bn(net.get_iterator(dataset, training=True), answering)


class _Answering(nn.Module):
    """A net as the module that ``update_bn`` calls with each batch."""

    def __init__(self, net: NeuralNet):
        super().__init__()
        self.parts = nn.ModuleList(modules_of(net).values())
        self.infer = net.infer

    def forward(self, batch: Any) -> Any:
        """Return the net's answer."""
        return self.infer(batch)


@contextmanager
def _drawing_nothing(net: NeuralNet) -> Iterator[None]:
    given = net.get_params_for("iterator_train").values()
    kept = [(item, item.get_state()) for item in given if isinstance(item, torch.Generator)]
    try:
        with isolated_generators(_SEED, device=net.device):
            yield
    finally:
        for generator, state in kept:
            generator.set_state(state)


@contextmanager
def _as_before(module: nn.Module) -> Iterator[None]:
    """Put modes and momenta back, whatever interrupts the pass."""
    kept = [
        (part, name, getattr(part, name))
        for part in module.modules()
        for name in ("training", "momentum")
        if hasattr(part, name)
    ]
    try:
        yield
    finally:
        for part, name, value in kept:
            setattr(part, name, value)
