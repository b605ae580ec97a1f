"""The average of the weights at the low points of a cyclical learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal

from skorch import NeuralNet

from skclr.callbacks._batch_norm import refresh_batch_norm
from skclr.callbacks._cycle_ends import CycleEnds, cycles_of, schedules_of
from skclr.callbacks._cycles import Cycles
from skclr.callbacks._weights import Weights


class CycleAverage(CycleEnds):
    r"""Average the weights at the low points of the learning rate, and leave the mean in the net.

    After the last update of each cycle the weights :math:`w` enter the mean of those before,

    .. math:: \bar w \leftarrow \bar w + \frac{w - \bar w}{n + 1}

    with :math:`n` the number of low points so far. Training goes on with the weights as they are,
    and under the schedule that the net has: neither is touched, and the updates are those of a
    training without the average, bit by bit. Validated is the average, and it is what is left in
    ``net.module_`` when training ends.

    Whether it is better than the last weights depends on the task, and it may not be: compare both
    on samples that were held out.

    Parameters
    ----------
    cycle_length : float or None, default=None
        The length of a cycle in the unit that `cycle_unit` names. None: that of the net's schedule,
        which is a :class:`CyclicLR` or a :class:`CosineRestartsLR`. Give it with any other schedule
        (a constant one, one of torch's).
    cycle_unit : {"epoch", "iteration"}, default="epoch"
        The unit of `cycle_length`. An iteration is a step of the optimizer.
    start : float, default=0.0
        Epochs, counted from the beginning of the history, in which low points do not enter the
        average: those of a network that has learned little yet.

    Attributes
    ----------
    n_averaged_ : int
        Low points in the average. In ``net.history`` stands ``event_average`` for each epoch,
        whether a low point has entered in it.

    Raises
    ------
    ValueError
        When training begins: if the net's schedule has no cycles and no `cycle_length` is given, if
        a parameter is out of its range, or if there is another such callback.

    See Also
    --------
    skclr.SnapshotEnsemble : The same low points, whose predictions are averaged.
    torch.optim.swa_utils.AveragedModel : The mean in a training loop of one's own.

    Notes
    -----
    Until the first low point the raw weights are validated, and a training that ends before it
    leaves them in the net. One that ends between two low points, by its number of epochs, by an
    early stop or by Ctrl-C, leaves the average of those that it has passed; end it with a whole
    cycle.

    ``partial_fit`` goes on from the raw weights, and the average with it: two calls do what one of
    as many epochs does. Where other weights have been loaded meanwhile, training and average begin
    anew from these.

    From its validation to the beginning of the next epoch the net holds the average: what skorch's
    ``Checkpoint`` saves at the end of an epoch is what was validated. Without validation data the
    callbacks after this one see the average there, and those before it the raw weights. Callbacks
    that load weights when training ends, as with ``load_best=True``, are to come after this one.
    :class:`GradientNoiseScale` measures the raw weights.

    The running statistics of batch normalization are computed anew for each average that is looked
    at, in a pass over the training data without gradients, in the batches of training and without
    the classifier's `augmentation`. Other buffers are those of the last low point.

    Average and raw weights are kept in main memory beside the net, and saved with it by pickle and
    in the checkpoints of :class:`Resume` and :class:`skclr.CLRLeNetClassifier`. ``save_params``
    saves the average alone.

    References
    ----------
    P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov and A. G. Wilson, "Averaging Weights Leads to
    Wider Optima and Better Generalization", UAI 2018, arXiv:1803.05407.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import CycleAverage, CyclicLR
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> average = CycleAverage()
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=30, max_epochs=6, train_split=None,
    ...     callbacks=[CyclicLR(base_lr=0.1, max_lr=0.5, step_size=1), average], verbose=0)
    >>> net.fit(X, y).history[:, "event_average"]
    [False, True, False, True, False, True]
    >>> average.n_averaged_
    3
    """

    n_averaged_ = 0
    # nothing changes these values: a call that fails puts the ones of before back
    average_: Weights | None = None
    raw_: Weights | None = None  # those of training, while the net holds the average
    is_fresh_ = True  # whether the buffers of the average are its own
    dataset_train_: Any = None  # of the training under way

    def __init__(
        self,
        cycle_length: float | None = None,
        cycle_unit: Literal["epoch", "iteration"] = "epoch",
        start: float = 0.0,
    ) -> None:
        self.cycle_length = cycle_length
        self.cycle_unit = cycle_unit
        self.start = start

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the parameters, and put the raw weights of a training that goes on back."""
        names = [name for name, callback in net.callbacks_ if isinstance(callback, CycleAverage)]
        if len(names) > 1:
            raise ValueError(
                f"The weights are averaged by {len(names)} CycleAverage callbacks, {names}. Keep "
                "one of them."
            )
        super().on_train_begin(net, X, y, **kwargs)
        left = self.average_ if len(net.history) and self.raw_ is not None else None
        if left is not None and left.are_in(net):
            self._put_back_raw(net)
        else:
            self.n_averaged_, self.average_, self.raw_, self.is_fresh_ = 0, None, None, True

    def _settled_cycles(self, net: NeuralNet) -> Cycles:
        if self.cycle_unit not in ("epoch", "iteration"):
            raise ValueError(f"cycle_unit must be 'epoch' or 'iteration', got {self.cycle_unit!r}.")
        if not (isinstance(self.start, Real) and 0 <= self.start < math.inf):
            raise ValueError(f"start must be a number of epochs, 0 or more, got {self.start!r}.")
        length = self.cycle_length
        if length is not None:
            if not (isinstance(length, Real) and 0 < length < math.inf):
                raise ValueError(f"cycle_length must be a number above 0 or None, got {length!r}.")
            return Cycles(float(length), self.cycle_unit)
        cycles = cycles_of(net)
        if cycles is None:
            raise ValueError(
                "CycleAverage averages the weights at the ends of cycles, and the net's schedule "
                f"({schedules_of(net)}) has none that it knows: train with CyclicLR or "
                "CosineRestartsLR, or give the length of a cycle (cycle_length=4 for four epochs)."
            )
        return cycles

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Put the raw weights back."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self.dataset_train_ = dataset_train
        self._put_back_raw(net)
        net.history.record("event_average", False)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Let the average be validated."""
        super().on_batch_begin(net, batch, training, **kwargs)
        if not training:
            self._put_in_average(net)

    def _at_end_of_cycle(self, net: NeuralNet) -> None:
        if self._epochs(net) <= self.start:
            return
        if self.average_ is None:
            self.average_ = Weights.of(net)
        else:
            self.average_ = self.average_.averaged_with(net, self.n_averaged_)
        self.n_averaged_ += 1
        self.is_fresh_ = self.n_averaged_ == 1  # the first one is the network as it was
        net.history.record("event_average", True)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Leave the average to the callbacks that follow."""
        self._put_in_average(net)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Leave the average in the net."""
        self._put_in_average(net)
        self.dataset_train_ = None

    def _put_in_average(self, net: NeuralNet) -> None:
        if self.average_ is None:
            return
        if self.raw_ is None:
            self.raw_ = Weights.of(net)
            self.average_.put_into(net)
        if not self.is_fresh_:
            refresh_batch_norm(net, self.dataset_train_)
            self.average_, self.is_fresh_ = Weights.of(net), True

    def _put_back_raw(self, net: NeuralNet) -> None:
        if self.raw_ is not None:
            self.raw_.put_into(net)
            self.raw_ = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a training goes on from, for a checkpoint.

        Returns
        -------
        state : dict
            Numbers and tensors.
        """
        weights = {"average": self.average_, "raw": self.raw_}
        return {
            **{name: None if own is None else own.states for name, own in weights.items()},
            "n_averaged": self.n_averaged_,
            "is_fresh": self.is_fresh_,
            "updates": self.updates_,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what another one like this has told.

        Parameters
        ----------
        state : mapping
            What `state_dict` has returned.
        """
        average, raw = state["average"], state["raw"]
        self.average_ = None if average is None else Weights(average)
        self.raw_ = None if raw is None else Weights(raw)
        self.n_averaged_ = int(state["n_averaged"])
        self.is_fresh_ = bool(state["is_fresh"])
        self.updates_ = int(state["updates"])

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"dataset_train_": None}  # the data stay behind


@contextmanager
def raw_weights(net: NeuralNet) -> Iterator[None]:
    """Have a net hold the weights of training for a moment, where it holds their average."""
    averages = [item for _, item in net.callbacks_ if isinstance(item, CycleAverage) and item.raw_]
    for average in averages:
        average._put_back_raw(net)
    try:
        yield
    finally:
        for average in averages:
            average._put_in_average(net)
