"""The net that is scored on images whose labels stand beside them or come with them."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch.utils.data import Dataset

from skclr._training._checkpointed import CheckpointedNet
from skclr.batches import labels_beside


class ScoredNet(CheckpointedNet):
    """A net whose accuracy is measured on arrays and on data sets."""

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
            What each image counts.

        Returns
        -------
        accuracy : float
            From 0 to 1.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If the images are not valid, or there are no labels.

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
        return super().score(X, labels_beside(X, y), sample_weight)
