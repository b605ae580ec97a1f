"""What is to be loaded into a network or an optimizer must be of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

_LIKE_THE_WEIGHTS = frozenset(
    ["momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"]
)  # in the state of torch's optimizers


def check_weights(weights: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    """Raise ValueError unless these are the weights of a network, and no others.

    The network need not have memory for its weights: a file that claims to be of a larger one than
    it holds is refused before any is taken.
    """
    found = {name: part.shape for name, part in weights.items()}
    needed = {name: part.shape for name, part in module.state_dict().items()}
    if found != needed:
        other = sorted(name for name in {*found, *needed} if found.get(name) != needed.get(name))
        raise ValueError(
            "What was to be loaded does not fit this net: the file and the network differ in "
            f"{', '.join(other[:5])}."
        )


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless what an optimizer has loaded is of its kind and of these weights.

    torch looks at neither, and its fused optimizers then write beyond the end of a buffer.
    """
    for group in optimizer.param_groups:
        missing = sorted(optimizer.defaults.keys() - group.keys())
        if missing:
            raise ValueError(f"the file is of an optimizer without {', '.join(missing)}")
        for part in group["params"]:
            for name, value in optimizer.state.get(part, {}).items():
                if name in _LIKE_THE_WEIGHTS and getattr(value, "shape", part.shape) != part.shape:
                    raise ValueError(
                        f"{name} of the optimizer has the shape {tuple(value.shape)}, its weights "
                        f"{tuple(part.shape)}"
                    )
