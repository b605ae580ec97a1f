"""LeNet-5 with a learning-rate or batch-size schedule, as a scikit-learn classifier."""

from __future__ import annotations

import copy
import inspect
import io
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import safetensors
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import validate_parameter_constraints
from skorch.callbacks import Callback, Checkpoint
from torch import nn
from torch.utils.data import Dataset

from skclr._checkpoints import check_optimizer, check_weights
from skclr._history import begins_with
from skclr._process import one_thread
from skclr._training import Boundaries, ImageClassifier, parameter_names
from skclr.batches import (
    BatchIterator,
    check_labelled_images,
    encode,
    form_of_images,
    sides_of,
)
from skclr.classifier._boundaries import AUTO, check_boundaries, measure_range
from skclr.classifier._onnx import check_target, imported_onnx, to_onnx, write_model
from skclr.classifier._parameters import (
    CONSTRAINTS,
    SignatureOfInit,
    check_bases,
    check_callback,
    check_device,
    check_engine,
    check_image_size,
    check_names,
)
from skclr.classifier._saving import (
    from_safetensors,
    keep_own_implementation,
    to_safetensors,
    upgraded,
)
from skclr.classifier._schedule import (
    batch_schedule_callbacks,
    batch_schedule_of,
    check_batch_schedule,
    check_warmup,
    first_batch_size,
    needed_boundaries,
    schedule_callbacks,
)
from skclr.lenet import LeNet5
from skclr.range_test import LRRangeResult

File: TypeAlias = "str | os.PathLike | IO[bytes]"

_NOT_LOADED = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError,
               pickle.UnpicklingError, safetensors.SafetensorError)  # fmt: skip
_SHARED_FILES = (
    " If several trainings write to the files of one Checkpoint, as those of a search do, give "
    "each a dirname of its own, or leave the Checkpoint out of the search."
)


class CLRLeNetClassifier(ImageClassifier):
    """LeNet-5 trained with a schedule of the learning rate or of the batch size.

    It is a scikit-learn classifier, for pipelines and searches, and a skorch net, with its
    callbacks and its history.

    Parameters
    ----------
    module : type or torch.nn.Module, default=LeNet5
        The network, called with images of shape (n, channels, 32, 32), or of another `image_size`,
        in the dtype of its weights, returns logits of shape (n, n_classes). If its signature has
        ``in_channels``, ``n_classes`` or ``image_size``, they are filled in.
    schedule : str, callable or None, default="exp_range"
        ``"constant"`` (the rate `max_lr`), the cyclical policies ``"triangular"``,
        ``"triangular2"`` and ``"exp_range"``, ``"one_cycle"`` (from `base_lr` up to `max_lr` and
        down to almost nothing, over `max_epochs`), ``"lr_halving"`` (from `max_lr` down to
        `base_lr`), ``"cosine"`` (from `max_lr` down to `base_lr` along half a cosine, over
        `max_epochs`), ``"cosine_restarts"`` (the same fall again and again),
        ``"batch_doubling"`` (short for ``"constant"`` with ``batch_schedule="doubling"``), or a
        function ``iteration -> learning rate``. None leaves the rate to callbacks and optimizer,
        which begins with `max_lr` (or ``optimizer__lr``); with a schedule nothing else may set it.
    base_lr, max_lr : float or "auto", default=0.001 and 0.1
        The boundaries of the learning rate. ``"auto"`` has them measured by
        :func:`skclr.lr_range_test` on the training data before the training, in at most 920
        updates.
    step_size : float, default=2.5
        Half a cycle, in epochs; for ``"lr_halving"`` the epochs between halvings, for
        ``"cosine_restarts"`` the epochs of the first fall, and where the batch is doubled the
        epochs at each batch size.
    gamma : float, default=0.9998
        The amplitude of ``"exp_range"`` decays by this factor with each iteration.
    cycle_factor : float, default=1.0
        What each fall of ``"cosine_restarts"`` is longer than the one before, as a factor.
    warmup : float, default=0.0
        Epochs in which ``"cosine"`` and ``"cosine_restarts"`` climb from `base_lr` to `max_lr`
        first; for ``"cosine"`` fewer than `max_epochs`.
    batch_size : int, default=64
        Samples in a batch of training; in the first epochs, where the batch is doubled. Where it
        does not divide the data, all batches of an epoch are a little smaller, and differ by at
        most one sample; ``iterator_train__drop_last=True`` makes them whole and leaves out the
        rest.
    max_batch_size : int, default=4096
        Where doubling stops.
    batch_schedule : {"doubling", "noise"}, callable or None, default=None
        How the batch size moves, beside any `schedule` of the rate. ``"doubling"``: twice as large
        every `step_size` epochs, up to `max_batch_size`. ``"noise"``: the same after each epoch
        whose gradient is noisy enough for that to pay, see
        :class:`skclr.callbacks.NoiseDoubling`. A function ``epoch -> batch size`` of the epoch
        counted from 0, over all calls, takes the place of `batch_size`. None: it stays.
    momentum : float, default=0.9
        Of SGD, or of another `optimizer` that has a parameter of that name.
    weight_decay : float, default=0.0
        Of SGD, or of another `optimizer` that has a parameter of that name.
    max_epochs : int, default=10
        Passes over the training data in one call of `fit` or `partial_fit`.
    augmentation : callable or None, default=None
        Applied to each batch of training, in pieces of at most 256 images: a float tensor of shape
        (n, channels, 32, 32), or of another `image_size`, in, one of the same shape and dtype out.
        If it has a parameter ``generator``, it is given a ``torch.Generator`` to draw from, and
        pieces are augmented side by side. See :class:`skclr.augmentation.RandomShiftFlip`.
    image_size : int or tuple of int, default=32
        Height and width, in pixels, to which images are brought before augmentation and network
        see them, as one number where they are alike. LeNet-5 takes 32 alone; for another size give
        a `module` of your own.
    standardize : bool, default=True
        Whether the mean of the training pixels is subtracted and the result divided by their
        standard deviation, for each channel, so that pixels from 0 to 255 and from 0 to 1 give the
        same model. False: the pixels are used as they are.
    validation_fraction : float or None, default=None
        The part of the training data that is held out, stratified by class, to fill
        ``valid_loss`` and ``valid_acc`` of the history.
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes, by which `sample_weight` is multiplied: a dict
        ``{label: weight}`` with each class, or ``"balanced"``, as much as makes the classes count
        alike, ``n / (n_classes * np.bincount(y))``. Only the ratios matter; see `fit`.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the samples, their augmentation and the
        validation split. Pass an int for the same bits each time.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    checkpoint : path or None, default=None
        A file to which the state of a training is written as it goes on. Where the file is of this
        very training, which was interrupted, `fit` goes on from it, and ends with the bits of an
        uninterrupted one; where the training was finished, its end is loaded. An existing folder,
        or one whose name ends in ``/``, has a file for each training, as a search needs. Each
        further call of `partial_fit` has a file of its own, with a number at the end of its name.
    checkpoint_every : float, default=1.0
        Epochs from one checkpoint to the next: 0.1 writes ten times an epoch.
    distributed : bool, default=False
        Whether a training is shared by all processes of torch's process group, as ``torchrun``
        starts them: each computes some of the pieces of every batch, and the model has the bits
        that one process gives it. All of them call `fit` with the same data and parameters, and
        have the same fitted classifier afterwards. See the notes.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Added to the default ones. ``"disable"`` runs the schedule and nothing else, so that the
        history holds the raw values of each batch only.
    device : str, torch.device or None, default="cpu"
        Where the network is trained. ``"cuda"`` is a GPU, see the notes.
    compile : bool, default=False
        Whether the network is compiled with ``torch.compile``, in the first batch of training and
        of prediction, for batches of any size; that takes seconds and a C++ compiler.
    verbose : int, default=0
        Whether a line is printed for each epoch.
    criterion : type or torch.nn.Module, default=torch.nn.CrossEntropyLoss
        As in skorch.
    optimizer : type, default=torch.optim.SGD
        As in skorch.
    iterator_train, iterator_valid : type, default=BatchIterator
        As in skorch.
    predict_nonlinearity : callable, "auto" or None, default="auto"
        As in skorch.
    use_caching : bool or "auto", default="auto"
        As in skorch.
    torch_load_kwargs : dict or None, default=None
        As in skorch.
    **kwargs
        skorch's parameters with a double underscore, such as ``optimizer__nesterov``,
        ``module__activation`` or ``callbacks__print_log``; ``module__engine="numba"`` has
        :class:`~skclr.lenet.LeNet5` computed by the functions that numba compiles.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
        Values in a sample: of images, the pixels of all channels.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the columns, where X is a DataFrame with names that are strings.
    image_shape_ : tuple of int
        Channels, height and width of the images seen by `fit`.
    pixel_mean_, pixel_std_ : ndarray of shape (channels,) or None
        What standardizes the pixels; None with ``standardize=False``.
    base_lr_, max_lr_ : float or None
        The boundaries that were used; None where a schedule has no use for an ``"auto"``.
    lr_range_ : LRRangeResult
        The range test, where a boundary is ``"auto"``.
    history_ : skorch.history.History
        All that was recorded; see `history_frame`.
    module_ : torch.nn.Module
        The trained network.

    See Also
    --------
    skclr.lr_range_test : Measure `base_lr` and `max_lr`.

    Notes
    -----
    A parameter group with a rate of its own keeps its ratio to `max_lr` under any schedule:
    ``optimizer__param_groups=[("conv*", {"lr": 0.0})]`` freezes the convolutions, and with
    ``max_lr=0.1`` an ``lr`` of 0.01 is a tenth of the schedule's rate.

    X may be of shape (n, n_features), (n, h, w), (n, channels, h, w) or (n, h, w, channels), with
    1 or 3 channels, in any real dtype. Every image becomes one of `image_size`: a smaller one is
    enlarged by the largest whole factor that fits and zero-padded around, a larger one is resized
    with antialiasing, its proportions kept, and zero-padded where they are not those of
    `image_size`. A row whose length is no square is zero-padded to the next one.

    On the CPU a batch of 64 samples or more is cut into an even number of pieces of at most 256 (of
    images larger than 32 x 32, of fewer, in proportion to their pixels, down to 16), which as many
    threads as ``torch.get_num_threads()`` take in turn, each computing with one thread. Where a
    batch is cut depends on its size alone, and the gradients are added up in order, so the result
    does not depend on the number of threads. Networks that may draw random numbers (all but those
    of torch's own layers without dropout) are trained by one thread. With
    ``module__engine="numba"`` up to 256 samples are one piece, which has parts for the threads.

    On a GPU of CUDA's, images that are an array in memory are copied there once a training, in
    their own dtype, if they take at most a quarter of its free memory, and so are class indices
    and weights; callbacks find batches there. What comes some twenty times, preparation, network,
    loss and gradients of a batch of one size, is recorded as a CUDA graph: of `LeNet5` and of
    torch's own layers that draw no random numbers, in a ``torch.nn.Sequential``, with
    ``CrossEntropyLoss`` or ``NLLLoss``, without hooks and without `compile`. Anything else is
    computed one operation after the other, with the same numbers.

    A keyboard interrupt ends the training and is passed on; the model keeps what it has learned.

    With ``distributed=True`` a batch has as many pieces as without: two of 64 samples, 16 of 4,096.
    A process without a piece waits for the others. Held-out samples and predictions are computed
    whole in each process. What needs a batch as a whole (batch normalization, a criterion with
    weights of its own) or draws random numbers with each piece (dropout, an augmentation without a
    parameter ``generator``) is refused, and so is a device other than the CPU. The first process
    prints, logs and writes; an error or Ctrl-C in one of them is raised in all. Where torch's
    process group has not been set up, `fit` does it from what ``torchrun`` has left in the
    environment, with gloo.

    A file of `checkpoint` is one of safetensors and JSON, from which no code is run. It is told by
    the parameters, the data and the versions of this library, torch, NumPy, scikit-learn and
    skorch, and of numba where it computes: where one of these is another one, `fit` raises
    ValueError with what it is, and leaves the file alone. Of a data set that reads its images one
    by one, 64 are looked at. With ``random_state=None`` a training is gone on with whatever its
    seed was. While a process trains, another one that names the same file is refused with a
    RuntimeError. A file that cannot be written is warned of once, and the training goes on.
    Callbacks of one's own tell their state by
    ``state_dict`` and ``load_state_dict``; one without them that has a state is warned of.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
    arXiv:1506.01186.

    S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate, Increase
    the Batch Size", ICLR 2018, arXiv:1711.00489.

    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document
    Recognition", Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CLRLeNetClassifier(schedule="triangular", max_epochs=4, random_state=0)
    >>> clf.fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.9
    True
    """

    _parameter_constraints = CONSTRAINTS
    __signature__ = SignatureOfInit()
    __repr__ = BaseEstimator.__repr__

    def __init__(
        self,
        module: type | nn.Module = LeNet5,
        *,
        schedule: str | Callable[[int], float] | None = "exp_range",
        base_lr: float | str = 1e-3,
        max_lr: float | str = 0.1,
        step_size: float = 2.5,
        gamma: float = 0.9998,
        cycle_factor: float = 1.0,
        warmup: float = 0.0,
        batch_size: int = 64,
        max_batch_size: int = 4096,
        batch_schedule: str | Callable[[int], int] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        max_epochs: int = 10,
        augmentation: Callable[[torch.Tensor], torch.Tensor] | None = None,
        image_size: int | tuple[int, int] = 32,
        standardize: bool = True,
        validation_fraction: float | None = None,
        class_weight: dict | str | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_every: float = 1.0,
        distributed: bool = False,
        callbacks: list | str | None = None,
        device: str | torch.device | None = "cpu",
        compile: bool = False,
        verbose: int = 0,
        criterion: type | nn.Module = nn.CrossEntropyLoss,
        optimizer: Callable = torch.optim.SGD,
        iterator_train: Callable = BatchIterator,
        iterator_valid: Callable = BatchIterator,
        predict_nonlinearity: Callable | str | None = "auto",
        use_caching: bool | str = "auto",
        torch_load_kwargs: dict | None = None,
        **kwargs: Any,
    ):
        self.module = module
        self.schedule = schedule
        self.base_lr = base_lr
        self.max_lr = max_lr
        self.step_size = step_size
        self.gamma = gamma
        self.cycle_factor = cycle_factor
        self.warmup = warmup
        self.batch_size = batch_size
        self.max_batch_size = max_batch_size
        self.batch_schedule = batch_schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.augmentation = augmentation
        self.image_size = image_size
        self.standardize = standardize
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.random_state = random_state
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.distributed = distributed
        self.callbacks = callbacks
        self.device = device
        self.compile = compile
        self.verbose = verbose
        self.criterion = criterion
        self.optimizer = optimizer
        self.iterator_train = iterator_train
        self.iterator_valid = iterator_valid
        self.predict_nonlinearity = predict_nonlinearity
        self.use_caching = use_caching
        self.torch_load_kwargs = torch_load_kwargs
        check_bases(type(self))
        check_names(kwargs, self.prefixes_, type(self).__name__, TypeError)
        self.__dict__.update(kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(upgraded(state))

    # ---------------------------------------------------------------- parameters

    @classmethod
    def _own_names(cls):
        return list(inspect.signature(cls).parameters)

    def _get_param_names(self):
        return sorted([*self._own_names(), *self._params_to_validate])

    @property
    def _params_to_validate(self):
        return {name for name in vars(self) if "__" in name and not name.startswith("_")}

    def set_params(self, **params: Any) -> CLRLeNetClassifier:
        """Set parameters, skorch's with a double underscore included.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : CLRLeNetClassifier
            Plain parameters take effect with the next `fit`. As in skorch, those of an optimizer,
            a module, a criterion or a callback with a double underscore are applied at once to a
            fitted net; the network that such a parameter belongs to is built anew.

        Raises
        ------
        ValueError
            If there is no parameter of that name.

        Notes
        -----
        A call that fails leaves everything as it was.
        """
        own = {name: params.pop(name) for name in self._own_names() if name in params}
        check_names(params, self.prefixes_, type(self).__name__, ValueError)
        with self._whole_or_not_at_all(copied=bool(params)):
            for name, value in own.items():
                setattr(self, name, value)
            at_once = [*self._modules, *self._criteria, *self._optimizers]
            applied = {
                name: value for name, value in params.items() if name.split("__")[0] in at_once
            }
            self.__dict__.update(params)
            self._check_callback_parameters()
            if self.initialized_ and applied:
                self._check_parameters()
                groups = applied.pop("optimizer__param_groups", None)
                with self._own_generators():
                    super().set_params(**applied)
                    if groups is not None:  # which skorch would leave out
                        self._initialize_optimizer()
            if self.initialized_ and any(name.startswith("callbacks__") for name in params):
                self._initialize_callbacks()
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those with a double underscore as they were given.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of the callbacks and of other parts are included.

        Returns
        -------
        params : dict
            Names and values.
        """
        params = super().get_params(deep)
        given = {name: getattr(self, name) for name in self._params_to_validate}
        gone = [f"{name}__" for name, value in given.items() if value is None]
        # the schedule's callbacks follow from the other parameters
        gone += ["callbacks__lr_schedule", "callbacks__batch_schedule"]
        return {name: params[name] for name in params if not name.startswith(tuple(gone))} | given

    def __setattr__(self, name, value):
        if name in self._parameter_constraints:  # a module given as a parameter is not yet ours
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags

    def _check_parameters(self):
        validate_parameter_constraints(
            self._parameter_constraints,
            {name: getattr(self, name) for name in self._own_names()},
            caller_name=type(self).__name__,
        )
        both = len(needed_boundaries(self.schedule)) == 2
        if both and AUTO not in (self.base_lr, self.max_lr):
            check_boundaries(self.base_lr, self.max_lr)
        self._check_rates_of_optimizer()
        check_device(self.device, distributed=self.distributed)
        check_engine(self)
        check_image_size(self.image_size, self.module)
        self._check_callback_parameters()
        for item in self.callbacks if isinstance(self.callbacks, list) else []:
            check_callback(item)
        check_batch_schedule(self)
        if self.schedule == "cosine":
            check_warmup(self.warmup, self.max_epochs)

    def _check_rates_of_optimizer(self):
        """Raise ValueError where the optimizer is given rates that the schedule cannot obey."""
        if self.schedule is not None and "optimizer__lr" in vars(self):
            raise ValueError(
                f"optimizer__lr={self.optimizer__lr!r} would have no effect, since the schedule "
                "sets the learning rate: give max_lr in its place, or schedule=None, which leaves "
                "the rate to callbacks and optimizer."
            )
        groups = getattr(self, "optimizer__param_groups", None) or ()
        if self.max_lr == AUTO and any(group.get("lr") for _, group in groups):
            raise ValueError(
                "A parameter group keeps the ratio of its lr to max_lr, so with max_lr='auto' it "
                "can have none but 0; give max_lr as a number."
            )

    def _check_callback_parameters(self):
        for name in self._params_to_validate:
            part, _, rest = name.partition("__")
            if part == "callbacks" and "__" not in rest:
                check_callback(getattr(self, name))

    def _parameters_in_effect(self):
        names = ("schedule", "step_size", "gamma", "cycle_factor", "warmup", "batch_size",
                 "max_batch_size", "batch_schedule", "momentum", "weight_decay")  # fmt: skip
        boundaries = self._training.boundaries
        # what the optimizer goes on with, where no schedule sets it
        free = (
            {}
            if self.schedule is not None
            else {"lr": self.get_params_for("optimizer").get("lr", boundaries.max_lr)}
        )
        return {
            **{name: getattr(self, name) for name in names},
            **free,
            "device": self.device,
            "callbacks": copy.copy(self.callbacks),  # a list may grow in its place
            "base_lr": boundaries.base_lr,
            "max_lr": boundaries.max_lr,
        }

    def check_trainable_on(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None,
        X_test: ArrayLike | Dataset,
        y_test: ArrayLike | None,
    ) -> None:
        """Raise ValueError unless parameters and data are such that `fit` takes them.

        Parameters
        ----------
        X, y : array-like
            Training data, as in `fit`.
        X_test, y_test : array-like
            Test data in the same form.

        Raises
        ------
        ValueError
            If a parameter or the data are not valid. Nothing is trained or changed.
        """
        self._check_parameters()
        given, shape = self._checked_data(X, y)
        _, test_labels, _ = check_labelled_images(X_test, y_test, shape, type(self).__name__)
        encode(test_labels, given.classes, "y_test")
        self._state_before_training(given.classes, shape)

    # ---------------------------------------------------------------- the schedule

    @property
    def base_lr_(self) -> float | None:
        """The lower boundary that was used; None where a schedule has no use for an ``"auto"``."""
        self._fitted("base_lr_")
        return self._training.boundaries.base_lr

    @property
    def max_lr_(self) -> float | None:
        """The upper boundary that was used; None where a schedule has no use for an ``"auto"``."""
        self._fitted("max_lr_")
        return self._training.boundaries.max_lr

    @property
    def lr_range_(self) -> LRRangeResult:
        """The range test, where a boundary is ``"auto"``."""
        if self._training.boundaries.lr_range is None:
            raise AttributeError("No range test was made.")
        return self._training.boundaries.lr_range

    @property
    def lr(self) -> float:
        """The learning rate that the optimizer is built with; the schedule takes over from it."""
        if callable(self.schedule) and self.max_lr == AUTO:  # which is of no use to a function
            return 1.0
        return self._boundary("max_lr")

    def _boundary(self, name):
        """Return a boundary as a number; before any training, the one that was given."""
        value = getattr(self._training.boundaries, name)
        if value is None:
            value = getattr(self, name)
        if value == AUTO:
            raise ValueError(f"{name}='auto' is measured in fit, and this net has not been fitted.")
        return value

    def _settled_boundaries(self, train, *, measure):
        given = {"base_lr": self.base_lr, "max_lr": self.max_lr}
        needed = needed_boundaries(self.schedule)
        lr_range = self._training.boundaries.lr_range
        if measure and AUTO in given.values() and not callable(self.schedule):
            measured = {name for name in needed if given[name] == AUTO}
            known = None if self._recorder is None else self._recorder.sweeps
            lr_range = measure_range(self, train, measured, known)
        settled: dict[str, Any] = {
            name: getattr(lr_range, name, None) if value == AUTO else value
            for name, value in given.items()
        }
        if len(needed) == 2:
            check_boundaries(**settled)
        return Boundaries(**settled, lr_range=lr_range)

    def without_schedule(self) -> CLRLeNetClassifier:
        """Leave the learning rate to callbacks, keep the first batch size, and hold no samples out.

        Returns
        -------
        self : CLRLeNetClassifier
            With other parameters: it is meant for a clone, as in a range test.
        """
        max_lr = 0.1 if self.max_lr == AUTO else self.max_lr
        return self.set_params(
            schedule=None,
            base_lr=1e-3,
            max_lr=max_lr,
            batch_size=first_batch_size(self),
            batch_schedule=None,
            validation_fraction=None,
            checkpoint=None,
        )

    def get_default_callbacks(self) -> list[tuple[str, Callback]]:
        """Return the callbacks that every training has, the schedule first."""
        own = [] if self.callbacks == "disable" else self._default_callbacks
        sizes = batch_schedule_callbacks(
            batch_schedule_of(self.schedule, self.batch_schedule),
            step_size=self.step_size,
            batch_size=self.batch_size,
            max_batch_size=self.max_batch_size,
        )
        rates = schedule_callbacks(
            self.schedule,
            self._boundary,
            step_size=self.step_size,
            gamma=self.gamma,
            cycle_factor=self.cycle_factor,
            warmup=self.warmup,
        )
        return [*sizes, *rates, *own]

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Collect the parameters of the optimizer, `momentum` and `weight_decay` included."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        own = {"momentum": self.momentum, "weight_decay": self.weight_decay}
        known = parameter_names(self.optimizer)
        return args, {name: own[name] for name in known & own.keys()} | kwargs

    # ---------------------------------------------------------------- saving

    def save_params(
        self,
        f_params: File | None = None,
        f_optimizer: File | None = None,
        f_criterion: File | None = None,
        f_history: File | None = None,
        use_safetensors: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save weights, optimizer, criterion or history to files, as skorch does.

        With ``use_safetensors=True`` the file of `f_params` also holds, as text, what else a
        prediction needs (labels, shape of the images, statistics of the pixels): `load_params`
        makes a working classifier of it in another process, and runs no code from the file. Other
        files hold weights alone.

        Parameters
        ----------
        f_params, f_optimizer, f_criterion, f_history : path, file or None, default=None
            Where to write.
        use_safetensors : bool, default=False
            Whether the weights are written in the format of safetensors.
        **kwargs
            As in skorch.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "digits.safetensors"
        ...     clf.save_params(f_params=path, use_safetensors=True)
        ...     loaded = CLRLeNetClassifier()
        ...     loaded.load_params(f_params=path, use_safetensors=True)
        >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        if self._is_silent:  # the first process of a training writes for all
            return
        if f_params is None:  # by this name skorch's Checkpoint calls it
            f_params = kwargs.pop("f_module", None)
        if f_params is not None:
            self.check_is_fitted()
        if f_params is not None and use_safetensors:
            data = to_safetensors(self._fitted("model"), self._training, self.module_.state_dict())
            if hasattr(f_params, "write"):
                f_params.write(data)
            else:
                Path(f_params).write_bytes(data)
            f_params = None
        given = {
            "f_params": f_params,
            "f_optimizer": f_optimizer,
            "f_criterion": f_criterion,
            "f_history": f_history,
            **kwargs,
        }
        given = {name: file for name, file in given.items() if file is not None}
        if given:
            if not self.initialized_:
                self.check_is_fitted()
            super().save_params(use_safetensors=use_safetensors, **given)

    def _check_size_of_file(self, file):
        size = self._fitted("image_size").image_size
        if sides_of(self.image_size) != size:
            raise ValueError(
                f"{file} is of a classifier with image_size={size}, and this one has "
                f"image_size={self.image_size!r}: set_params(image_size={size}) before loading."
            )

    def _weightless_module(self):
        """Return the network that would be built, without memory for its weights."""
        if isinstance(self.module, nn.Module):
            return self.module
        with torch.device("meta"):
            return self.module(**self.get_params_for("module"))

    def load_params(
        self,
        f_params: File | None = None,
        f_optimizer: File | None = None,
        f_criterion: File | None = None,
        f_history: File | None = None,
        checkpoint: Checkpoint | None = None,
        use_safetensors: bool = False,
        **kwargs: Any,
    ) -> None:
        """Load what `save_params` has saved.

        Parameters
        ----------
        f_params, f_optimizer, f_criterion, f_history : path, file or None, default=None
            What to read. With ``use_safetensors=True`` the file of `f_params` makes a fitted
            classifier of one that was never fitted; otherwise this one must have been.
        checkpoint : skorch.callbacks.Checkpoint or None, default=None
            As in skorch.
        use_safetensors : bool, default=False
            Whether the weights are in the format of safetensors.
        **kwargs
            As in skorch.

        Raises
        ------
        NotFittedError
            If the weights alone are to be loaded into a classifier that was never fitted.
        ValueError
            If a file is not one of `save_params`, or not one of a network like this one's.

        Notes
        -----
        A call that fails leaves everything as it was.
        """
        if f_params is None:
            f_params = kwargs.pop("f_module", None)
        if use_safetensors:
            self._check_parameters()
        with self._whole_or_not_at_all(copied=True):
            if f_params is not None and use_safetensors:
                data = f_params.read() if hasattr(f_params, "read") else Path(f_params).read_bytes()
                self._prediction, self._training, saved = from_safetensors(data, f_params)
                self._check_size_of_file(f_params)
                check_weights(saved, self._weightless_module())
                self.initialize()
                f_params = io.BytesIO(data)
            given = {
                "f_params": f_params,
                "f_optimizer": f_optimizer,
                "f_criterion": f_criterion,
                "f_history": f_history,
                **kwargs,
            }
            ended = self.history_ if self._is_ending and checkpoint is not None else None
            try:
                super().load_params(checkpoint=checkpoint, use_safetensors=use_safetensors, **given)
                if ended is not None and not begins_with(ended, self.history_):
                    raise ValueError(f"the history of {checkpoint!r} is that of another training.")
                for name in self._optimizers if self.initialized_ else ():
                    if getattr(self, f"{name}_", None) is not None:
                        check_optimizer(getattr(self, f"{name}_"))
                        keep_own_implementation(getattr(self, f"{name}_"))
            except (NotFittedError, OSError):
                raise
            except _NOT_LOADED as error:
                text = " ".join(str(error).split())
                hint = "" if checkpoint is None else _SHARED_FILES
                if isinstance(error, pickle.UnpicklingError) and not use_safetensors:
                    hint = f" A file of safetensors takes use_safetensors=True.{hint}"
                raise ValueError(
                    f"What was to be loaded does not fit this net: {text}{hint}"
                ) from error
            if self._prediction is None:
                self._training = replace(self._training, weights_loaded=True)

    def export_onnx(
        self, path: str | os.PathLike, X: ArrayLike | Dataset | None = None, *, force: bool = False
    ) -> None:
        """Write a model of ONNX, which answers without Python, torch and this library.

        Its input ``X`` is a batch of any number of images as they come to `predict`; what prepares
        them is inside. Its outputs are ``label``, of shape (n,), and ``probabilities``, of shape
        (n, n_classes), in the order of `classes_`.

        Parameters
        ----------
        path : path
            The file to write; by custom its name ends in ``.onnx``.
        X : array-like, default=None
            Some images in the form in which the model will be given them. Of these, shape and dtype
            count. None: the form in which X came to `fit`; images of a data set that makes its
            samples one by one, or of a part of a data set, have their channels first.
        force : bool, default=False
            Whether a file that exists is overwritten.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ImportError
            If onnx or onnxscript is not installed; ``pip install 'skclr[onnx]'`` brings them.
        FileExistsError
            If the file exists, unless `force` is set.
        OSError
            If the file cannot be written. Then nothing is: it is written whole or not at all.
        ValueError
            If torch cannot export a network of one's own, or not for any number of images; if
            methods of a subclass, such as `infer`, answer otherwise than the network.

        Notes
        -----
        The operators are those of opset 18. The model's metadata hold ``classes``, the labels as a
        list in JSON, and ``skclr_version``. Labels that ONNX has no type for, such as dates, become
        text. Networks in another dtype compute in float32 there.

        The model holds no check of what it is given but that of the shape: pixels of another scale
        than in `fit` are not warned of.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import onnxruntime
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clf.export_onnx(Path(folder) / "digits.onnx")
        ...     session = onnxruntime.InferenceSession(Path(folder) / "digits.onnx")
        >>> labels, probabilities = session.run(None, {"X": X})
        >>> bool((labels == clf.predict(X)).all())
        True
        """
        self.check_is_fitted()
        imported_onnx()
        path = Path(path)
        check_target(path, force=force)
        state = self._fitted("model")
        form = state.input_shape
        if X is not None:
            form = form_of_images(X, form, type(self).__name__)
        with one_thread():  # torch can trace one network at a time, and nothing beside it
            model = to_onnx(self, state, form)
        write_model(path, model)
