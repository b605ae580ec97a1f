"""The classifier that runs trainings of images, each call of it whole or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from torch.utils.data import Dataset, Subset

from skclr._history import batch_frame, epoch_frame
from skclr._process import draw_seed, one_thread
from skclr._training._checkpointed import Split
from skclr._training._probe import check_takes_images
from skclr._training._scoring import ScoredNet
from skclr._training._state import Boundaries, PredictionState, Snapshot, TrainingState
from skclr.batches import (
    ImageDataset,
    check_classes,
    check_labelled_images,
    encode,
    is_dataset,
    sides_of,
    warn_of_other_pixels,
)


class ImageClassifier(ScoredNet):
    """Trains a network on images, and keeps what that needs in two values.

    What a prediction needs besides the network is a `PredictionState`, what a training goes on
    from a `TrainingState`. Subclasses bring the parameters and the schedule.
    """

    validation_fraction: float | None
    standardize: bool

    def _settled_boundaries(self, train: Dataset, *, measure: bool) -> Boundaries:
        """Return the boundaries of the learning rate for a training on these data."""
        return Boundaries()

    @property
    def n_features_in_(self) -> int:
        """Values in a sample."""
        return self._fitted("n_features_in_").input_shape.n_features

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns, where X was a DataFrame with names that are strings."""
        names = self._fitted("feature_names_in_").input_shape.feature_names
        if names is None:
            raise AttributeError("X had no names of columns.")
        return names

    @property
    def image_shape_(self) -> tuple[int, int, int]:
        """Channels, height and width of the images seen by `fit`."""
        return self._fitted("image_shape_").input_shape.image_shape

    @property
    def pixel_mean_(self) -> np.ndarray | None:
        """The mean of the pixels of each channel; None with ``standardize=False``."""
        return self._fitted("pixel_mean_").pixel_mean

    @property
    def pixel_std_(self) -> np.ndarray | None:
        """The standard deviation of the pixels; None with ``standardize=False``."""
        return self._fitted("pixel_std_").pixel_std

    def initialize(self) -> ImageClassifier:
        """Build network, optimizer and callbacks anew, from weights that `random_state` determines.

        Returns
        -------
        self : CLRLeNetClassifier
            The classifier; it is fitted only if it was before.

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        self.check_training_readiness()
        self._check_parameters()
        with self._whole_or_not_at_all(copied=False), self._own_generators(new=True):
            super().initialize()
            built_with = {**self._training.parameters, "image_size": self.image_size}
            self._training = replace(self._training, weights_loaded=False, parameters=built_with)
        return self

    def fit(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Dataset | None = None,
        y_val: ArrayLike | None = None,
    ) -> ImageClassifier:
        """Train for `max_epochs` epochs, from new weights unless `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images. A memory map is read batch by batch, and so is a data set of the map style, such
            as torchvision's and Hugging Face's. Images of PIL, arrays and tensors may also come one
            by one, in a list, an array of objects or the one column of a DataFrame.
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

        Notes
        -----
        A call that fails leaves the classifier as it was before, fitted or not. One that is
        interrupted from the keyboard keeps what it has learned.
        """
        with self._whole_or_not_at_all(copied=self.warm_start):
            return self._train(X, y, X_val, y_val, new=not (self.warm_start and self.initialized_))

    def partial_fit(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Dataset | None = None,
        y_val: ArrayLike | None = None,
    ) -> ImageClassifier:
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

        Notes
        -----
        A call that fails leaves the classifier as it was before; see `fit`.
        """
        with self._whole_or_not_at_all(copied=True):
            return self._train(X, y, X_val, y_val, new=not self.initialized_, all_classes=classes)

    @contextmanager
    def _whole_or_not_at_all(self, *, copied: bool) -> Iterator[None]:
        """Put the net back as it was when a call fails; an interrupt keeps what was learned."""
        before = Snapshot(self, copied=copied and self.initialized_)
        try:
            yield
        except Exception:
            before.put_back()
            raise
        except BaseException:
            if not before.n_updates_since():
                before.put_back()
            raise

    def _train(self, X, y, X_val, y_val, *, new, all_classes=None):
        self.check_training_readiness()
        self._check_parameters()
        name, known = type(self).__name__, None if new else self._prediction
        seen, classes = (None, None) if known is None else self._goes_on_with(known)
        images, labels, shape = check_labelled_images(X, y, seen, name)
        classes = check_classes(labels, all_classes, classes, name)
        targets = encode(labels, classes, "y")
        valid = self._checked_validation(X_val, y_val, shape, classes)
        state = known or self._state_before_training(classes, shape)
        new = new or (known is None and self._is_of_other_data(state))
        data = {"X": images, "y": targets, "classes": classes}
        if valid is not None:
            data |= {"X_val": valid.images, "y_val": valid.targets}
        n_calls = 1 if new else self._training.n_calls + 1
        with self._recorded(data, n_calls, new) as seed, self._own_generators(new=new, seed=seed):
            if new:
                self._training = TrainingState()
            train: Dataset = ImageDataset(images, targets, classes)
            indices = None
            if self.validation_fraction is not None:
                indices, held_out = self._split_indices(targets, new=new)
                train, valid = Subset(train, indices), Subset(train, held_out)
            if known is None:
                self._prediction = (
                    state.standardizing(images, indices) if self.standardize else state
                )
            measure = new or self._training.boundaries.lr_range is None
            boundaries = self._settled_boundaries(train, measure=measure)
            self._training = replace(self._training, boundaries=boundaries)
            if new:
                self.initialize()
            else:
                self._apply_changes()
            self._training = replace(
                self._training,
                parameters=self._parameters_in_effect(),
                weights_loaded=False,
                n_calls=n_calls,
            )
            self._check_monitors(valid)
            self._run(Split(train, valid))
        return self

    def _goes_on_with(self, known):
        """Return the form of the images and the classes of a training that goes on."""
        if sides_of(self.image_size) != known.image_size:
            raise ValueError(
                f"image_size={self.image_size!r} takes effect with a new fit; this training goes "
                f"on with images of {known.image_size[0]} x {known.image_size[1]}."
            )
        return known.input_shape, known.classes

    def _state_before_training(self, classes, shape):
        """Return the state without statistics, or raise where the network takes no such images."""
        state = PredictionState(classes, shape, image_size=sides_of(self.image_size))
        check_takes_images(self, state)
        return state

    def _checked_validation(self, X_val, y_val, shape, classes):
        if X_val is None and y_val is None:
            return None
        if X_val is None or (y_val is None and not is_dataset(X_val)):
            raise ValueError("X_val and y_val go together, and one of them is None.")
        if self.validation_fraction is not None:
            raise ValueError("Give either X_val and y_val or a validation_fraction, not both.")
        images, labels, _ = check_labelled_images(X_val, y_val, shape, type(self).__name__)
        return ImageDataset(images, encode(labels, classes, "y_val"), classes)

    def _split_indices(self, targets, *, new):
        """Return the samples to train on and those to hold out, the same in each call."""
        seed = None if new else self._training.split_seed
        if seed is None:
            seed = draw_seed()
        self._training = replace(self._training, split_seed=seed)
        return train_test_split(
            np.arange(len(targets)),
            test_size=self.validation_fraction,
            stratify=targets,
            random_state=seed,
        )

    def _is_of_other_data(self, prediction):
        """Tell whether a network that was built before any data were seen has to be built anew."""
        built_with = self.get_params_for("module")
        if "module__image_size" not in self.get_params(deep=False):
            built_with["image_size"] = self._training.parameters.get("image_size", 32)
        known = inspect.signature(self.module).parameters
        needed = prediction.module_parameters()
        other = {
            name: value
            for name, value in needed.items()
            if name in known and built_with.get(name, known[name].default) != value
        }
        if other and self._training.weights_loaded:
            given = ", ".join(f"module__{name}={value}" for name, value in other.items())
            raise ValueError(
                f"The network whose weights were loaded is not one for these data, which take "
                f"{given}. Give that as a parameter before initialize()."
            )
        return bool(other)

    def predict_proba(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images of the shape seen by `fit`; the labels of a data set play no part.

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
        mean, std = self.pixel_mean_, self.pixel_std_
        if isinstance(dataset, ImageDataset) and mean is not None and std is not None:
            warn_of_other_pixels(dataset.images, mean, std)
        with one_thread():
            return super().predict_proba(dataset)

    def predict(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the most probable label.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images of the shape seen by `fit`; the labels of a data set play no part.

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
        return self.classes_[indices]

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
            return epoch_frame(self.history_)
        if level == "batch":
            return batch_frame(self.history_)
        raise ValueError(f"level must be 'epoch' or 'batch', got {level!r}.")
