"""What a fitted classifier tells: predictions, their score, what it has seen, its history."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from skorch.utils import to_numpy
from torch.utils.data import Dataset

from skclr._history import batch_frame, epoch_frame
from skclr._process import isolated_generators, one_thread
from skclr._training._checkpointed import CheckpointedNet
from skclr.batches import ImageDataset, check_sample_weight, labels_beside, warn_of_other_pixels


class FittedNet(CheckpointedNet):
    """A net of images that answers with labels and their probabilities."""

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
        dataset = self._checked_images(X)
        with one_thread():
            return super().predict_proba(dataset)

    def predict_log_proba(self, X: ArrayLike | Dataset) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images of the shape seen by `fit`; the labels of a data set play no part.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
            In the order of `classes_`. Computed from the scores of the network, so that it is
            finite where a probability is too small for its dtype.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the images are not valid, or of another shape than those seen by `fit`.
        """
        self.check_is_fitted()
        nonlinearity = self._get_predict_nonlinearity()
        is_softmax = getattr(nonlinearity, "func", None) is torch.softmax
        if not is_softmax or type(self).predict_proba is not FittedNet.predict_proba:
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        dataset = self._checked_images(X)
        with one_thread():
            answers = self.forward_iter(dataset, training=False)
            scores = (answer[0] if isinstance(answer, tuple) else answer for answer in answers)
            return np.concatenate([to_numpy(torch.log_softmax(part, dim=-1)) for part in scores])

    def _checked_images(self, X):
        """Return images as a data set, and warn of pixels of another scale than in `fit`."""
        self.check_is_fitted()
        dataset = self.get_dataset(X)
        if isinstance(dataset, ImageDataset):
            self._warn_of_other_pixels(dataset.images)
        return dataset

    def _warn_of_other_pixels(self, images):
        mean, std = self.pixel_mean_, self.pixel_std_
        if mean is not None and std is not None:
            with isolated_generators(device=self.device):  # a data set may draw from them
                warn_of_other_pixels(images, mean, std)

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

    def score(
        self,
        X: ArrayLike | Dataset,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy, the part of the images whose label is predicted.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w), (n, channels, h, w) or \
                (n, h, w, channels), or torch Dataset
            Images of the shape seen by `fit`.
        y : array-like of shape (n,), default=None
            Labels. None: those of the data set.
        sample_weight : array-like of shape (n,), default=None
            As how many images each of them counts. A `class_weight` has no part in it.

        Returns
        -------
        accuracy : float
            From 0 to 1.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the images or their weights are not valid, or there are no labels.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> samples = list(zip(X.reshape(-1, 8, 8), y))
        >>> clf = CLRLeNetClassifier(max_epochs=2, random_state=0).fit(samples)
        >>> clf.score(samples) == clf.score(X, y)
        True
        """
        self.check_is_fitted()
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, None)
        return super().score(X, labels_beside(X, y), sample_weight)

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
            epoch, taken as training went on. With weights, see `fit`.

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
