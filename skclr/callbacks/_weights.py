"""The weights of a net, taken out, averaged and put back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_avg_fn

States = Mapping[str, Mapping[str, Tensor]]


class Weights:
    """Copies of the weights and buffers of a net's modules, in main memory, that nothing changes.

    Parameters
    ----------
    states : mapping of str to mapping of str to Tensor
        The states of modules and criteria by their names.
    """

    def __init__(self, states: States):
        self.states = states

    @classmethod
    def of(cls, net: NeuralNet) -> Weights:
        """Return copies of what the net has now."""
        return cls(
            {
                name: {key: value.to("cpu", copy=True) for key, value in _state(part).items()}
                for name, part in modules_of(net).items()
            }
        )

    def averaged_with(self, net: NeuralNet, n: int) -> Weights:
        """Return the mean of these weights, which are that of `n`, and those of the net.

        Buffers are those of the net.
        """
        found = Weights.of(net)
        mean = get_swa_avg_fn()
        for name, part in modules_of(net).items():
            own, state = self.states[name], dict(found.states[name])
            for key, _ in part.named_parameters(remove_duplicate=False):
                state[key] = mean(own[key], state[key], n)
            found.states = {**found.states, name: state}
        return found

    def put_into(self, net: NeuralNet) -> None:
        """Copy the weights into the net."""
        for name, part in modules_of(net).items():
            part.load_state_dict(self.states[name], strict=False)  # what is no tensor stays

    def are_in(self, net: NeuralNet) -> bool:
        """Tell whether these are the weights that the net has."""
        there = Weights.of(net).states
        return there.keys() == self.states.keys() and all(
            there[name].keys() == own.keys()
            and all(torch.equal(there[name][key], own[key]) for key in own)
            for name, own in self.states.items()
        )

    def __getstate__(self) -> dict[str, Any]:
        # as bytes, which every kind of file for models can hold
        file = io.BytesIO()
        torch.save({name: dict(own) for name, own in self.states.items()}, file)
        return {"data": file.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.states = torch.load(io.BytesIO(state["data"]), weights_only=True)


def modules_of(net: NeuralNet) -> dict[str, nn.Module]:
    """Return the modules and criteria of a net by their names."""
    parts = {f"{name}_": getattr(net, f"{name}_", None) for name in net._modules + net._criteria}
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}


def _state(part: nn.Module) -> dict[str, Tensor]:
    state = part.state_dict()
    return {key: value.detach() for key, value in state.items() if isinstance(value, Tensor)}
