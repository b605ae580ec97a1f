"""What stands in for a net's training iterator at the moment when the net builds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class IteratorStandIn:
    """Is called in place of the class or function that builds a training iterator.

    It has the signature of what it stands in for, since a net may look which parameters that takes.

    Parameters
    ----------
    own : callable
        The net's ``iterator_train``.
    """

    def __init__(self, own: Callable[..., Any]) -> None:
        self.own = own
        with suppress(TypeError, ValueError):  # a function of C may have no signature
            self.__signature__ = inspect.signature(own)

    def __call__(self, dataset: Any, **kwargs: Any) -> Any:
        """Build the iterator."""
        return self.own(dataset, **kwargs)
