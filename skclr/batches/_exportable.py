"""The preparation of images in the operations that programs without torch have."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from skclr.batches._preparation import ImagePreparation, sides_of

_NOT_FOR_FLOAT32 = (  # what the classifier prepares in float64
    torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64, torch.float64,
)  # fmt: skip


class ExportablePreparation(ImagePreparation):
    """Prepare images as an `ImagePreparation` does, traced by ``torch.export``.

    Images come in the shape in which users have them. Frames are padded instead of filled, and a
    resizing is two matrix products: few runtimes resize with antialiasing, and none do in float64.

    Parameters
    ----------
    preparation : ImagePreparation
        Which is done.
    sample_shape : tuple of int
        Of one image or row, as it comes in.
    """

    def __init__(self, preparation: ImagePreparation, sample_shape: tuple[int, ...]):
        super().__init__(preparation.image_shape, size=preparation.size)
        self.mean, self.std = preparation.mean, preparation.std
        self._has_channels_last = len(sample_shape) == 3 and sample_shape != self.image_shape
        _, height, width = self.image_shape
        tall, wide = sides_of(self.size)
        if height > tall or width > wide:
            rows, columns = self._shrunk_shape(height, width)
            self._rows, self._columns = _resizing(height, rows), _resizing(width, columns).T

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images as float32 of shape (n, channels, height, width) of `size`."""
        images = images.to(torch.float64 if images.dtype in _NOT_FOR_FLOAT32 else torch.float32)
        if images.ndim == 3:
            images = images.unsqueeze(1)
        if self._has_channels_last:
            images = images.movedim(3, 1)
        return super().__call__(images)

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        return self._rows.to(images.dtype) @ images @ self._columns.to(images.dtype)

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        tall, wide = sides_of(self.size)
        top, left = (tall - height) // 2, (wide - width) // 2
        frame = (left, wide - width - left, top, tall - height - top)
        return F.pad(images.to(self._exact_dtype(images)), frame)


def _resizing(n: int, n_new: int) -> torch.Tensor:
    """Return the matrix of shape (n_new, n) that resizes a column of pixels."""
    pixels = torch.eye(n, dtype=torch.float64, device="cpu")[None, None]
    return F.interpolate(pixels, size=[n_new, n], mode="bilinear", antialias=True)[0, 0]
