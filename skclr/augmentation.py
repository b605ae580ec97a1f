"""Random shifts and flips of whole batches of images, a different draw for each image."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["RandomShiftFlip"]


@dataclass(frozen=True)
class RandomShiftFlip:
    r"""Shift each image by a random amount, and flip it or not.

    With :math:`u, v` uniform in :math:`[-1, 1)` and drawn for each image, the pixel at row
    :math:`i` and column :math:`j` of an :math:`h \times w` image :math:`x` becomes

    .. math::

        y_{ij} = x\left( \left[ i - u s h \right]_0^{h - 1},
                         \left[ j - v s w \right]_0^{w - 1} \right)

    where :math:`s` is `shift` and :math:`[\cdot]_0^m` clips to :math:`[0, m]`, so the pixels at the
    border fill what moved in from outside. Between pixels :math:`x` is interpolated. A flip, with
    probability 1/2, exchanges left and right before the shift.

    Parameters
    ----------
    shift : float, default=0.1
        The longest shift in each direction, as a fraction of the height and of the width; in
        [0, 1).
    flip : bool, default=True
        Whether half of the images are flipped, left to right.
    interpolation : {"bilinear", "nearest"}, default="bilinear"
        Shifts by fractions of a pixel that blend neighbouring pixels, or shifts rounded to whole
        pixels, which leave every value as it is.

    Raises
    ------
    ValueError
        If a parameter is out of its range; when called, if the batch has not four dimensions.
    TypeError
        When called, if the batch is not a tensor of floating dtype.

    Notes
    -----
    The same transformation, image by image, as Keras's
    ``ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True,
    fill_mode="nearest")``, which interpolates linearly too. A shift moves rows and columns
    independently and by the same amount in all of an image, so a batch takes one look-up and one
    blend along each axis.

    Two instances with the same parameters are equal. They hold no state: all randomness comes from
    the generator that they are called with.

    Examples
    --------
    >>> import torch
    >>> from skclr.augmentation import RandomShiftFlip
    >>> images = torch.arange(4.0).expand(3, 1, 4, 4)
    >>> augment = RandomShiftFlip(shift=0.25, interpolation="nearest")
    >>> augment
    RandomShiftFlip(shift=0.25, flip=True, interpolation='nearest')
    >>> augment(images, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1, 4, 4])
    """

    shift: float = 0.1
    flip: bool = True
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        if not (isinstance(self.shift, Real) and 0 <= self.shift < 1):
            raise ValueError(f"shift must be a number in [0, 1), got {self.shift!r}.")
        if self.flip not in (True, False):
            raise ValueError(f"flip must be True or False, got {self.flip!r}.")
        if self.interpolation not in ("bilinear", "nearest"):
            raise ValueError(
                f"interpolation must be 'bilinear' or 'nearest', got {self.interpolation!r}."
            )

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the batch with each image shifted, and flipped or not.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            Of a floating dtype; left as it is.
        generator : torch.Generator, default=None
            Source of the draws; torch's global generator when None. The number of draws depends on
            `n` alone.

        Returns
        -------
        Tensor of shape (n, channels, height, width)
            A new tensor of the same dtype, on the same device.

        Raises
        ------
        ValueError
            If `images` has not four dimensions.
        TypeError
            If `images` is not a tensor of floating dtype.
        """
        _check_batch(images)  # before anything is drawn
        drawn_on = images.device if generator is None else generator.device
        return self.moved(images, self.draw(len(images), generator, drawn_on).to(images.device))

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Return the draws of a batch, for `moved`.

        Parameters
        ----------
        n : int
            Images in the batch.
        generator : torch.Generator, default=None
            Source of the draws; torch's global generator when None.
        device : torch.device or str, default=None
            Where to draw, that of the generator; None is torch's default.

        Returns
        -------
        Tensor of float64 of shape (3, n)
            Uniform in [0, 1): what decides on the shift down, on that to the right, and on the
            flip.

        Examples
        --------
        >>> import torch
        >>> from skclr.augmentation import RandomShiftFlip
        >>> RandomShiftFlip().draw(2, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
        """
        return torch.rand(3, n, generator=generator, device=device, dtype=torch.float64)

    def moved(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Return the batch shifted and flipped by what has been drawn.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            Of a floating dtype; left as it is.
        drawn : Tensor of shape (3, n)
            What `draw` has returned, on the device of the images.

        Returns
        -------
        Tensor of shape (n, channels, height, width)
            A new tensor of the same dtype, on the same device.

        Raises
        ------
        ValueError
            If `images` is not of shape (n, channels, height, width).
        TypeError
            If `images` is not a tensor of floating dtype.

        Examples
        --------
        >>> import torch
        >>> from skclr.augmentation import RandomShiftFlip
        >>> images, augment = torch.rand(2, 1, 8, 8), RandomShiftFlip()
        >>> drawn = augment.draw(2, torch.Generator().manual_seed(0))
        >>> same = augment(images, generator=torch.Generator().manual_seed(0))
        >>> bool((augment.moved(images, drawn) == same).all())
        True
        """
        _check_batch(images)
        n, channels, height, width = images.shape
        down, right, coin = drawn
        down, right, flipped = 2 * down - 1, 2 * right - 1, (coin < 0.5) & bool(self.flip)
        down, right = down * self.shift * height, right * self.shift * width

        rows, row_weight = self._look_up(height, down)
        first_rows = torch.arange(n * channels, device=images.device).view(n, channels, 1) * height
        taken = (first_rows + rows[:, None]).view(-1)
        shifted = images.reshape(-1, width).index_select(0, taken)
        shifted = shifted.view(n, channels, rows.shape[1], width)
        if self.interpolation == "bilinear":
            weight = row_weight.to(images.dtype).view(n, 1, 1, 1)
            shifted = torch.lerp(shifted[:, :, :-1], shifted[:, :, 1:], weight)

        columns, column_weight = self._look_up(width, right)
        columns = torch.where(flipped[:, None], width - 1 - columns, columns)
        shifted = shifted.gather(3, columns[:, None, None].expand(-1, channels, height, -1))
        if self.interpolation == "bilinear":
            weight = column_weight.to(images.dtype).view(n, 1, 1, 1)
            shifted = torch.lerp(shifted[..., :-1], shifted[..., 1:], weight)
        return shifted

    def _look_up(self, size: int, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pixels to take along an axis, and the weight of each one's successor."""
        blend = self.interpolation == "bilinear"
        whole = (-shift).floor() if blend else (-shift).round()
        pixels = torch.arange(size + blend, device=shift.device) + whole.long()[:, None]
        return pixels.clamp_(0, size - 1), -shift - whole


def _check_batch(images: Any) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        given = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor of floating dtype, got {given}.")
    if images.ndim != 4:
        raise ValueError(
            f"images must have shape (n, channels, height, width), got {tuple(images.shape)}."
        )
