"""The gradient noise scale: from which batch size on a doubling stops paying."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import Subset

from skclr._process import isolated_generators
from skclr.batches import for_training
from skclr.callbacks._cycle_average import raw_weights

# what an iterator goes by to choose the samples of a batch
_ORDER_OF_BATCHES = frozenset(
    ["batch_size", "shuffle", "sampler", "batch_sampler", "generator", "drop_last"]
)


class GradientNoiseScale(Callback):
    r"""Measure after each epoch from which batch size on a doubling stops paying.

    With :math:`G` the gradient of the training loss and :math:`\Sigma` the covariance of the
    gradients of single samples, the simple noise scale is

    .. math:: B_\text{simple} = \operatorname{tr}(\Sigma) / |G|^2 .

    The gradient of a batch much smaller than that is mostly noise: twice the batch then makes an
    update worth nearly twice as much. That of a batch much larger is all but the true gradient,
    and twice the batch makes twice the work for the same update.

    From the mean :math:`|G_b|^2` of the squared norms of the gradients of :math:`n` small batches
    of :math:`b` samples, and the squared norm :math:`|G_B|^2` of their mean, the gradient of all
    :math:`B = n b` samples,

    .. math::

        |\mathcal{G}|^2 = \frac{B |G_B|^2 - b |G_b|^2}{B - b}, \qquad
        \mathcal{S} = \frac{|G_b|^2 - |G_B|^2}{1/b - 1/B}

    are unbiased estimates of :math:`|G|^2` and :math:`\operatorname{tr}(\Sigma)`.

    Parameters
    ----------
    batch_size : int, default=64
        Samples in a small batch, :math:`b`.
    n_batches : int, default=32
        Small batches in each measurement, :math:`n`; at least 2.
    smoothing : float, default=0.0
        In [0, 1): both estimates are averaged over the epochs, each epoch counting this many times
        as much as the one after it, before they are divided. 0: each epoch stands for itself.
    name : str, default="noise_scale"
        The name of the noise scale in ``net.history``, in samples, one value an epoch; infinite
        where :math:`|G|^2` is too small to be told from 0. The two unsmoothed estimates stand
        beside it as ``squared_gradient`` and ``gradient_variance``.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range, or when the first epoch ends and
        the training data have no length.

    See Also
    --------
    skclr.callbacks.NoiseDoubling : Doubles the batch size where the noise scale says that it pays.
    skclr.BatchDoubling : Doubles it at moments that are set beforehand.
    skclr.displays.BatchSizeDisplay : Draws the noise scale beside the batch size.

    Notes
    -----
    The samples are drawn with replacement, so that the estimates are of the loss on the training
    data, as the epoch has left the network. Gradients are those of training: augmented, with
    dropout, without weight decay. Training itself goes on as if nothing had been measured:
    gradients, buffers such as the averages of batch normalization, modes and the generators are
    put back bit by bit.

    A measurement costs the gradients of ``n_batches * batch_size`` samples, by default those of
    2,048. That is enough to tell a noise scale of up to about as many; one much larger comes out
    uncertain, at times infinite. To average over epochs or seeds, average the two estimates and
    divide afterwards: a mean of ratios is biased upwards.

    With batch normalization, and with weights of samples, which are brought to a mean of one in
    each batch, the gradient of a batch is no mean over its samples, and the result is an
    approximation.

    References
    ----------
    S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team, "An Empirical Model of
    Large-Batch Training", 2018, appendix A.1, arXiv:1812.06162.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import GradientNoiseScale
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=3, train_split=None,
    ...     callbacks=[GradientNoiseScale(batch_size=10)], verbose=0)
    >>> [scale > 0 for scale in net.fit(X, y).history[:, "noise_scale"]]
    [True, True, True]
    """

    def __init__(
        self,
        batch_size: int = 64,
        n_batches: int = 32,
        smoothing: float = 0.0,
        name: str = "noise_scale",
    ) -> None:
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.smoothing = smoothing
        self.name = name

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the parameters."""
        for name, least in (("batch_size", 1), ("n_batches", 2)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= least):
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
        if not (isinstance(self.smoothing, Real) and 0 <= self.smoothing < 1):
            raise ValueError(f"smoothing must be in [0, 1), got {self.smoothing!r}.")

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Measure, and record."""
        squared_gradient, variance = self._estimates(net, dataset_train)
        net.history.record("squared_gradient", squared_gradient)
        net.history.record("gradient_variance", variance)
        measured = [epoch for epoch in net.history if "squared_gradient" in epoch]
        weights = self.smoothing ** np.arange(len(measured), dtype=float)[::-1]
        signal, noise = (
            float(weights @ [epoch[part] for epoch in measured])
            for part in ("squared_gradient", "gradient_variance")
        )
        net.history.record(self.name, noise / signal if signal > 0 else math.inf)

    def _estimates(self, net: NeuralNet, dataset: Any) -> tuple[float, float]:
        """Return the estimates of the squared norm of the gradient and of its variance."""
        parameters = [p for _, p in net.get_all_learnable_params() if p.requires_grad]
        small = 0.0
        total: Any = 0.0
        with isolated_generators(device=net.device):  # what is drawn here, training draws again
            seed = (int(torch.randint(2**31, ())) + len(net.history)) % 2**31
        # the scale is that of the training, which goes on with the raw weights
        with (
            raw_weights(net),
            isolated_generators(seed, device=net.device),
            _state_put_back(net, parameters),
        ):
            for batch in self._batches(net, dataset):
                for parameter in parameters:
                    parameter.grad = None
                net.train_step_single(batch)
                gradient = torch.cat([_flat_gradient(p) for p in parameters])
                small += gradient.square().sum().item() / self.n_batches
                total = total + gradient
        big = (total / self.n_batches).square().sum().item()
        n, b = self.n_batches, self.batch_size
        return (n * big - small) / (n - 1), b * n * (small - big) / (n - 1)

    def _batches(self, net: NeuralNet, dataset: Any) -> Iterable[Any]:
        """Return small batches of samples drawn with replacement, from the net's own iterator."""
        try:
            drawn = torch.randint(len(dataset), (self.n_batches * self.batch_size,))
        except TypeError:
            raise ValueError(
                "GradientNoiseScale draws samples by their number, which takes training data with "
                f"a length; {type(dataset).__name__} has none."
            ) from None
        kwargs = net.get_params_for("iterator_train")
        kwargs = {name: value for name, value in kwargs.items() if name not in _ORDER_OF_BATCHES}
        return net.iterator_train(
            Subset(for_training(dataset), drawn.tolist()), batch_size=self.batch_size, **kwargs
        )


@contextmanager
def _state_put_back(net: NeuralNet, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Put gradients, buffers and modes back as they were."""
    roots = [getattr(net, f"{name}_") for name in net._modules + net._criteria]
    parts = [part for root in roots if isinstance(root, nn.Module) for part in root.modules()]
    gradients = [parameter.grad for parameter in parameters]
    modes = [part.training for part in parts]
    buffers = [
        (part, name, buffer, buffer.clone())
        for part in parts
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
        with torch.no_grad():
            for part, name, buffer, value in buffers:
                part._buffers[name] = buffer.copy_(value)


def _flat_gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient as a vector of doubles; zeros where the loss does not depend on it."""
    gradient = parameter.grad
    if gradient is None:
        gradient = torch.zeros_like(parameter)
    return gradient.detach().to_dense().reshape(-1).double()
