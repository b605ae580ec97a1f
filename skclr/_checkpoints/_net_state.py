"""The state of a skorch net in the middle of a training, taken out and put back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import skorch
import torch
from torch import nn

from skclr._checkpoints._callbacks import decode_callback, encode_callback, load_callback
from skclr._checkpoints._checks import check_optimizer, check_weights
from skclr._checkpoints._format import digest
from skclr._checkpoints._values import Tensors, decode, encode
from skclr._process import GeneratorStates, generator_states, set_generator_states


def encode_net(net: skorch.NeuralNet, tensors: Tensors) -> tuple[dict[str, Any], list[str]]:
    """Return what decides the bits to come, and the names of callbacks whose state is not known."""
    callbacks, unknown = {}, []
    for name, callback in net.callbacks_:
        if getattr(callback, "only_watches", False) and not hasattr(callback, "state_dict"):
            continue
        callbacks[name], whole = encode_callback(callback, f"callbacks/{name}", tensors)
        if not whole:
            unknown.append(f"{name} ({type(callback).__name__})")
    return {
        **encode_weights(net, tensors),
        "frozen": [name for name, part in _parameters(net) if not part.requires_grad],
        "gradients": _encoded_gradients(net, tensors),
        "generators": encode_generators(net, "generators", tensors),
        "callbacks": callbacks,
    }, unknown


def encode_weights(net: skorch.NeuralNet, tensors: Tensors) -> dict[str, Any]:
    """Return the states of networks, criteria and optimizers."""
    return {
        name: encode(part.state_dict(), name, tensors)
        for name, part in _parts(net)
        if hasattr(part, "state_dict")
    }


def beginning_digest(net: skorch.NeuralNet, generators: GeneratorStates | None = None) -> str:
    """Return a digest of what a training begins from: weights, optimizers, and generators."""
    tensors: Tensors = {}
    tree = encode_weights(net, tensors)
    if generators is not None:
        tree["generators"] = encode(list(generators), "generators", tensors)
    return digest(tree, tensors)[:16]


def _parts(net: skorch.NeuralNet) -> Iterator[tuple[str, Any]]:
    for name in [*net._modules, *net._criteria, *net._optimizers]:
        yield f"{name}_", getattr(net, f"{name}_", None)


def _parameters(net: skorch.NeuralNet) -> Iterator[tuple[str, nn.Parameter]]:
    for name in [*net._modules, *net._criteria]:
        part = getattr(net, f"{name}_", None)
        if isinstance(part, nn.Module):
            yield from ((f"{name}_/{key}", value) for key, value in part.named_parameters())


def _encoded_gradients(net, tensors):
    """Return gradients where a step of one's own may add to them in the next batch."""
    if type(net).train_step is skorch.NeuralNet.train_step:
        return {}
    return {
        name: encode(part.grad, f"gradients/{name}", tensors)
        for name, part in _parameters(net)
        if part.grad is not None
    }


def encode_generators(net: skorch.NeuralNet, name: str, tensors: Tensors) -> dict[str, Any]:
    """Return the states of all generators that a training draws from."""
    states = generator_states()
    version, words, normal = states.python
    python = [version, np.array(words, dtype=np.uint32), normal]
    tree = {"torch": states.torch, "numpy": list(states.numpy), "python": python}
    device = torch.device(net.device or "cpu")
    if device.type == "cuda":
        tree["cuda"] = torch.cuda.get_rng_state(device)
    own = _own_generator(net)
    if own is not None:
        tree["iterator"] = own.get_state()
    return encode(tree, name, tensors)


def _own_generator(net: skorch.NeuralNet) -> torch.Generator | None:
    own = net.get_params_for("iterator_train").get("generator")
    return own if isinstance(own, torch.Generator) else None


def set_generators(net: skorch.NeuralNet, tree: Mapping[str, Any]) -> None:
    """Let all generators go on from where `encode_generators` saw them; values are decoded."""
    version, words, normal = tree["python"]
    python = (version, tuple(int(word) for word in words), normal)
    set_generator_states(GeneratorStates(tree["torch"], tuple(tree["numpy"]), python))
    if "cuda" in tree:
        torch.cuda.set_rng_state(tree["cuda"], torch.device(net.device))
    own = _own_generator(net)
    if "iterator" in tree and own is not None:
        own.set_state(tree["iterator"])


def check_generators(tree: Mapping[str, Any]) -> None:
    """Raise ValueError, or its like, unless these are states of generators."""
    version, words, normal = tree["python"]
    random.Random().setstate((version, tuple(int(word) for word in words), normal))
    np.random.RandomState().set_state(tuple(tree["numpy"]))
    torch.Generator().set_state(torch.from_numpy(tree["torch"]))


@dataclass(frozen=True)
class NetState:
    """The state of a net, decoded and checked, to be put into a net like that one."""

    parts: Mapping[str, Any]
    frozen: frozenset[str]
    gradients: Mapping[str, torch.Tensor]
    generators: Mapping[str, Any]
    callbacks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def decoded(cls, tree: Mapping[str, Any], net: skorch.NeuralNet, tensors: Tensors) -> NetState:
        """Return a state checked against the net; raise ValueError or its like, change nothing."""
        parts = {
            name: decode(tree[name], tensors)
            for name, part in _parts(net)
            if hasattr(part, "state_dict")
        }
        for name, part in _parts(net):
            if isinstance(part, nn.Module):
                check_weights(parts[name], part)
        generators = decode(tree["generators"], tensors)
        check_generators(generators)
        return cls(
            parts,
            frozenset(tree["frozen"]),
            decode(tree["gradients"], tensors),
            generators,
            {name: decode_callback(own, tensors) for name, own in tree["callbacks"].items()},
        )

    def put_into(self, net: skorch.NeuralNet) -> None:
        """Make the net what the other one was."""
        parts = dict(_parts(net))
        for name, state in self.parts.items():
            parts[name].load_state_dict(state)
            if not isinstance(parts[name], nn.Module):
                check_optimizer(parts[name])
        for name, parameter in _parameters(net):
            parameter.requires_grad_(name not in self.frozen)
            if name in self.gradients:
                parameter.grad = self.gradients[name].to(parameter.device, copy=True)
        for name, callback in net.callbacks_:
            if name in self.callbacks:
                load_callback(callback, self.callbacks[name])
        set_generators(net, self.generators)
