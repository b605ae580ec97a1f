"""Accuracy, counted batch by batch."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor


class BatchAccuracy(Callback):
    """Count the right answers batch by batch, and record their share for each epoch.

    Unlike an accuracy from :class:`skorch.callbacks.EpochScoring` it keeps no predictions and no
    targets until the epoch's end, and works on class indices, whatever the labels are.

    Parameters
    ----------
    name : str, default="valid_acc"
        The name in ``net.history``, one value an epoch. Whether it is the best so far stands
        beside it, as in skorch, as ``valid_acc_best``.
    on_train : bool, default=False
        Whether the batches of training are counted (as the network was when it saw them) instead
        of those of validation.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import BatchAccuracy
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=5, train_split=None,
    ...     callbacks=[BatchAccuracy("train_acc", on_train=True)], verbose=0)
    >>> len(net.fit(X, y).history[:, "train_acc"])
    5
    """

    right_: Any  # a number, while the GPU counts a tensor
    seen_: Any

    def __init__(self, name: str = "valid_acc", on_train: bool = False) -> None:
        self.name = name
        self.on_train = on_train

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Begin to count."""
        self.right_ = self.seen_ = 0

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool | None = None,
        y_pred: Any = None,
        **kwargs: Any,
    ) -> None:
        """Count a batch."""
        if training != self.on_train:
            return
        scores = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        targets = getattr(batch, "targets", batch[1])  # class indices, where the labels are others
        is_right = scores.detach().argmax(1) == targets.to(scores.device)
        weights = getattr(batch, "weights", None)
        if scores.is_cuda:
            self._count_there(is_right, weights)
        elif weights is None:
            self.right_ += is_right.sum().item()
            self.seen_ += len(targets)
        else:
            self.right_ += weights[is_right.to(weights.device)].sum().item()
            self.seen_ += weights.sum().item()

    def _count_there(self, is_right: Tensor, weights: Tensor | None) -> None:
        """Count on the GPU, which nobody waits for until the epoch ends."""
        if weights is None:
            self.right_ = is_right.sum() + self.right_
            self.seen_ += len(is_right)
        else:
            weights = weights.to(is_right.device)
            self.right_ = (weights * is_right).sum() + self.right_
            self.seen_ = weights.sum() + self.seen_

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Record the share of right answers."""
        if not self.seen_:
            return
        self.right_, self.seen_ = map(_number, (self.right_, self.seen_))
        share = self.right_ / self.seen_
        # of the history, which another callback may have loaded
        best = max((epoch[self.name] for epoch in net.history if self.name in epoch), default=-1.0)
        net.history.record(self.name, share)
        net.history.record(f"{self.name}_best", share > best)

    def __getstate__(self) -> dict[str, Any]:
        return {name: _number(value) for name, value in vars(self).items()}


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value
