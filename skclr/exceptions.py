"""What the library raises and warns of."""

from __future__ import annotations

__all__ = ["CheckpointWarning", "DivergenceError", "PixelScaleWarning", "RangeTestWarning"]


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, or does not hold all that a training goes on from.

    Examples
    --------
    >>> import warnings
    >>> from skclr.exceptions import CheckpointWarning
    >>> warnings.simplefilter("error", CheckpointWarning)  # rather no training than an unsafe one
    >>> warnings.simplefilter("default", CheckpointWarning)
    """


class DivergenceError(ValueError):
    """The loss is not finite any more: the learning rate was too high.

    What it is constructed with is kept in attributes of the same names.

    Parameters
    ----------
    epoch : int
        The epoch, counted from 1.
    iteration : int
        The update, counted from 0 over all epochs of the history.
    lr : float
        Its learning rate.
    loss : float
        The loss: infinite or NaN.

    Examples
    --------
    >>> from skclr import DivergenceError
    >>> error = DivergenceError(epoch=1, iteration=7, lr=50.0, loss=float("nan"))
    >>> str(error)[:63]
    'Training diverged: the loss is nan in epoch 1, at iteration 7, '
    """

    def __init__(self, epoch: int, iteration: int, lr: float, loss: float):
        super().__init__(epoch, iteration, lr, loss)
        self.epoch, self.iteration, self.lr, self.loss = epoch, iteration, lr, loss

    def __str__(self) -> str:
        return (
            f"Training diverged: the loss is {self.loss} in epoch {self.epoch}, at iteration "
            f"{self.iteration}, with the learning rate {self.lr:.3g}. Choose a lower max_lr, or "
            "have one measured by a range test (skclr.lr_range_test)."
        )


class PixelScaleWarning(UserWarning):
    """Pixels of another scale than those that a classifier was trained on.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier
    >>> from skclr.exceptions import PixelScaleWarning
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(X, y)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", PixelScaleWarning)
    ...     _ = clf.predict(X / 255)
    >>> [warning.category.__name__ for warning in caught]
    ['PixelScaleWarning']
    """


class RangeTestWarning(UserWarning):
    """A boundary of the learning rate cannot be read off the curve.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skclr.range_test import RangeTestWarning, basin
    >>> lrs = np.logspace(-5, -1, 100)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", RangeTestWarning)
    ...     top = basin(lrs, 2 - np.maximum(np.log10(lrs / 1e-3), 0))
    >>> print(top, caught[0].message)
    None The loss does not turn up again by 1.0e-01: raise max_lr.
    """


# where they are documented and imported from, and where pickles of before look for them
DivergenceError.__module__ = "skclr.classifier"
RangeTestWarning.__module__ = "skclr.range_test"
