"""LeNet-5 with a learning-rate or batch-size schedule, as a scikit-learn classifier."""

from __future__ import annotations

import copy
import dis
import inspect
import io
import json
import math
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skorch
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring, PrintLog
from skorch.history import History
from torch import nn
from torch.torch_version import TorchVersion
from torch.utils.data import Dataset, Subset

from skclr._process import generator_states, isolated_generators, one_thread, side_by_side
from skclr._training._pieces import Piece, cut, draw_nothing, is_mean_of_pieces
from skclr.batches import (
    BatchIterator,
    ImageDataset,
    ImagePreparation,
    channels_first,
    from_torch,
    is_lazy,
    opened,
    pixel_statistics,
)
from skclr.callbacks import (
    BatchAccuracy,
    BatchDoubling,
    CyclicLR,
    LRHalving,
    LRSchedule,
    OneCycleLR,
    StopTraining,
)
from skclr.exceptions import DivergenceError
from skclr.lenet import LeNet5

__all__ = ["CLRLeNetClassifier", "DivergenceError"]

_SCHEDULES = (
    "constant",
    "triangular",
    "triangular2",
    "exp_range",
    "one_cycle",
    "lr_halving",
    "batch_doubling",
)
_WITH_BOTH_BOUNDARIES = frozenset(_SCHEDULES) - {"constant", "batch_doubling"}
_INFERENCE_BATCH_SIZE = 512
_AUTO = "auto"
_NO_COMPILER = (
    "compile=True needs a C++ compiler and the headers of Python, and torch.compile found no "
    "working ones. Install them (Debian: g++ and python3-dev; macOS: xcode-select --install; "
    "Windows: Visual Studio's C++ tools), or set compile=False. Nothing has been trained."
)
_FUSES_ON_CPU = TorchVersion(torch.__version__) >= (2, 4)
_METADATA = "skclr"  # the name of our entry in the header of a file of safetensors


class _Split(NamedTuple):
    """Training and validation data on their way into skorch's loop."""

    train: Dataset
    valid: Dataset | None


class _SignatureOfInit:
    """The signature of a class without the ``**kwargs`` of its ``__init__``.

    scikit-learn takes every name in a class's signature for a parameter.
    """

    def __get__(self, instance, owner):
        own = inspect.signature(owner.__init__)
        plain = [p for p in own.parameters.values() if p.kind != p.VAR_KEYWORD]
        return own.replace(parameters=plain[1:])


class CLRLeNetClassifier(skorch.NeuralNetClassifier):
    """LeNet-5 trained with a schedule of the learning rate or of the batch size.

    It is a scikit-learn classifier, for pipelines and searches, and a skorch net, with its
    callbacks and its history.

    Parameters
    ----------
    module : type or torch.nn.Module, default=LeNet5
        The network, called with float images of shape (n, channels, 32, 32), returns logits of
        shape (n, n_classes). If its signature has ``in_channels`` or ``n_classes``, they are
        filled in from the data.
    schedule : str or callable, default="exp_range"
        ``"constant"`` (the rate `max_lr`), the cyclical policies ``"triangular"``,
        ``"triangular2"`` and ``"exp_range"``, ``"one_cycle"`` (from `base_lr` up to `max_lr` and
        down to almost nothing, over `max_epochs`), ``"lr_halving"`` (from `max_lr` down to
        `base_lr`), ``"batch_doubling"`` (the rate `max_lr`, a growing batch), or a function
        ``iteration -> learning rate``.
    base_lr, max_lr : float or "auto", default=0.001 and 0.1
        The boundaries of the learning rate. ``"auto"`` has them measured by
        :func:`skclr.lr_range_test` on the training data before the training, in at most 920
        updates.
    step_size : float, default=2.5
        Half a cycle, in epochs; for ``"batch_doubling"`` the epochs at each batch size, for
        ``"lr_halving"`` the epochs between halvings.
    gamma : float, default=0.9998
        The amplitude of ``"exp_range"`` decays by this factor with each iteration.
    batch_size : int, default=64
        Samples in a batch of training; in the first epochs of ``"batch_doubling"``.
    max_batch_size : int, default=4096
        Where ``"batch_doubling"`` stops.
    momentum : float, default=0.9
        Of SGD, or of another `optimizer` that has a parameter of that name.
    weight_decay : float, default=0.0
        Of SGD, or of another `optimizer` that has a parameter of that name.
    max_epochs : int, default=10
        Passes over the training data in one call of `fit` or `partial_fit`.
    augmentation : callable or None, default=None
        Applied to each batch of training, in pieces of at most 256 images: a float tensor of shape
        (n, channels, 32, 32) in, one of the same shape and dtype out. If it has a parameter
        ``generator``, it is given a ``torch.Generator`` to draw from, and pieces are augmented side
        by side. See :class:`skclr.augmentation.RandomShiftFlip`.
    standardize : bool, default=True
        Whether the mean of the training pixels is subtracted and the result divided by their
        standard deviation, for each channel, so that pixels from 0 to 255 and from 0 to 1 give the
        same model. False: the pixels are used as they are.
    validation_fraction : float or None, default=None
        The part of the training data that is held out, stratified by class, to fill
        ``valid_loss`` and ``valid_acc`` of the history.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the samples, their augmentation and the
        validation split. Pass an int for the same bits each time.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    callbacks : list of skorch callbacks, "disable" or None, default=None
        Added to the default ones. ``"disable"`` runs the schedule and nothing else, so that the
        history holds the raw values of each batch only.
    device : str, torch.device or None, default="cpu"
        Where the network is trained.
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
        ``module__activation`` or ``callbacks__print_log``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
        Values in a sample.
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
    X may be of shape (n, n_features), (n, h, w), (n, channels, h, w) or (n, h, w, channels), with
    1 or 3 channels, in any real dtype. Every image becomes 32 x 32: a smaller one is enlarged by
    the largest whole factor that fits and zero-padded around, a larger one is resized with
    antialiasing. A row whose length is no square is zero-padded to the next one.

    On the CPU a batch of 64 samples or more is cut into an even number of pieces of at most 256,
    which as many threads as ``torch.get_num_threads()`` take in turn, each computing with one
    thread. Where a batch is cut depends on its size alone, and the gradients are added up in order,
    so the result does not depend on the number of threads. Networks that may draw random numbers
    (all but those of torch's own layers without dropout) are trained by one thread.

    A keyboard interrupt ends the training and is passed on; the model keeps what it has learned.

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

    _parameter_constraints: dict = {
        "module": [callable],
        "schedule": [StrOptions(set(_SCHEDULES)), callable],
        "base_lr": [Interval(Real, 0, np.inf, closed="neither"), StrOptions({"auto"})],
        "max_lr": [Interval(Real, 0, np.inf, closed="neither"), StrOptions({"auto"})],
        "step_size": [Interval(Real, 0, np.inf, closed="neither")],
        "gamma": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_batch_size": [Interval(Integral, 1, None, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, np.inf, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [callable, None],
        "standardize": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "callbacks": [list, StrOptions({"disable"}), None],
        "device": [str, torch.device, None],
        "compile": ["boolean"],
        "verbose": ["verbose"],
        "criterion": [callable],
        "optimizer": [callable],
        "iterator_train": [callable],
        "iterator_valid": [callable],
        "predict_nonlinearity": [callable, StrOptions({"auto"}), None],
        "use_caching": ["boolean", StrOptions({"auto"})],
        "torch_load_kwargs": [dict, None],
    }

    __signature__ = _SignatureOfInit()

    # skorch sets these in __init__, where scikit-learn wants nothing but the parameters
    history_ = None
    initialized_ = False
    _whole = _shared = _trained = None
    virtual_params_: dict = {}
    # parameters of skorch's that have another form here
    dataset = ImageDataset
    train_split = None
    classes = None

    def __init__(
        self,
        module: type | nn.Module = LeNet5,
        *,
        schedule: str | Callable[[int], float] = "exp_range",
        base_lr: float | str = 1e-3,
        max_lr: float | str = 0.1,
        step_size: float = 2.5,
        gamma: float = 0.9998,
        batch_size: int = 64,
        max_batch_size: int = 4096,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        max_epochs: int = 10,
        augmentation: Callable[[torch.Tensor], torch.Tensor] | None = None,
        standardize: bool = True,
        validation_fraction: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
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
        self.batch_size = batch_size
        self.max_batch_size = max_batch_size
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.augmentation = augmentation
        self.standardize = standardize
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
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
        self._check_names(kwargs, TypeError)
        vars(self).update(kwargs)

    # ---------------------------------------------------------------- parameters

    @classmethod
    def _own_names(cls):
        return list(inspect.signature(cls).parameters)

    def _get_param_names(self):
        return sorted([*self._own_names(), *self._params_to_validate])

    @property
    def _params_to_validate(self):
        return {name for name in vars(self) if "__" in name and not name.startswith("_")}

    def _check_names(self, names, error):
        for name in names:
            prefix, _, rest = name.partition("__")
            if not rest or prefix not in {*self.prefixes_, "module", "criterion", "optimizer"}:
                hint = " Set max_lr, and schedule='constant'." if name == "lr" else ""
                raise error(f"{type(self).__name__} has no parameter {name!r}.{hint}")

    def set_params(self, **params):
        """Set parameters, skorch's with a double underscore included.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : CLRLeNetClassifier
            Plain parameters take effect with the next `fit`. As in skorch, those of an optimizer
            or a module with a double underscore are applied at once to a fitted net.

        Raises
        ------
        ValueError
            If there is no parameter of that name.
        """
        own = {name: params.pop(name) for name in self._own_names() if name in params}
        self._check_names(params, ValueError)
        for name, value in own.items():
            setattr(self, name, value)
        if not self.initialized_:
            vars(self).update(params)
        elif params:
            with self._reproducibly():
                super().set_params(**params)
            vars(self).update(params)
        return self

    def get_params(self, deep: bool = True) -> dict:
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

    __repr__ = BaseEstimator.__repr__

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
        schedule = self.schedule
        both = isinstance(schedule, str) and schedule in _WITH_BOTH_BOUNDARIES
        if both and _AUTO not in (self.base_lr, self.max_lr):
            _check_boundaries(self.base_lr, self.max_lr)
        _check_device(self.device)
        for item in self.callbacks if isinstance(self.callbacks, list) else []:
            _check_callback(item)
        if schedule == "batch_doubling" and self.max_batch_size < self.batch_size:
            raise ValueError(
                "max_batch_size must be at least batch_size, got "
                f"max_batch_size={self.max_batch_size!r} and batch_size={self.batch_size!r}."
            )

    # ---------------------------------------------------------------- training

    def fit(self, X, y=None, *, X_val=None, y_val=None):
        """Train for `max_epochs` epochs, from new weights unless `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images. A memory map is read batch by batch, and so is a data set of the map style, such
            as torchvision's.
        y : array-like of shape (n,)
            Labels, numbers or strings, of at least two classes. None: those of the data set.
        X_val, y_val : array-like, default=None
            Validation data in the same form, for ``valid_loss`` and ``valid_acc``; instead of
            `validation_fraction`.

        Returns
        -------
        self : CLRLeNetClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter or the data are not valid, before any training.
        DivergenceError
            If the loss is not finite any more.
        RuntimeError
            If ``compile=True`` and there is no C++ compiler.
        """
        cold = not (self.warm_start and hasattr(self, "classes_"))
        return self._train(X, y, X_val, y_val, cold=cold)

    def partial_fit(self, X, y=None, classes=None, *, X_val=None, y_val=None):
        """Train for `max_epochs` more epochs, from where the last call ended.

        Parameters
        ----------
        X, y : array-like
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur, where the first call's `y` does not have them all.
        X_val, y_val : array-like, default=None
            As in `fit`.

        Returns
        -------
        self : CLRLeNetClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter or the data are not valid, before any training.
        DivergenceError
            If the loss is not finite any more.
        """
        cold = not hasattr(self, "classes_")
        return self._train(X, y, X_val, y_val, classes=classes, cold=cold)

    def _train(self, X, y, X_val, y_val, *, cold, classes=None):
        self._check_parameters()
        self.check_training_readiness()
        images, labels = self._check_X_y(X, y, reset=cold)
        if cold:
            classes = np.unique(labels if classes is None else classes)
            if len(classes) < 2:
                raise ValueError(
                    f"{type(self).__name__} needs at least two classes, and y has 1 class: "
                    f"{classes.tolist()}."
                )
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={np.unique(classes).tolist()} are not those of the first call, "
                f"{self.classes_.tolist()}."
            )
        else:
            classes = self.classes_
        targets = _encode(labels, classes, "y")
        valid = self._check_validation(X_val, y_val, classes)
        with self._reproducibly(new=cold):
            train = ImageDataset(images, targets, classes)
            indices = None
            if self.validation_fraction is not None:
                if cold or not hasattr(self, "_split_seed"):  # the same samples stay held out
                    self._split_seed = _drawn_seed()
                indices, held_out = train_test_split(
                    np.arange(len(targets)),
                    test_size=self.validation_fraction,
                    stratify=targets,
                    random_state=self._split_seed,
                )
                train, valid = Subset(train, indices), Subset(train, held_out)
            if cold:
                self.classes_inferred_ = classes
                self._note_statistics(
                    *(pixel_statistics(images, indices) if self.standardize else (None, None))
                )
            self._settle_boundaries(train, measure=cold or not hasattr(self, "lr_range_"))
            if cold:
                self.initialize()
            else:
                self._apply_changes()
            self._used = self._in_use()
            self._run(_Split(train, valid))
        return self

    def _note_statistics(self, mean, std):
        self.pixel_mean_, self.pixel_std_ = mean, std
        self._prepare = ImagePreparation(self.image_shape_, mean, std)

    def _in_use(self):
        names = ("schedule", "base_lr_", "max_lr_", "step_size", "gamma", "batch_size",
                 "max_batch_size", "callbacks", "momentum", "weight_decay")  # fmt: skip
        used = {name: getattr(self, name) for name in names}
        return used | {"callbacks": copy.copy(self.callbacks)}  # a list may grow in its place

    def _apply_changes(self):
        """Let what was set since the last training take effect, and keep weights and history."""
        now = self._in_use()
        changed = {name for name, value in self._used.items() if value != now[name]}
        for name in changed & {"momentum", "weight_decay"}:
            for group in self.optimizer_.param_groups:
                if name in group:
                    group[name] = now[name]
        if changed - {"momentum", "weight_decay"}:
            self._initialize_callbacks()

    def _settle_boundaries(self, train, measure):
        """Set `base_lr_` and `max_lr_`, measured where they are "auto"."""
        given = {"base_lr": self.base_lr, "max_lr": self.max_lr}
        if measure and _AUTO in given.values() and not callable(self.schedule):
            self.lr_range_ = self._measured_range(train)
        for name, value in given.items():
            if value == _AUTO:
                value = getattr(getattr(self, "lr_range_", None), name, None)
            setattr(self, f"{name}_", value)
        if isinstance(self.schedule, str) and self.schedule in _WITH_BOTH_BOUNDARIES:
            _check_boundaries(self.base_lr_, self.max_lr_)

    def _measured_range(self, train):
        from skclr.range_test import RangeTestWarning, lr_range_test

        images, labels = opened(train)
        with isolated_generators(device=self.device):  # the weights to come are those without it
            seed = _drawn_seed()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RangeTestWarning)
            found = lr_range_test(self, images, labels, random_state=seed, verbose=self.verbose)
        needed = {"base_lr", "max_lr"} if self.schedule in _WITH_BOTH_BOUNDARIES else {"max_lr"}
        for name in sorted(needed):
            if getattr(self, name) == _AUTO and getattr(found, name) is None:
                reasons = " ".join(str(warning.message) for warning in caught)
                raise ValueError(
                    f"No {name} could be measured; give it as a number, or look at lr_range_test. "
                    f"{reasons}"
                )
        return found

    def _run(self, split):
        y = self.classes_[:1]  # any labels: skorch's callbacks look how to index them
        try:
            self.notify("on_train_begin", X=split.train, y=y)
            self.fit_loop(split)
            self._check_last_update(split.train)
        except KeyboardInterrupt as interrupt:
            if not _raised_by_callback(interrupt):
                raise
        except Exception as error:
            if self.compile and _is_lack_of_compiler(error):
                raise RuntimeError(_NO_COMPILER) from error
            raise
        finally:
            self._whole = self._trained = None
            self.notify("on_train_end", X=split.train, y=y)

    def _check_last_update(self, train):
        """Raise unless the network, whose last update no loss has judged, gives finite answers."""
        answers = self.forward(Subset(train, range(min(len(train), _INFERENCE_BATCH_SIZE))))
        if torch.isfinite(answers[0] if isinstance(answers, tuple) else answers).all():
            return
        raise self._divergence(math.nan)

    def _check_validation(self, X_val, y_val, classes):
        if X_val is None and y_val is None:
            return None
        if X_val is None or (y_val is None and not isinstance(X_val, Dataset)):
            raise ValueError("X_val and y_val go together, and one of them is None.")
        if self.validation_fraction is not None:
            raise ValueError("Give either X_val and y_val or a validation_fraction, not both.")
        images, labels = self._check_X_y(X_val, y_val, reset=False)
        return ImageDataset(images, _encode(labels, classes, "y_val"), classes)

    @contextmanager
    def _reproducibly(self, new=False):
        """Draw from generators of our own, seeded anew or gone on with, and use one thread."""
        seed = check_random_state(self.random_state).randint(2**31) if new else None
        states = None if new else getattr(self, "_generators", None)
        with isolated_generators(seed, states, self.device), one_thread():
            try:
                yield
            finally:
                self._generators = generator_states()

    # ---------------------------------------------------------------- skorch's parts

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns of `predict_proba`."""
        try:
            return self.classes_inferred_
        except AttributeError:
            raise AttributeError(f"This {type(self).__name__} has not been fitted yet.") from None

    @property
    def lr(self) -> float:
        """The learning rate that the optimizer is built with; the schedule takes over from it."""
        return 0.0 if callable(self.schedule) else self._boundary("max_lr")

    def _boundary(self, name):
        """Return a boundary as a number; before any training, the one that was given."""
        value = getattr(self, f"{name}_", None)
        if value is None:
            value = getattr(self, name)
        if value == _AUTO:
            raise ValueError(f"{name}='auto' is measured in fit, and this net has not been fitted.")
        return value

    def get_params_for(self, prefix: str) -> dict:
        """Collect the parameters of a part of the net, those from the data included."""
        kwargs = super().get_params_for(prefix)
        if prefix == "module" and hasattr(self, "classes_"):
            known = _signature(self.module)
            from_data = {"n_classes": len(self.classes_), "in_channels": self.image_shape_[0]}
            kwargs = {name: from_data[name] for name in known & from_data.keys()} | kwargs
        if prefix == "iterator_train":
            kwargs = {"shuffle": True} | kwargs
        if prefix == "iterator_valid":
            kwargs = {"batch_size": _INFERENCE_BATCH_SIZE} | kwargs
        return kwargs

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Collect the parameters of the optimizer, `momentum` and `weight_decay` included."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        own = {"momentum": self.momentum, "weight_decay": self.weight_decay}
        if self._on_cpu and _FUSES_ON_CPU and not {"foreach", "differentiable"} & kwargs.keys():
            own["fused"] = True  # one call for all weights, which are few and small
        known = _signature(self.optimizer)
        return args, {name: own[name] for name in known & own.keys()} | kwargs

    def initialized_instance(self, instance_or_cls, kwargs):
        """Build a part of the net; an instance that was given is copied, and stays as it is."""
        built = super().initialized_instance(instance_or_cls, kwargs)
        return copy.deepcopy(built) if built is instance_or_cls else built

    def torch_compile(self, module, name):
        """Compile the network in place, for batches of any size; it keeps its type and its keys."""
        if self.compile and not name.startswith("criterion"):
            module.compile(**self.get_params_for("compile"))
            self._compiled_for = set()  # training, or not
        return module

    def initialize_history(self):
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
            ("print_log", PrintLog()),
        ]

    def get_default_callbacks(self):
        """Return the callbacks that every training has, the schedule first."""
        own = [] if self.callbacks == "disable" else self._default_callbacks
        return [*self._schedule_callbacks(), *own]

    def _schedule_callbacks(self):
        schedule, step_size = self.schedule, self.step_size
        if callable(schedule):
            return [("lr_schedule", LRSchedule(schedule))]
        top = self._boundary("max_lr")
        if schedule in ("constant", "batch_doubling"):
            constant = LRSchedule(partial(_constant, top))
            if schedule == "constant":
                return [("lr_schedule", constant)]
            doubling = BatchDoubling(
                self.batch_size, every=step_size, max_batch_size=self.max_batch_size
            )
            return [("batch_schedule", doubling), ("lr_schedule", constant)]
        base = self._boundary("base_lr")
        if schedule == "one_cycle":
            return [("lr_schedule", OneCycleLR(top, div_factor=top / base))]
        if schedule == "lr_halving":
            return [("lr_schedule", LRHalving(top, step_size, base))]
        return [("lr_schedule", CyclicLR(schedule, base, top, step_size, gamma=self.gamma))]

    def _initialize_callbacks(self):
        with self._current_init_context("callbacks"):
            self._check_callback_names()
            self.initialize_callbacks()
        return self

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; after each batch of training, look whether its loss is finite."""
        super().notify(method_name, **cb_kwargs)
        if method_name == "on_batch_end" and cb_kwargs["training"]:
            row = self.history_[-1]["batches"][-1]
            if not math.isfinite(row["train_loss"]):
                raise self._divergence(row["train_loss"])
        if method_name == "on_epoch_end" and not _train_rows(self.history_[-1]):
            raise ValueError(
                "An epoch has no batch to train on: the batch size is larger than the data, and "
                "the last, smaller batch is dropped."
            )

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Begin an epoch in the history, with its batch size."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self._whole = None
        own = self.get_params_for("iterator_train").get("batch_size", self.batch_size)
        self.history_.record("batch_size", own)

    def _divergence(self, loss):
        epoch = self.history_[-1]
        iteration = sum(len(_train_rows(epoch)) for epoch in self.history_) - 1
        return DivergenceError(
            epoch["epoch"], iteration, _train_rows(epoch)[-1].get("event_lr", math.nan), loss
        )

    def _check_callback_names(self):
        known = {name for name, _ in self._uniquely_named_callbacks()}
        for name in self._params_to_validate:
            part, _, rest = name.partition("__")
            if part == "callbacks" and rest.partition("__")[0] not in known:
                raise ValueError(f"{name!r}: there is no such callback among {sorted(known)}.")

    def _yield_callbacks(self):
        if self.callbacks == "disable":
            yield from ((name, callback, True) for name, callback in self.get_default_callbacks())
        else:
            yield from super()._yield_callbacks()

    def check_data(self, X, y=None):
        """Do nothing: the data have been checked before the net was built."""

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return training and validation data, split before."""
        return X.train, X.valid

    def get_dataset(self, X, y=None):
        """Return images, checked against those of `fit`, as a data set."""
        if _is_prepared(X):
            return X
        if isinstance(X, Dataset):
            X, _ = opened(X, labelled=False)
        targets = None if y is None else _encode(np.asarray(y), self.classes_, "y")
        return ImageDataset(self._check_X(X, reset=False), targets, self.classes_)

    def train_step_single(self, batch, **fit_params):
        """Compute loss and gradients of a batch, augmented, in pieces that stay in the cache."""
        if not self.module_.training or self._whole is None:
            self._set_training(True)
        pieces = self._pieces(*batch)
        if self._shared and len(pieces) > 1:
            return self._train_side_by_side(pieces)
        losses, answers = [], []
        for piece in pieces:
            loss, y_pred = self._loss(piece)
            if len(pieces) > 1:
                loss = loss * piece.share
            loss.backward()
            losses.append(loss.detach())
            answers.append(y_pred)
        return {"loss": sum(losses), "y_pred": _joined(answers)}

    def _train_side_by_side(self, pieces):
        """Give each thread a piece at a time; add up the gradients in the order of the pieces."""
        parameters = self._trained

        def compute(piece):
            loss, y_pred = self._loss(piece)
            share = loss.new_tensor(piece.share)
            gradients = torch.autograd.grad(loss, parameters, share)
            return loss.detach() * share, y_pred.detach(), gradients

        losses, answers, gradients = zip(*self._mapped(compute, pieces), strict=True)
        by_parameter = zip(*gradients, strict=True)
        for parameter, (total, *others) in zip(parameters, by_parameter, strict=True):
            for share in others:
                total.add_(share)
            # compiled code returns them as it likes, and optimizers expect those of the parameter
            if total.stride() != parameter.stride():
                total = torch.empty_like(parameter).copy_(total)
            parameter.grad = total if parameter.grad is None else parameter.grad + total
        return {"loss": sum(losses), "y_pred": _joined(answers)}

    def _pieces(self, images, targets):
        n = len(targets)
        if self._whole is None:  # once an epoch: callbacks may change the network between two
            self._whole = not is_mean_of_pieces(self.criterion_, self.module_)
            self._shared = not self._whole and self._trains_side_by_side
            self._trained = [part for part in self.module_.parameters() if part.requires_grad]
        parts = [slice(n)] if self._whole else cut(n, self._device, shared=self._shared)
        return [
            Piece(images[part], targets[part], len(targets[part]) / n, self._generator())
            for part in parts
        ]

    def _generator(self):
        """Return what a piece's augmentation draws from, where it takes a generator."""
        return torch.Generator().manual_seed(_drawn_seed()) if self._takes_generator else None

    @property
    def _takes_generator(self):
        if self.augmentation is None:
            return False
        try:
            return "generator" in _signature(self.augmentation)
        except ValueError:  # a function of C without a signature
            return False

    @property
    def _trains_side_by_side(self):
        """Whether the pieces of a batch can be computed at the same time and give the same bits."""
        return (
            self._on_cpu
            and (self.augmentation is None or self._takes_generator)
            and type(self).get_loss is skorch.NeuralNetClassifier.get_loss
            and draw_nothing(self.criterion_, self.module_)
        )

    @property
    def _device(self):
        return torch.device(self.device or "cpu")

    @property
    def _on_cpu(self):
        return self._device.type == "cpu"

    def _loss(self, piece):
        """Return the loss of a piece, and the network's answer."""
        images = self._prepared(piece.images)
        if self.augmentation is not None:
            images = self._augmented(images, piece.generator)
        y_pred = self._answered(images)
        return self.get_loss(y_pred, piece.targets, X=images, training=True), y_pred

    def infer(self, x, **fit_params):
        """Return the network's answer to a batch of images as they came in."""
        if torch.is_grad_enabled() or self.module_.training:
            return self._answered(self._prepared(x))
        shared = self._on_cpu and draw_nothing(self.module_)
        pieces = [x[part] for part in cut(len(x), self._device, shared=shared)]
        mapped = self._mapped if shared else _in_turn
        return _joined(mapped(lambda piece: self._answered(self._prepared(piece)), pieces))

    def _mapped(self, function, pieces):
        """Map side by side; where that compiles the network, in turn, so that it is done once."""
        kind = self.module_.training
        if self.compile and kind not in self._compiled_for:
            self._compiled_for.add(kind)
            return _in_turn(function, pieces)
        return side_by_side(function, pieces)

    def _answered(self, images):
        if self.compile and len(images) > 1:  # else each size of a batch is compiled anew
            torch._dynamo.mark_dynamic(images, 0)
        answer = self.module_(images)
        scores = answer[0] if isinstance(answer, tuple) else answer
        if scores.shape != (len(images), len(self.classes_)):
            raise ValueError(
                f"module must return scores of shape {(len(images), len(self.classes_))}, a row a "
                f"sample and a column a class, got {tuple(scores.shape)}."
            )
        return answer

    def _prepared(self, images):
        images = images.to(self.device) if self.device is not None else images
        return self._prepare(images)

    def _augmented(self, images, generator):
        given = {} if generator is None else {"generator": generator}
        augmented = self.augmentation(images, **given)
        if not isinstance(augmented, torch.Tensor):
            got = type(augmented).__name__
        elif augmented.shape != images.shape or augmented.dtype != images.dtype:
            got = f"{augmented.dtype} of shape {tuple(augmented.shape)}"
        else:
            return augmented
        raise ValueError(
            f"augmentation must return a tensor like the one it was given, {images.dtype} of shape "
            f"{tuple(images.shape)}, got {got}."
        )

    def check_is_fitted(self, attributes=None, *args, **kwargs):
        """Raise NotFittedError unless the net has been fitted."""
        attributes = attributes or ["module_", "classes_inferred_"]
        super().check_is_fitted(attributes, *args, **kwargs)

    # ---------------------------------------------------------------- use

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels)
            Images of the shape seen by `fit`.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the images are not valid, or of another shape than those seen by `fit`.
        """
        self.check_is_fitted()
        dataset = self.get_dataset(X)
        with one_thread():
            return super().predict_proba(dataset)

    def predict(self, X) -> np.ndarray:
        """Return the most probable label.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels)
            Images of the shape seen by `fit`.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the images are not valid, or of another shape than those seen by `fit`.
        """
        indices = self.predict_proba(X).argmax(axis=1)
        # skorch's scoring callbacks compare with the class indices of the batches that they kept
        return indices if _is_prepared(X) else self.classes_[indices]

    def save_params(
        self,
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
        use_safetensors=False,
        **kwargs,
    ):
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
        if f_params is not None:
            self.check_is_fitted()
        if f_params is not None and use_safetensors:
            from safetensors.torch import save

            state = {k: v.contiguous() for k, v in self.module_.state_dict().items()}
            data = save(state, metadata={_METADATA: json.dumps(self._described())})
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
            super().save_params(use_safetensors=use_safetensors, **given)

    def load_params(
        self,
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
        checkpoint=None,
        use_safetensors=False,
        **kwargs,
    ):
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
            If a file of safetensors does not come from `save_params`.
        """
        if f_params is not None and use_safetensors:
            data = f_params.read() if hasattr(f_params, "read") else Path(f_params).read_bytes()
            self._become(_read_metadata(data, f_params))
            f_params = io.BytesIO(data)
        super().load_params(
            f_params=f_params,
            f_optimizer=f_optimizer,
            f_criterion=f_criterion,
            f_history=f_history,
            checkpoint=checkpoint,
            use_safetensors=use_safetensors,
            **kwargs,
        )

    def _described(self):
        """Return what a prediction needs besides the weights, as JSON takes it."""
        statistics = (self.pixel_mean_, self.pixel_std_)
        return {
            "classes": (
                self.classes_.astype(str) if self.classes_.dtype.kind in "mMS" else self.classes_
            ).tolist(),
            "classes_dtype": self.classes_.dtype.str,
            "image_shape": list(self.image_shape_),
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", np.array([])).tolist(),
            "base_lr": self.base_lr_,
            "max_lr": self.max_lr_,
            "pixel_mean": None if statistics[0] is None else statistics[0].tolist(),
            "pixel_std": None if statistics[1] is None else statistics[1].tolist(),
        }

    def _become(self, described):
        dtype = np.dtype(described["classes_dtype"])
        self.classes_inferred_ = np.array(described["classes"], dtype=dtype)
        self.image_shape_ = tuple(described["image_shape"])
        self.n_features_in_ = described["n_features_in"]
        self.base_lr_, self.max_lr_ = described["base_lr"], described["max_lr"]
        if described["feature_names_in"]:
            self.feature_names_in_ = np.array(described["feature_names_in"], dtype=object)
        values = (described[name] for name in ("pixel_mean", "pixel_std"))
        self._note_statistics(*(None if value is None else np.array(value) for value in values))
        with self._reproducibly(new=True):
            self.initialize()
        self._used = self._in_use()

    def history_frame(self, level: str = "epoch") -> pd.DataFrame:
        """Return the history as a DataFrame.

        Parameters
        ----------
        level : {"epoch", "batch"}, default="epoch"
            A row an epoch or a row an iteration.

        Returns
        -------
        frame : DataFrame
            For epochs: ``epoch`` (from 1), ``train_loss``, ``train_acc``, ``valid_loss`` and
            ``valid_acc`` (NaN without validation data), ``lr`` (of the epoch's last update),
            ``batch_size``, ``n_updates`` (in the epoch), ``dur`` (seconds). For batches: ``epoch``,
            ``iteration`` (from 0, over all epochs), ``lr``, ``batch_size`` (samples in this very
            batch), ``train_loss``. Training accuracy and loss are means over the updates of the
            epoch, taken as training went on.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If `level` is neither of the two.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(schedule="batch_doubling", step_size=1, batch_size=256,
        ...                          max_batch_size=1024, max_epochs=3, random_state=0).fit(X, y)
        >>> clf.history_frame()[["epoch", "batch_size", "n_updates"]]
           epoch  batch_size  n_updates
        0      1         256          8
        1      2         512          4
        2      3        1024          2
        """
        self.check_is_fitted()
        if level == "epoch":
            return pd.DataFrame([self._epoch_row(epoch) for epoch in self.history_])
        if level == "batch":
            rows = [
                (
                    epoch["epoch"],
                    row.get("event_lr", math.nan),
                    row["train_batch_size"],
                    row["train_loss"],
                )
                for epoch in self.history_
                for row in _train_rows(epoch)
            ]
            frame = pd.DataFrame(rows, columns=["epoch", "lr", "batch_size", "train_loss"])
            frame.insert(1, "iteration", np.arange(len(frame)))
            return frame
        raise ValueError(f"level must be 'epoch' or 'batch', got {level!r}.")

    def _epoch_row(self, epoch):
        rows = _train_rows(epoch)
        recorded = {
            name: epoch.get(name, math.nan)
            for name in ("train_loss", "train_acc", "valid_loss", "valid_acc")
        }
        return {
            "epoch": epoch["epoch"],
            **recorded,
            "lr": rows[-1].get("event_lr", math.nan) if rows else math.nan,
            "batch_size": epoch["batch_size"],
            "n_updates": len(rows),
            "dur": epoch.get("dur", math.nan),
        }

    # ---------------------------------------------------------------- input

    def _check_X_y(self, X, y, *, reset):
        if isinstance(X, Dataset):
            X, own_labels = opened(X, labelled=y is None)
            y = own_labels if y is None else y
        X, y = from_torch(X), from_torch(y)
        if is_lazy(X):
            if y is None:
                raise ValueError("y is None, and the samples of the data set have no labels.")
            if reset:
                vars(self).pop("feature_names_in_", None)
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
        elif reset or _n_dimensions(X) == 2:
            X, y = validate_data(
                self, X, y, reset=reset, allow_nd=True, dtype="numeric", multi_output=False
            )
        else:
            X = self._check_nd(X)
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
        check_classification_targets(y)
        return self._as_images(X, reset=reset), y

    def _check_X(self, X, *, reset):
        X = from_torch(X)
        if is_lazy(X):
            return self._as_images(X, reset=reset)
        if _n_dimensions(X) == 2:
            X = validate_data(self, X, reset=reset, dtype="numeric")
        else:
            X = self._check_nd(X)
        return self._as_images(X, reset=reset)

    def _check_nd(self, X):
        return check_array(
            X, allow_nd=True, dtype="numeric", estimator=type(self).__name__, input_name="X"
        )

    def _as_images(self, X, *, reset):
        """Return rows as they are, and images with the channels first."""
        with np.errstate(over="ignore"):
            fits = is_lazy(X) or X.dtype != np.longdouble or np.isfinite(X.astype(np.float64)).all()
        if not fits:
            raise ValueError("X contains a value too large for dtype('float64').")
        if 0 in X.shape[1:]:
            raise ValueError(f"The images are empty: X has the shape {X.shape}.")
        images = X if is_lazy(X) else channels_first(X)
        shape = _image_shape(images)
        n_features = math.prod(images.shape[1:])
        if reset:
            self.n_features_in_, self.image_shape_ = n_features, shape
        elif (n_features, shape) != (self.n_features_in_, self.image_shape_):
            if shape == self.image_shape_:
                raise ValueError(
                    f"X has {n_features} features, but {type(self).__name__} was fitted on "
                    f"{self.n_features_in_}."
                )
            raise ValueError(
                f"X has images of shape {shape} (channels, height, width), but "
                f"{type(self).__name__} was fitted on images of shape {self.image_shape_}."
            )
        return images


def _is_prepared(X):
    """Tell whether this is a data set of ours, as skorch's callbacks hand it back."""
    while isinstance(X, Subset):
        X = X.dataset
    return isinstance(X, ImageDataset)


def _check_device(device):
    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is none that torch knows: {error}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch finds no CUDA device here.")


def _check_callback(item):
    callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
    if callback is None or isinstance(callback, Callback):
        return
    if not (isinstance(callback, type) and issubclass(callback, Callback)):
        raise ValueError(
            "callbacks must hold skorch callbacks, or pairs of a name and a callback, "
            f"got {item!r}."
        )


def _check_boundaries(base_lr, max_lr):
    if base_lr >= max_lr:
        raise ValueError(
            f"base_lr must be below max_lr, got base_lr={base_lr!r} and max_lr={max_lr!r}."
        )


def _read_metadata(data, name):
    """Return what `save_params` wrote into the header of a file of safetensors."""
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        return json.loads(header["__metadata__"][_METADATA])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{name} is no file of CLRLeNetClassifier.save_params(use_safetensors=True)."
        ) from None


def _in_turn(function, items):
    return [function(item) for item in items]


def _joined(answers):
    if len(answers) == 1:
        return answers[0]
    if isinstance(answers[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))
    return torch.cat(answers)


def _raised_by_callback(interrupt):
    """Tell a callback's wish to end training, for which skorch has this exception, from Ctrl-C."""
    if isinstance(interrupt, StopTraining):
        return True
    traceback = interrupt.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    statement = dis.opname[frame.f_code.co_code[traceback.tb_lasti]]
    return statement == "RAISE_VARARGS" and isinstance(frame.f_locals.get("self"), Callback)


def _is_lack_of_compiler(error):
    """Tell whether torch.compile found no C++ compiler, or one that cannot build for Python."""
    while error is not None:
        if type(error).__name__ in ("InvalidCxxCompiler", "CppCompileError"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _train_rows(epoch):
    return [row for row in epoch["batches"] if "train_loss" in row]


def _constant(rate, iteration):
    return rate


def _signature(factory):
    """Return the names of the parameters of a class or a function."""
    return inspect.signature(factory).parameters.keys()


def _drawn_seed():
    return int(torch.randint(2**31, ()))


def _encode(labels, classes, name):
    """Return the index of each label among the classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"{name} has labels that are not among the classes {classes.tolist()}: "
            f"{unknown.tolist()}."
        )
    return np.searchsorted(classes, labels)


def _n_dimensions(X):
    return X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim


def _image_shape(images):
    """Return channels, height and width; those of the next square for rows."""
    if images.ndim == 4:
        return images.shape[1:]
    side = math.isqrt(images.shape[1] - 1) + 1
    return (1, side, side)
