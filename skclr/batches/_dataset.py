"""Images and class indices as a data set that gives whole batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import skorch.dataset
import torch

from skclr.batches._arrays import as_tensor

if TYPE_CHECKING:
    from skclr.batches._on_device import ImagesOnDevice


class ImageDataset(skorch.dataset.Dataset):
    """Images and class indices, to be indexed by whole batches.

    Parameters
    ----------
    images : ndarray of shape (n_samples, n_features) or (n_samples, channels, height, width)
        In any real dtype; a memory map stays on disk.
    targets : ndarray of int64 of shape (n_samples,) or None, default=None
        Class indices. None: zeros take their place in each batch.
    classes : ndarray of shape (n_classes,) or None, default=None
        The label of each index.
    weights : ndarray of shape (n_samples,) or None, default=None
        The weights of the samples, which then come third in each batch.

    Attributes
    ----------
    X, y : ndarray
        Images and labels, where skorch's scoring callbacks look for them.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.batches import ImageDataset
    >>> data = ImageDataset(np.zeros((5, 1, 28, 28), np.uint8), np.arange(5))
    >>> images, targets = data[np.array([4, 0])]
    >>> images.shape, targets.tolist()
    (torch.Size([2, 1, 28, 28]), [4, 0])
    """

    weights: np.ndarray | None = None  # pickles of before have none
    on_device: ImagesOnDevice | None = None  # a copy for the training under way

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray | None = None,
        classes: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ):
        self.images = images
        self.targets = targets
        self.classes = classes
        self.weights = weights

    @property
    def X(self) -> np.ndarray:
        """The images."""
        return self.images

    @property
    def y(self) -> np.ndarray | None:
        """The labels, or the class indices where no labels were given."""
        return self.targets if self.classes is None else self.classes[self.targets]

    def __len__(self) -> int:
        return len(self.images)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "on_device"}

    def __getitem__(self, index) -> tuple[Any, ...]:
        if isinstance(index, (int, np.integer)):
            return tuple(part[0] for part in self[np.array([index])])
        images = self.images[index]
        if self.targets is None:
            targets = torch.zeros(len(images), dtype=torch.int64, device="cpu")
        else:
            targets = as_tensor(self.targets[index])
        if self.weights is None:
            return as_tensor(images), targets
        return as_tensor(images), targets, as_tensor(self.weights[index])
