"""The table of the epochs, which a process without a console can do without."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import skorch
from skorch.callbacks import PrintLog


class EpochLog(PrintLog):
    """skorch's table of the epochs; nothing where there is no standard output to print it to.

    skorch flushes ``sys.stdout`` after each epoch, however little it prints, and under ``pythonw``
    or in a service that is None; it may also be closed, or what it is written to may be full or
    gone. A table that cannot be printed is no reason to lose a training.
    """

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Print the row of the epoch."""
        if self.sink is not print:
            super().on_epoch_end(net, **kwargs)
        elif sys.stdout is not None and not getattr(sys.stdout, "closed", False):
            with suppress(OSError):
                super().on_epoch_end(net, **kwargs)
