"""The table of the epochs, which a process without a console can do without."""

from __future__ import annotations

import sys
from typing import Any

import skorch
from skorch.callbacks import PrintLog


class EpochLog(PrintLog):
    """skorch's table of the epochs; nothing where there is no standard output to print it to.

    skorch flushes ``sys.stdout`` after each epoch, however little it prints, and under ``pythonw``
    or in a service that is None.
    """

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Print the row of the epoch."""
        if self.sink is not print or sys.stdout is not None:
            super().on_epoch_end(net, **kwargs)
