"""Several classifiers from one training, whose probabilities are averaged.

The learning rate of a cyclical schedule is low at the end of each cycle, and what the network is
there is worth keeping: one training gives as many classifiers as it has cycles.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import skorch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.utils import get_tags
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.utils.data import Dataset

from skclr._process import process_lock
from skclr._training import ImageClassifier, check_net
from skclr.batches import labels_beside
from skclr.callbacks import CycleEnds, Cycles, Weights, cycles_of, iterations_ahead, schedules_of
from skclr.exceptions import PixelScaleWarning

__all__ = ["SnapshotEnsemble"]


class SnapshotEnsemble(ClassifierMixin, BaseEstimator):
    """The networks at the low points of one training, whose probabilities are averaged.

    An ensemble of as many members costs one training: after the last update of each cycle of the
    learning rate the weights are kept, and the training goes on from there.

    Whether it is better than the network at the end depends on the task, and it may not be: compare
    both on samples that were held out.

    Parameters
    ----------
    estimator : CLRLeNetClassifier or skorch.NeuralNet
        What is trained, a clone of it, with a cyclical learning rate: the schedules
        ``"triangular"``, ``"triangular2"``, ``"exp_range"`` and ``"cosine_restarts"``; of another
        skorch classifier, the callbacks :class:`skclr.callbacks.CyclicLR` and
        :class:`skclr.callbacks.CosineRestartsLR`.
    n_members : int or None, default=None
        The members: the last low points of the training. None: all of them.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in the order of the columns of `predict_proba`.
    estimator_ : CLRLeNetClassifier or skorch.NeuralNet
        The trained net, with the weights that its training has left in it.
    members_ : list of dict of str to Tensor
        The weights of each member, the latest last, as the network's ``load_state_dict`` takes
        them.
    n_features_in_ : int
        Values in a sample, where `estimator_` tells it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the columns, where `estimator_` knows them.

    See Also
    --------
    skclr.callbacks.CycleAverage : The mean of the weights at the same low points, one network.

    Notes
    -----
    Members are copies of weights and buffers in main memory; a prediction takes as long as one of
    the net times their number, and puts the members into the net in turn.

    Training is that of `estimator`: its seed, its callbacks, its checkpoint. A training that was
    killed goes on with the members that it had. One that is ended early, by a callback or by
    Ctrl-C, leaves the members that it has come to. Each `fit` trains a new clone, so `warm_start`
    of the estimator has no effect.

    References
    ----------
    G. Huang, Y. Li, G. Pleiss, Z. Liu, J. E. Hopcroft and K. Q. Weinberger, "Snapshot Ensembles:
    Train 1, Get M for Free", ICLR 2017, arXiv:1704.00109.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier, SnapshotEnsemble
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CLRLeNetClassifier(schedule="cosine_restarts", step_size=2, max_epochs=6,
    ...                          random_state=0)
    >>> ensemble = SnapshotEnsemble(clf, n_members=2).fit(X[:1500], y[:1500])
    >>> len(ensemble.members_)
    2
    >>> ensemble.score(X[1500:], y[1500:]) > 0.9
    True
    """

    _parameter_constraints: dict = {
        "estimator": "no_validation",  # by a sentence of its own
        "n_members": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, estimator: skorch.NeuralNet, n_members: int | None = None) -> None:
        self.estimator = estimator
        self.n_members = n_members

    def fit(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> SnapshotEnsemble:
        """Train a clone of the estimator, and keep its low points.

        Parameters
        ----------
        X : array-like or torch Dataset
            As `fit` of the estimator takes it.
        y : array-like of shape (n,), default=None
            Labels; None where the data set has them.
        sample_weight : array-like of shape (n,), default=None
            What each sample counts, as `fit` of the estimator takes it.
        **fit_params : dict
            Passed on to `fit` of the estimator, such as `X_val` and `y_val`.

        Returns
        -------
        self : SnapshotEnsemble
            The fitted ensemble.

        Raises
        ------
        ValueError
            Before any update: if a parameter or the data are not valid, the schedule has no cycles,
            or the training has fewer of them than there are to be members.
        TypeError
            If the estimator is no classifier that skorch trains, or its `fit` takes no weights.
        RuntimeError
            If a callback ends the training before the first low point.

        Notes
        -----
        A call that fails leaves the ensemble as it was before.
        """
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )
        check_net(self.estimator, sample_weight)
        if not is_classifier(self.estimator):
            raise TypeError(f"estimator must be a classifier, got {self.estimator!r}.")
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        net, collector = clone(self.estimator), _Collector(self.n_members)
        try:
            with _called_by(net, collector):
                net.fit(X, y, **weights, **fit_params)
        except KeyboardInterrupt:
            if collector.members_:
                self._keep(net, collector)
            raise
        if not collector.members_:
            raise RuntimeError(
                "The training was ended before the first low point of its learning rate, so there "
                "is no member. Let it be longer, or its cycles shorter."
            )
        self._keep(net, collector)
        return self

    def _keep(self, net: skorch.NeuralNet, collector: _Collector) -> None:
        self.estimator_, self.classes_ = net, net.classes_
        self._members, collector.members_ = collector.members_, []

    @property
    def members_(self) -> list[Mapping[str, Tensor]]:
        """The weights of each member, the latest last."""
        if not hasattr(self, "_members"):
            raise AttributeError(f"This {type(self).__name__} has not been fitted yet.")
        return [member.states["module_"] for member in self._members]

    @property
    def n_features_in_(self) -> int:
        """Values in a sample."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns, where X was a DataFrame with names that are strings."""
        return self.estimator_.feature_names_in_

    def predict_proba(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the probability of each class, the mean of the members'.

        Parameters
        ----------
        X : array-like or torch Dataset
            Samples, as `predict_proba` of the estimator takes them.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the samples are not valid, or of another shape than those seen by `fit`.
        """
        total, dtype = self._sum_of_members(X, "predict_proba", np.add)
        return (total / len(self._members)).astype(dtype)

    def predict_log_proba(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like or torch Dataset
            Samples, as `predict_proba` of the estimator takes them.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
            In the order of `classes_`, of the members' own where the estimator gives them.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the samples are not valid, or of another shape than those seen by `fit`.
        """
        check_is_fitted(self)
        if not hasattr(self.estimator_, "predict_log_proba"):
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        total, dtype = self._sum_of_members(X, "predict_log_proba", np.logaddexp)
        return (total - np.log(len(self._members))).astype(dtype)

    def _sum_of_members(self, X: Any, method: str, add: np.ufunc) -> tuple[np.ndarray, np.dtype]:
        """Return the sum of the members' answers in float64, and the dtype of the answers."""
        check_is_fitted(self)
        net, total = self.estimator_, add.identity
        dataset = net.get_dataset(X)  # read and checked once
        with process_lock, warnings.catch_warnings():
            before = Weights.of(net)
            try:
                for member in self._members:
                    member.put_into(net)
                    answers = getattr(net, method)(dataset)
                    total = add(total, answers.astype(float))
                    warnings.simplefilter("ignore", PixelScaleWarning)  # said once
            finally:
                before.put_into(net)
        return total, answers.dtype

    def predict(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the label that is most probable by the mean of the members.

        Of skorch's ``NeuralNetBinaryClassifier``, 1 where its probability is above `threshold`.

        Parameters
        ----------
        X : array-like or torch Dataset
            Samples, as `predict_proba` of the estimator takes them.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the samples are not valid, or of another shape than those seen by `fit`.
        """
        proba = self.predict_proba(X)
        if isinstance(self.estimator_, skorch.NeuralNetBinaryClassifier):
            return self.classes_[(proba[:, 1] > self.estimator_.threshold).astype(int)]
        return self.classes_[proba.argmax(axis=1)]

    def score(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy, the part of the samples whose label is predicted.

        Parameters
        ----------
        X : array-like or torch Dataset
            Samples, as `predict_proba` of the estimator takes them.
        y : array-like of shape (n,), default=None
            Labels; None where the data set has them.
        sample_weight : array-like of shape (n,), default=None
            What each sample counts.

        Returns
        -------
        accuracy : float
            From 0 to 1.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the samples are not valid, or there are no labels.
        """
        check_is_fitted(self)
        return super().score(X, labels_beside(X, y), sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        tags.input_tags, tags.classifier_tags = own.input_tags, own.classifier_tags
        tags.non_deterministic = getattr(self.estimator, "random_state", None) is None
        return tags


class _Collector(CycleEnds):
    """Keep the weights at the last low points of a training."""

    def __init__(self, n_members: int | None = None):
        self.n_members = n_members
        self.members_: list[Weights] = []

    def initialize(self) -> _Collector:
        """Forget an earlier training."""
        self.members_ = []
        return self

    def _settled_cycles(self, net: Any) -> Cycles:
        cycles = cycles_of(net)
        if cycles is None:
            raise ValueError(
                "SnapshotEnsemble takes its members from the cycles of the learning rate, and the "
                f"estimator's schedule ({schedules_of(net)}) has none: train with 'triangular', "
                "'triangular2', 'exp_range' or 'cosine_restarts', or the callbacks CyclicLR or "
                "CosineRestartsLR."
            )
        return cycles

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Before the first update, see whether there are cycles enough."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        if len(net.history) > 1:
            return
        n_epochs = net.max_epochs
        in_updates = self.cycles_.unit == "iteration"
        place = iterations_ahead(net, dataset_train, n_epochs) if in_updates else n_epochs
        n_cycles, needed = int(self.cycles_.ended_by(place)), self.n_members or 1
        if n_cycles < needed:
            raise ValueError(
                f"n_members={self.n_members!r}, and a training of {n_epochs} epochs has only "
                f"{n_cycles} low points of the learning rate: let it be longer (max_epochs), or "
                f"its cycles shorter (step_size)."
            )

    def _at_end_of_cycle(self, net: Any) -> None:
        self.members_ = [*self.members_, Weights.of(net)][-(self.n_members or 0) :]

    def state_dict(self) -> dict[str, Any]:
        """Return the members so far, for a checkpoint."""
        return {"members": [own.states for own in self.members_], "updates": self.updates_}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with members of before."""
        self.members_ = [Weights(own) for own in state["members"]]
        self.updates_ = int(state["updates"])


@contextmanager
def _called_by(net: skorch.NeuralNet, collector: _Collector) -> Iterator[None]:
    """Have a net call the collector beside its callbacks, and give it its parameters back."""
    given, own, left_out = net.callbacks, net.callbacks or [], {}
    if given == "disable":  # a classifier of ours has its schedule all the same
        is_ours = isinstance(net, ImageClassifier)
        defaults = net._default_callbacks if is_ours else net.get_default_callbacks()
        own, left_out = [], {f"callbacks__{name}": None for name, _ in defaults}
    if isinstance(own, list):  # otherwise the net says what is wrong
        vars(net).update(left_out, callbacks=[("snapshot_ensemble", collector), *own])
    try:
        yield
    finally:
        for name in left_out:
            vars(net).pop(name, None)
        net.callbacks = given
        net.callbacks_ = [x for x in getattr(net, "callbacks_", []) if x[1] is not collector]
