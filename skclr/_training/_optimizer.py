"""Parameters of the classifier that change between trainings, and those of the optimizer's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

import skorch

_PREFIX = "optimizer__"


def set_for_all(net: skorch.NeuralNet, values: Mapping[str, Any]) -> None:
    """Give the groups of a net's optimizer new values, but for what they were given themselves."""
    groups, owns = net.optimizer_.param_groups, list(_own_of_groups(net))
    if len(owns) != len(groups):  # they were not made by skorch, from its patterns
        owns = [_own_of_all(net).keys()] * len(groups)
    for group, own in zip(groups, owns, strict=True):
        for name, value in values.items():
            if name in group and name not in own:
                group[name] = value


def _own_of_groups(net: skorch.NeuralNet) -> Iterator[Collection[str]]:
    """Yield the names of what was set for each group by parameters of the optimizer.

    The groups are as skorch makes them: none of a pattern that matches nothing, and in the end one
    of what is left over.
    """
    params = _own_of_all(net)
    left = [name for name, _ in net.get_all_learnable_params()]
    for pattern, own in params.get("param_groups") or ():
        rest = [name for name in left if not fnmatch(name, pattern)]
        if len(rest) < len(left):
            yield params.keys() | own.keys()
        left = rest
    if left:
        yield params.keys()


def _own_of_all(net: skorch.NeuralNet) -> dict[str, Any]:
    """Return the parameters that were given to the optimizer."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in vars(net).items()
        if name.startswith(_PREFIX)
    }
