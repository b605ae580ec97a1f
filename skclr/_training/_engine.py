"""skorch's net with the step, the network and the generators of a training put in its places."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import skorch
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import EpochTimer, PassthroughScoring
from skorch.history import History
from torch import nn
from torch.utils.data import Dataset, Subset

from skclr._history import count_updates, last_lr, train_rows
from skclr._process import generator_states, isolated_generators, one_thread
from skclr._training._batch import LabelledBatch, without_weights
from skclr._training._checks import check_probabilities
from skclr._training._epoch_log import EpochLog
from skclr._training._graphs import UpdateGraphs
from skclr._training._losses import each_sample, weighted
from skclr._training._network import INFERENCE_BATCH_SIZE, Answer, Network, parameter_names
from skclr._training._optimizer import set_for_all
from skclr._training._pieces import fewer_of_larger
from skclr._training._state import PredictionState, TrainingState
from skclr._training._step import TrainingStep
from skclr.batches import (
    ImageDataset,
    check_images,
    encode,
    for_callbacks,
    for_training,
    given_labels,
    is_encoded,
)
from skclr.callbacks import BatchAccuracy
from skclr.exceptions import DivergenceError


class PiecewiseNet(skorch.NeuralNetClassifier):
    """A skorch net whose batches are prepared, cut into pieces and watched for a finite loss.

    What a prediction needs besides the network is one value, a `PredictionState`; what a training
    goes on from besides skorch's parts is another, a `TrainingState`.
    """

    # skorch sets these in __init__, where scikit-learn wants nothing but the parameters
    history_: Any = None  # a History, once the net is initialized
    initialized_ = False
    virtual_params_: dict = {}
    # parameters of skorch's that have another form here
    dataset = ImageDataset
    train_split = None
    classes = None

    augmentation: Callable | None
    image_size: int | tuple[int, int]
    random_state: int | np.random.RandomState | None

    _prediction: PredictionState | None = None
    _training = TrainingState()
    # made when they are needed, and never saved
    _answering: Network | None = None
    _step: TrainingStep | None = None
    _graphs: UpdateGraphs | None = None  # of the training under way
    _labelled: tuple[Any, Any] = (None, None)  # a batch, and the same for callbacks
    _draws_from_own_generators = False
    _gave_probabilities = False  # the network, before it was trimmed for prediction
    _is_ending = False  # while callbacks are told that a training has ended

    # ---------------------------------------------------------------- building

    def _check_parameters(self) -> None:
        """Raise ValueError where a parameter is not valid."""

    def _parameters_in_effect(self) -> dict[str, Any]:
        """Return the parameters of which a change takes effect with the next call."""
        return {}

    @contextmanager
    def _own_generators(self, *, new: bool = False, seed: int | None = None) -> Iterator[None]:
        """Draw from generators of our own, seeded anew or gone on with, and use one thread."""
        if self._draws_from_own_generators:
            yield
            return
        if new and seed is None:
            seed = self._drawn_seed()
        states = None if new else self._training.generators
        with isolated_generators(seed, states, self.device), one_thread():
            self._draws_from_own_generators = True
            try:
                yield
            finally:
                self._draws_from_own_generators = False
                self._training = replace(self._training, generators=generator_states())

    def _drawn_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31))

    def __getstate__(self) -> dict[str, Any]:
        transient = (
            "_answering", "_step", "_graphs", "_labelled", "_recorder", "_group",
            "_draws_from_own_generators", "_is_ending",
        )  # fmt: skip
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in transient}

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns of `predict_proba`."""
        return self._fitted("classes_").classes

    def _fitted(self, name: str) -> PredictionState:
        if self._prediction is None:
            raise AttributeError(
                f"This {type(self).__name__} has no {name}: it has not been fitted yet."
            )
        return self._prediction

    def check_is_fitted(self, attributes: Any = None, *args: Any, **kwargs: Any) -> None:
        """Raise NotFittedError unless the net has been fitted."""
        super().check_is_fitted(attributes or ["module_", "classes_"], *args, **kwargs)

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Collect the parameters of a part of the net, those from the data included."""
        kwargs = super().get_params_for(prefix)
        if prefix == "module":
            state, known = self._prediction, parameter_names(self.module)
            own = {"image_size": self.image_size} if state is None else state.module_parameters()
            kwargs = {name: own[name] for name in known & own.keys()} | kwargs
        if prefix == "iterator_train":
            own = {"shuffle": True, "even": True}
            if "even" not in parameter_names(self.iterator_train):  # another class than our own
                del own["even"]
            kwargs = own | kwargs
        if prefix == "iterator_valid":
            sides = (32, 32) if self._prediction is None else self._prediction.image_size
            kwargs = {"batch_size": fewer_of_larger(INFERENCE_BATCH_SIZE, sides)} | kwargs
        return kwargs

    def initialized_instance(self, instance_or_cls: Any, kwargs: dict[str, Any]) -> Any:
        """Build a part of the net; an instance that was given is copied, and stays as it is."""
        built = super().initialized_instance(instance_or_cls, kwargs)
        return copy.deepcopy(built) if built is instance_or_cls else built

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Compile the network in place, for batches of any size; it keeps its type and its keys."""
        if self.compile and not name.startswith("criterion"):
            module.compile(**self.get_params_for("compile"))
            self._answering = None
        return module

    def initialize_history(self) -> PiecewiseNet:
        """Begin a new history, and leave the old one to whoever still has it."""
        self.history_ = History()
        return self

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("train_acc", BatchAccuracy(name="train_acc", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("valid_acc", BatchAccuracy(name="valid_acc")),
            ("print_log", EpochLog()),
        ]

    def _initialize_callbacks(self):
        with self._current_init_context("callbacks"):
            self._check_callback_names()
            self.initialize_callbacks()
        return self

    def _check_callback_names(self):
        known = {name for name, _ in self._uniquely_named_callbacks()}
        for name in self._params_to_validate:
            part, _, rest = name.partition("__")
            if part == "callbacks" and rest.partition("__")[0] not in known:
                raise ValueError(f"{name!r}: there is no such callback among {sorted(known)}.")

    def _apply_changes(self):
        """Let what was set since the last call take effect, and keep weights and history."""
        before, now = self._training.parameters, self._parameters_in_effect()
        changed = {name for name in now if name not in before or before[name] != now[name]}
        if "device" in changed & before.keys():
            raise ValueError(
                f"device={self.device!r} takes effect with a new fit; this training goes on on "
                f"{before['device']!r}."
            )
        set_for_all(self, {name: now[name] for name in changed & {"momentum", "weight_decay"}})
        if "lr" in changed & now.keys():  # groups with rates of their own keep their ratio to it
            for group in self.optimizer_.param_groups:
                group["lr"] = now["lr"] * group.get("lr_ratio", 1)
        if self.compile and not self._network.is_compiled:
            self.torch_compile(self.module_, "module")
        if changed - {"momentum", "weight_decay", "device"}:
            self._initialize_callbacks()

    def _yield_callbacks(self):
        if self.callbacks == "disable":
            yield from ((name, callback, True) for name, callback in self.get_default_callbacks())
        else:
            yield from super()._yield_callbacks()

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; after each batch of training, look whether its loss is finite."""
        if "batch" in cb_kwargs:
            cb_kwargs["batch"] = self._with_labels(cb_kwargs["batch"])
        for name in cb_kwargs.keys() & {"X", "dataset_train", "dataset_valid"}:
            are_labels = self._prediction is not None and self._prediction.labels_are_indices
            cb_kwargs[name] = for_callbacks(cb_kwargs[name], indices_are_labels=are_labels)
        self._is_ending = method_name == "on_train_end"
        try:
            super().notify(method_name, **cb_kwargs)
        finally:
            self._is_ending = False
        if method_name == "on_batch_end":
            self._labelled = None, None  # which would keep the batch in memory
        if method_name == "on_batch_end" and cb_kwargs["training"]:
            row = self.history_[-1]["batches"][-1]
            if not math.isfinite(row["train_loss"]):
                raise self._divergence(row["train_loss"])
        if method_name == "on_epoch_end" and not train_rows(self.history_[-1]):
            raise ValueError(
                "An epoch has no batch to train on: the batch size is larger than the data, and "
                "the last, smaller batch is dropped."
            )

    def _with_labels(self, batch):
        """Return a batch as callbacks get it, made once for all moments of an update."""
        known, labelled = self._labelled
        if known is not batch:
            labelled = LabelledBatch.of(batch, self._prediction)
            self._labelled = batch, labelled
        return labelled

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Begin an epoch in the history, with its batch size."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self._step = None  # callbacks may have changed the network
        own = self.get_params_for("iterator_train").get("batch_size", self.batch_size)
        self.history_.record("batch_size", own)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Note the rate of the epoch's last update, to be printed with the rest."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        rate = last_lr(self.history_[-1])
        if math.isfinite(rate):
            self.history_.record("lr", rate)

    def _get_predict_nonlinearity(self):
        """Return what makes probabilities of scores: the network gives logits.

        With torch's ``NLLLoss`` it gives probabilities, of which skorch takes the logarithm.
        """
        if self.predict_nonlinearity != "auto":
            return super()._get_predict_nonlinearity()
        self.check_is_fitted()
        return _unchanged if self._gives_probabilities() else partial(torch.softmax, dim=-1)

    def _gives_probabilities(self):
        if self.criterion_ is None:  # trimmed for prediction
            return self._gave_probabilities
        return isinstance(self.criterion_, nn.NLLLoss)

    def trim_for_prediction(self) -> None:
        """Remove all that only training needs, as skorch does.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        """
        self.check_is_fitted()
        self._gave_probabilities = self._gives_probabilities()
        super().trim_for_prediction()

    def _check_last_update(self, train):
        """Raise unless the network, whose last update no loss has judged, gives finite answers."""
        answers = self.forward(Subset(train, range(min(len(train), INFERENCE_BATCH_SIZE))))
        if torch.isfinite(answers[0] if isinstance(answers, tuple) else answers).all():
            return
        raise self._divergence(math.nan)

    def _divergence(self, loss):
        epoch = self.history_[-1]
        return DivergenceError(
            epoch["epoch"], count_updates(self.history_) - 1, last_lr(epoch), loss
        )

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: the data have been checked before the net was built."""

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple:
        """Return training and validation data, split before."""
        return X.train, X.valid

    def get_dataset(self, X: Any, y: Any = None) -> Dataset:
        """Return images, checked against those of `fit`, as a data set."""
        if is_encoded(X):
            return for_training(X)
        self.check_is_fitted()
        given = None if y is None else np.asarray(given_labels(y))
        targets = None if given is None else encode(given, self.classes_, "y")
        expected = self._fitted("images").input_shape
        return ImageDataset(check_images(X, expected, type(self).__name__), targets, self.classes_)

    def get_iterator(self, dataset: Dataset, training: bool = False) -> Any:
        """Return the iterator of a data set, with class indices where callbacks have labels."""
        return super().get_iterator(for_training(dataset), training=training)

    @property
    def _network(self) -> Network:
        """The network that answers batches of images as they come in."""
        state, known = self._fitted("network"), self._answering
        weights = next(self.module_.parameters(), None)
        # a device that is set takes effect with the next fit; the network is where it is
        device = self.device if weights is None else weights.device
        if known is None or not known.is_made_of(self.module_, state, device):
            known = self._answering = Network(self.module_, state, device)
        return known

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch, augmented, in pieces that stay in the cache."""
        step = self._step
        if (
            step is None
            or step.criterion is not self.criterion_
            or step.loss_draws_nothing is not self._has_loss_of_skorch
        ):
            step = self._step = self._new_step()
            if not step.parameters:
                raise ValueError(
                    "There is no weight to train: each parameter of the network is frozen "
                    "(requires_grad=False), as by Freezer('*')."
                )
            self._set_training(True)
        elif not self.module_.training:
            self._set_training(True)
        return step(*batch)

    def _new_step(self):
        return TrainingStep(
            self._network,
            self._training_loss,
            self.criterion_,
            self.augmentation,
            loss_draws_nothing=self._has_loss_of_skorch,
            graphs=self._graphs,
        )

    def _training_loss(self, answer, targets, images):
        loss = self.get_loss(answer, targets, X=images, training=True)
        if self._has_loss_of_skorch:
            check_probabilities(self.criterion_, answer, loss)
        return loss

    @property
    def _has_loss_of_skorch(self):
        own = "get_loss" in vars(self)
        return not own and type(self).get_loss is skorch.NeuralNetClassifier.get_loss

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Return ``loss`` and ``y_pred`` of a batch of validation, the loss weighted if it is."""
        if len(batch) != 3:
            return super().validation_step(batch, **fit_params)
        *pair, weights = batch
        with each_sample(self.criterion_):
            step = super().validation_step(pair, **fit_params)
        return step | {"loss": weighted(step["loss"], weights, self.criterion_.reduction)}

    def evaluation_step(self, batch: Any, training: bool = False) -> Answer:
        """Return the network's answer to a batch; weights have no part in it."""
        return super().evaluation_step(without_weights(batch), training=training)

    def infer(self, x: torch.Tensor, **fit_params: Any) -> Answer:
        """Return the network's answer to a batch of images as they came in."""
        return self._network.infer(x)


def _unchanged(scores):
    return scores
