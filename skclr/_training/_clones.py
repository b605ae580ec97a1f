"""Trainings of clones, from which a sweep or a comparison learns something."""

from __future__ import annotations

from typing import Any

import skorch

from skclr._process import watched_interrupts


def fit_passing_on_interrupts(net: skorch.NeuralNet, X: Any, y: Any) -> None:
    """Fit, and pass on a Ctrl-C, which a plain skorch net takes for the end of training."""
    with watched_interrupts() as interrupts:
        net.fit(X, y)
    interrupts.pass_on()
