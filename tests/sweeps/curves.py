"""Loss curves whose falls are known, shared by the tests of the rules."""

import warnings
from contextlib import contextmanager

import numpy as np

LRS = np.logspace(-7, 1, 201)


def valley_curve(lrs=LRS, start=1e-4, lowest=0.1):
    """Level at 2.3 up to `start`, a straight fall over log(lr) to 0.7 at `lowest`, then up."""
    down = np.interp(np.log10(lrs), np.log10([start, lowest]), [2.3, 0.7])
    return down + 4 * np.clip(np.log10(lrs / lowest), 0, None)


def noisy(curve, sd, seed=0, n_repeats=3):
    noise = np.random.RandomState(seed).normal(0, sd, (n_repeats, len(curve)))
    return curve + noise


@contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
