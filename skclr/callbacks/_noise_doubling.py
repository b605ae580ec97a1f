"""Batches that are doubled where the gradient's noise scale says that it pays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from numbers import Integral
from typing import Any

from skorch import NeuralNet

from skclr.callbacks._batch_size_setter import BatchSizeSetter
from skclr.callbacks._noise_scale import GradientNoiseScale


class NoiseDoubling(BatchSizeSetter):
    r"""Double the batch size after an epoch whose gradient was noisy enough for that to pay.

    With the batch size :math:`B`, the gradient noise scale :math:`B_\text{noise}`, and the best
    rate for each batch size, an update lowers the loss by [1]_

    .. math:: \Delta L(B) = \frac{\Delta L_\text{max}}{1 + B_\text{noise} / B} ,

    so one of a doubled batch is worth

    .. math::

        \frac{\Delta L(2 B)}{\Delta L(B)} = 2 \, \frac{B_\text{noise} + B}{B_\text{noise} + 2 B}

    of those before: nearly two where :math:`B` is much smaller than :math:`B_\text{noise}`, hardly
    more than one where it is larger. The noise scale is measured after each epoch, and the next
    one has twice the batch where :math:`2 B \le B_\text{noise}`: where an update becomes worth half
    as much again, or more. The size never falls.

    Parameters
    ----------
    batch_size : int, default=32
        The size in the first epoch, in samples.
    max_batch_size : int, default=4096
        The size does not grow beyond this.
    smoothing : float, default=0.5
        Of the measurements, as in :class:`skclr.GradientNoiseScale`; in [0, 1). A single
        measurement is uncertain, and a batch that has grown stays.

    Attributes
    ----------
    batch_size_ : int
        The size of the current epoch. It also stands in ``net.history`` as ``batch_size``, one
        value an epoch, with ``noise_scale``, ``squared_gradient`` and ``gradient_variance`` beside
        it.
    seconds_ : list of float
        What each measurement took.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range, or another callback sets the
        batch size too; when the first epoch ends and the training data have no length.

    See Also
    --------
    skclr.GradientNoiseScale : Measures, and leaves the batch size alone.
    skclr.BatchDoubling : Doubles the batch at moments that are set beforehand.

    Notes
    -----
    The measurement is that of ``GradientNoiseScale(smoothing=smoothing)``: the gradients of 2,048
    samples after each epoch. Where the net has a :class:`skclr.GradientNoiseScale` of its own, that
    is the one gone by, with the smoothing that it has, and nothing is measured twice. What is
    measured is the simple noise scale, which stands for that of the formula as far as the loss
    curves alike in all directions.

    What an epoch's size follows from are `batch_size` and the measurements in ``net.history``, so
    a training that goes on, by ``partial_fit`` or from a checkpoint, goes on with the size that it
    had come to. An epoch that was cut short, or was trained without a measurement, changes nothing.

    What is said in :class:`skclr.callbacks.BatchSizeSchedule` of the iterator, of sizes that do not
    divide the data and of those beyond it holds here; with ``drop_last`` the size does not grow
    beyond the data. The rule knows nothing of the number of
    updates that are left, which `max_batch_size` has to keep sufficient: a tenth of the data at
    most.

    References
    ----------
    .. [1] S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team, "An Empirical Model of
       Large-Batch Training", 2018, section 2.2, arXiv:1812.06162.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import NoiseDoubling
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (np.random.RandomState(1).randn(60) > 0).astype("int64")  # nothing but noise
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, lr=0.5, max_epochs=6, train_split=None,
    ...     callbacks=[NoiseDoubling(batch_size=5, max_batch_size=20)], verbose=0)
    >>> net.fit(X, y).history[:, "batch_size"]
    [5, 10, 20, 20, 20, 20]
    """

    def __init__(
        self, batch_size: int = 32, max_batch_size: int = 4096, smoothing: float = 0.5
    ) -> None:
        self.batch_size = batch_size
        self.max_batch_size = max_batch_size
        self.smoothing = smoothing

    def initialize(self) -> NoiseDoubling:
        """Forget an earlier training."""
        super().initialize()
        self.seconds_: list[float] = []
        return self

    def batch_size_after(self, noise_scales: Iterable[float]) -> int:
        """Return the batch size that follows from the measurements of the epochs before.

        Parameters
        ----------
        noise_scales : iterable of float
            In samples, in the order of the epochs; infinite where it could not be told.

        Returns
        -------
        int
            Samples in a batch.

        Examples
        --------
        >>> from skclr.callbacks import NoiseDoubling
        >>> doubling = NoiseDoubling(batch_size=32)
        >>> [doubling.batch_size_after([50, 64, 100, 500][:n]) for n in range(5)]
        [32, 32, 64, 64, 128]
        """
        size = int(self.batch_size)
        for noise_scale in noise_scales:
            larger = min(2 * size, int(self.max_batch_size))
            if noise_scale >= larger:
                size = larger
        return size

    def first_batch_size(self) -> int:
        """Return the size that a training from new weights begins with.

        Returns
        -------
        int
            Samples in a batch.
        """
        return self.batch_size_after([])

    def _size_now(self, net: NeuralNet) -> int:
        name = (self._measure_of(net) or self._own_measure()).name
        size = self.batch_size_after(
            epoch[name] for epoch in list(net.history)[:-1] if name in epoch
        )
        while size > self.batch_size and not self._makes_batches(size):
            size = max(size // 2, int(self.batch_size))
        return size

    def _own_measure(self) -> GradientNoiseScale:
        return GradientNoiseScale(smoothing=self.smoothing)

    @staticmethod
    def _measure_of(net: NeuralNet) -> GradientNoiseScale | None:
        """Return the measurement that the net has besides."""
        measures = (item for _, item in net.callbacks_ if isinstance(item, GradientNoiseScale))
        return next(measures, None)

    def _check(self, net: NeuralNet) -> None:
        for name in ("batch_size", "max_batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not (isinstance(value, Integral) and int(value) >= 1):
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
        if self.max_batch_size < self.batch_size:
            raise ValueError(
                "max_batch_size must be batch_size or more, got "
                f"max_batch_size={self.max_batch_size!r} and batch_size={self.batch_size!r}."
            )
        self._own_measure().on_train_begin(net)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Measure, unless another callback does."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        if self._measure_of(net) is None:
            began = time.perf_counter()
            self._own_measure().on_epoch_end(net, dataset_train, dataset_valid)
            self.seconds_.append(time.perf_counter() - began)
