"""The classifier that runs trainings of images, each call of it whole or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from torch.utils.data import Dataset

from skclr._process import draw_seed
from skclr._training._checkpointed import Split
from skclr._training._checks import check_monitors, check_unfreezing
from skclr._training._data import LabelledImages
from skclr._training._fitted import FittedNet
from skclr._training._losses import check_weighable
from skclr._training._probe import check_takes_images
from skclr._training._state import Boundaries, PredictionState, Snapshot, TrainingState
from skclr.batches import (
    check_classes,
    check_labelled_images,
    check_sample_weight,
    encode,
    is_dataset,
    mean_one,
    sides_of,
    weights_of_classes,
)


class ImageClassifier(FittedNet):
    """Trains a network on images, and keeps what that needs in two values.

    What a prediction needs besides the network is a `PredictionState`, what a training goes on
    from a `TrainingState`. Subclasses bring the parameters and the schedule.
    """

    validation_fraction: float | None
    standardize: bool
    class_weight: Mapping | str | None

    def _settled_boundaries(self, train: Dataset, *, measure: bool) -> Boundaries:
        """Return the boundaries of the learning rate for a training on these data."""
        return Boundaries()

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
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Dataset | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
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
        sample_weight : array-like of shape (n,), default=None
            As how many images each of them counts: finite numbers of at least 0, of which only the
            ratios matter. One of 0 is left out of the training.
        X_val, y_val : array-like, default=None
            Validation data in the same form, for ``valid_loss`` and ``valid_acc``; instead of
            `validation_fraction`.
        sample_weight_val : array-like of shape (n_val,), default=None
            The weights of the validation data.

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

        The weight of a sample is its `sample_weight` times the `class_weight` of its label. The
        loss of a batch is the weighted mean of its samples' losses, the sum of weights times losses
        over the sum of weights, so that a rate means the same whatever the weights are. The
        ``train_loss`` of an epoch is the mean over its updates, as it is without weights;
        ``train_acc``, ``valid_loss`` and ``valid_acc`` are weighted means over all of its samples.
        The pixels that standardize are weighted as well.

        Samples of weight 0 are left out before anything is drawn or measured: the outcome has the
        bits of a call without them, as long as each class keeps a sample. Weights that are all
        alike give the bits of none. A whole number `k` is as good as `k` copies of a sample, up to
        rounding, where all samples fit in one batch and nothing is drawn for each of them, neither
        an augmentation nor held-out samples. With smaller batches that holds only roughly: the
        weights count within a batch, and copies make an epoch longer, which weights do not.
        """
        validation = X_val, y_val, sample_weight_val
        new = not (self.warm_start and self.initialized_)
        with self._whole_or_not_at_all(copied=self.warm_start), self._in_group():
            return self._train(X, y, sample_weight, validation, new=new)

    def partial_fit(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Dataset | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> ImageClassifier:
        """Train for `max_epochs` more epochs, from where the last call ended.

        Parameters
        ----------
        X, y : array-like
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur, where the first call's `y` does not have them all.
        sample_weight : array-like of shape (n,), default=None
            As in `fit`. A `class_weight` that is ``"balanced"`` goes by the samples of this call.
        X_val, y_val, sample_weight_val : array-like, default=None
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
        validation = X_val, y_val, sample_weight_val
        new = not self.initialized_
        with self._whole_or_not_at_all(copied=True), self._in_group():
            return self._train(X, y, sample_weight, validation, new=new, all_classes=classes)

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

    def _train(self, X, y, sample_weight, validation, *, new, all_classes=None):
        self.check_training_readiness()
        self._check_parameters()
        known = None if new else self._prediction
        given, shape = self._checked_data(X, y, sample_weight, all_classes, known)
        valid = self._checked_validation(validation, shape, given)
        state = known or self._state_before_training(given.classes, shape)
        new = new or (known is None and self._is_of_other_data(state))
        data = given.described() | {"classes": given.classes}
        if valid is not None:
            data |= valid.described("_val")
        n_calls = 1 if new else self._training.n_calls + 1
        with self._recorded(data, n_calls, new) as seed, self._own_generators(new=new, seed=seed):
            if new:
                self._training = TrainingState()
            indices, split = self._split(given, valid, new=new)
            if known is None:
                own = given.images, indices, mean_one(given.weights, indices)
                self._prediction = state.standardizing(*own) if self.standardize else state
            else:
                self._warn_of_other_pixels(given.images)
            if valid is not None:
                self._warn_of_other_pixels(valid.images)
            measure = new or self._training.boundaries.lr_range is None
            boundaries = self._settled_boundaries(split.train, measure=measure)
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
            check_monitors(self, validates=split.valid is not None)
            check_unfreezing(self)
            if given.weights is not None or (valid is not None and valid.weights is not None):
                check_weighable(self.criterion_)
            self._run(split)
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

    def _checked_data(self, X, y, sample_weight=None, all_classes=None, known=None):
        """Return images, labels and weights, and the form of the images."""
        name = type(self).__name__
        seen, classes = (None, None) if known is None else self._goes_on_with(known)
        images, labels, shape = check_labelled_images(X, y, seen, name)
        classes = check_classes(labels, all_classes, classes, name)
        targets = encode(labels, classes, "y")
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, len(targets))
        of_classes = weights_of_classes(self.class_weight, classes, targets, sample_weight)
        given = LabelledImages(images, targets, classes, sample_weight, of_classes)
        given.check_present("y", needs_two_classes=known is None and all_classes is None)
        return given, shape

    def _checked_validation(self, validation, shape, given):
        X_val, y_val, sample_weight_val = validation
        if X_val is None and y_val is None:
            if sample_weight_val is not None:
                raise ValueError("sample_weight_val goes with X_val and y_val, which are None.")
            return None
        if X_val is None or (y_val is None and not is_dataset(X_val)):
            raise ValueError("X_val and y_val go together, and one of them is None.")
        if self.validation_fraction is not None:
            raise ValueError("Give either X_val and y_val or a validation_fraction, not both.")
        images, labels, _ = check_labelled_images(X_val, y_val, shape, type(self).__name__)
        targets = encode(labels, given.classes, "y_val")
        if sample_weight_val is not None:
            sample_weight_val = check_sample_weight(
                sample_weight_val, len(targets), "sample_weight_val"
            )
        valid = LabelledImages(
            images, targets, given.classes, sample_weight_val, given.class_weight
        )
        valid.check_present("y_val", needs_two_classes=False)
        return valid

    def _split(self, given, valid, *, new):
        """Return the indices of the samples to train on, and training and validation data."""
        indices = given.present()
        if self.validation_fraction is None:
            held_out = None if valid is None else valid.part(valid.present())
            return indices, Split(given.part(indices), held_out)
        indices, held_out = self._split_indices(given.targets, indices, new=new)
        return indices, Split(given.part(indices), given.part(held_out))

    def _split_indices(self, targets, present, *, new):
        """Return the samples to train on and those to hold out, the same in each call."""
        seed = None if new else self._training.split_seed
        if seed is None:
            seed = draw_seed()
        self._training = replace(self._training, split_seed=seed)
        present = np.arange(len(targets)) if present is None else present
        return train_test_split(
            present,
            test_size=self.validation_fraction,
            stratify=targets[present],
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
