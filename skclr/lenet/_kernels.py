"""The convolutions of LeNet-5 with tanh and pooling, compiled for the processor at hand by numba.

All of it works on blocks: 16 samples, each number of which lies beside that of the next sample, so
that maps are arrays of shape (maps, height, width * 16). A kernel then moves along a row by
multiples of 16, every loop runs over contiguous numbers, and the operations that a sample goes
through do not depend on how many there are. Sums take up ten products at a time, from two rows:
more would not fit in the registers of AVX2, fewer would read and write the sums more often.

To import this file needs numba, and compiles nothing: the first call does, and keeps what it has
compiled on disk, beside this file or in the user's folder for caches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

SAMPLES = 16  # of a block: two vectors of AVX2, one of AVX-512
TAPS = 5  # rows and columns of the kernels
IMAGE, C1, S2, C3, S4 = 32, 28, 14, 10, 5  # height and width of the image and of the maps
N_S2, N_S4 = 6, 16  # how many maps there are
FEATURES = N_S4 * S4 * S4

_FRAME = TAPS - 1
_ZERO, _QUARTER, _ONE = np.float32(0), np.float32(0.25), np.float32(1)

# tanh(x) / x is a quotient of polynomials in the square of x: Lambert's continued fraction
# 1 / (1 + x² / (3 + x² / (5 + ...))) to its 13th term. At the limit tanh is 3e-7 below 1, and is
# taken to stay so beyond.
_LIMIT = np.float32(7.9)
_COEFFICIENTS = (
    (7905853580625, 1159525191825, 41247931725, 523783260, 2552550, 4095, 1),
    (7905853580625, 3794809718700, 252070693875, 5237832600, 41351310, 120120, 91),
)
_N0, _N1, _N2, _N3, _N4, _N5, _N6 = (np.float32(c / 7905853580625) for c in _COEFFICIENTS[0])
_D0, _D1, _D2, _D3, _D4, _D5, _D6 = (np.float32(c / 7905853580625) for c in _COEFFICIENTS[1])


def _compiled(function: Callable) -> Any:
    """Return a function that is compiled when it is called first, and runs without Python's lock.

    Sums may be reordered, so that they are made by vectors. That a number is not finite is seen
    all the same: nothing may be assumed about those.
    """
    settings = {"reassoc", "contract", "nsz"}
    compiled = numba.njit(function, nogil=True, error_model="numpy", fastmath=settings)
    if hasattr(compiled, "enable_caching"):  # it has not where NUMBA_DISABLE_JIT is set
        with contextlib.suppress(RuntimeError):  # no folder to write to: each process compiles
            compiled.enable_caching()
    return compiled


@_compiled
def _add_ten(sums, row, other, w, m, i, n, k):
    """Add to each sum the products with five numbers of a row, and with five of another."""
    w0, w1, w2, w3, w4 = w[m, i, 0], w[m, i, 1], w[m, i, 2], w[m, i, 3], w[m, i, 4]
    v0, v1, v2, v3, v4 = w[n, k, 0], w[n, k, 1], w[n, k, 2], w[n, k, 3], w[n, k, 4]
    for j in range(len(sums)):
        sums[j] += (
            (w0 * row[j] + w1 * row[j + SAMPLES] + w2 * row[j + 2 * SAMPLES])
            + (w3 * row[j + 3 * SAMPLES] + w4 * row[j + 4 * SAMPLES])
            + (v0 * other[j] + v1 * other[j + SAMPLES] + v2 * other[j + 2 * SAMPLES])
            + (v3 * other[j + 3 * SAMPLES] + v4 * other[j + 4 * SAMPLES])
        )


@_compiled
def _add_five(sums, row, weight):
    """Add to each sum the products with five numbers of a row."""
    w0, w1, w2, w3, w4 = weight[0], weight[1], weight[2], weight[3], weight[4]
    for j in range(len(sums)):
        sums[j] += (w0 * row[j] + w1 * row[j + SAMPLES] + w2 * row[j + 2 * SAMPLES]) + (
            w3 * row[j + 3 * SAMPLES] + w4 * row[j + 4 * SAMPLES]
        )


@_compiled
def _correlate(gradients, m, i, upstream, of_others, row):
    """Add to five gradients of one kernel, and to five of another, what a row gives them."""
    a0, a1, a2, a3, a4 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    b0, b1, b2, b3, b4 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    for j in range(len(upstream)):
        g, h = upstream[j], of_others[j]
        r0, r1, r2 = row[j], row[j + SAMPLES], row[j + 2 * SAMPLES]
        r3, r4 = row[j + 3 * SAMPLES], row[j + 4 * SAMPLES]
        a0, a1, a2, a3, a4 = a0 + g * r0, a1 + g * r1, a2 + g * r2, a3 + g * r3, a4 + g * r4
        b0, b1, b2, b3, b4 = b0 + h * r0, b1 + h * r1, b2 + h * r2, b3 + h * r3, b4 + h * r4
    gradients[m, i, 0] += a0
    gradients[m, i, 1] += a1
    gradients[m, i, 2] += a2
    gradients[m, i, 3] += a3
    gradients[m, i, 4] += a4
    gradients[m + 1, i, 0] += b0
    gradients[m + 1, i, 1] += b1
    gradients[m + 1, i, 2] += b2
    gradients[m + 1, i, 3] += b3
    gradients[m + 1, i, 4] += b4


@_compiled
def _tanh(row):
    """Replace the numbers of a row by their tanh."""
    for j in range(len(row)):
        x = row[j]
        x = -_LIMIT if x < -_LIMIT else x  # what is not a number stays so
        x = _LIMIT if x > _LIMIT else x
        s = x * x
        above = _N0 + s * (_N1 + s * (_N2 + s * (_N3 + s * (_N4 + s * (_N5 + s * _N6)))))
        below = _D0 + s * (_D1 + s * (_D2 + s * (_D3 + s * (_D4 + s * (_D5 + s * _D6)))))
        row[j] = x * above / below


@_compiled
def _mean(means, upper, lower):
    """Write the means of four numbers each in two rows."""
    for x in range(len(means) // SAMPLES):
        for sample in range(SAMPLES):
            j = 2 * x * SAMPLES + sample
            k = j + SAMPLES
            means[x * SAMPLES + sample] = _QUARTER * ((upper[j] + upper[k]) + (lower[j] + lower[k]))


@_compiled
def _before_mean_and_tanh(gradients, of_means, tanhs):
    """Write the gradients of the sums in a row from those of the means, and return their sum."""
    total = _ZERO
    for x in range(len(tanhs) // (2 * SAMPLES)):
        for sample in range(SAMPLES):
            g = _QUARTER * of_means[x * SAMPLES + sample]
            j = 2 * x * SAMPLES + sample
            k = j + SAMPLES
            gradients[j] = g * (_ONE - tanhs[j] * tanhs[j])
            gradients[k] = g * (_ONE - tanhs[k] * tanhs[k])
            total += gradients[j] + gradients[k]
    return total


@_compiled
def _layer(maps, weight, bias, tanhs, means):
    """Compute a convolution's tanh and their means; `weight` has the rows of all kernels."""
    n_rows = weight.shape[1]
    for m in range(len(means)):
        for y in range(tanhs.shape[1]):
            sums = tanhs[m, y]
            sums[:] = bias[m]
            for i in range(0, n_rows - 1, 2):
                k = i + 1
                row, other = maps[i // TAPS, y + i % TAPS], maps[k // TAPS, y + k % TAPS]
                _add_ten(sums, row, other, weight, m, i, m, k)
            if n_rows % 2:
                _add_five(sums, maps[-1, y + _FRAME], weight[m, n_rows - 1])
            _tanh(sums)
            if y % 2:
                _mean(means[m, y // 2], tanhs[m, y - 1], sums)


@_compiled
def _gradients_of_layer(maps, tanhs, of_means, framed, of_weight, of_bias):
    """Add the gradients of a convolution's weights to the given ones.

    `framed` gets those of its sums, all of them or of two maps at a time, in a row's middle.
    """
    first, last = (framed.shape[2] - tanhs.shape[2]) // 2, (framed.shape[2] + tanhs.shape[2]) // 2
    for m in range(0, len(tanhs), 2):
        for y in range(tanhs.shape[1]):
            z = y % framed.shape[1]
            a, b = (
                framed[m % len(framed), z, first:last],
                framed[(m + 1) % len(framed), z, first:last],
            )
            of_bias[m] += _before_mean_and_tanh(a, of_means[m, y // 2], tanhs[m, y])
            of_bias[m + 1] += _before_mean_and_tanh(b, of_means[m + 1, y // 2], tanhs[m + 1, y])
            for i in range(of_weight.shape[1]):
                row = maps[i // TAPS, y + i % TAPS]
                _correlate(of_weight, m, i, a, b, row)


@_compiled
def _gradients_of_maps(framed, turned, of_maps):
    """Write the gradients of the maps that a convolution saw; `turned` has its kernels turned."""
    for c in range(len(of_maps)):
        for y in range(of_maps.shape[1]):
            sums = of_maps[c, y]
            sums[:] = _ZERO
            for k in range(TAPS):
                z = y - _FRAME + k
                if 0 <= z < framed.shape[1]:
                    i = c * TAPS + k
                    for m in range(0, len(framed), 2):
                        _add_ten(sums, framed[m, z], framed[m + 1, z], turned, m, i, m + 1, i)


@_compiled
def _interleave(samples, first, block):
    """Write a number of samples side by side into a block, with zeros where there are no more."""
    n = min(SAMPLES, len(samples) - first)
    if n < SAMPLES:
        block[:] = _ZERO
    for j in range(samples.shape[1]):
        for sample in range(n):
            block[j * SAMPLES + sample] = samples[first + sample, j]


@_compiled
def _separate(block, first, samples):
    """Write the samples of a block one after the other."""
    for sample in range(min(SAMPLES, len(samples) - first)):
        for j in range(samples.shape[1]):
            samples[first + sample, j] = block[j * SAMPLES + sample]


@_compiled
def features_of(images, weight1, bias1, weight2, bias2, blocks, scratch, features):
    """Write the means of S4 of all images, and in `blocks` what their gradients are made of.

    Parameters
    ----------
    images : ndarray of float32 of shape (n, channels * 32 * 32)
    weight1 : ndarray of float32 of shape (6, channels * 5, 5)
    bias1 : ndarray of float32 of shape (6,)
    weight2 : ndarray of float32 of shape (16, 6 * 5, 5)
    bias2 : ndarray of float32 of shape (16,)
    blocks : tuple of ndarray
        As `shapes_of_block` tells, each with as many blocks as the images take, or with one that
        serves all of them where no gradients are wanted.
    scratch : tuple of ndarray
        As `shapes_of_scratch` tells, the third in zeros before its first use.
    features : ndarray of float32 of shape (n, 400)
    """
    pixels, tanhs1, means1, tanhs2 = blocks
    means2 = scratch[0]
    for first in range(0, len(images), SAMPLES):
        b = first // SAMPLES % len(pixels)
        _interleave(images, first, pixels[b].reshape(-1))
        _layer(pixels[b], weight1, bias1, tanhs1[b], means1[b])
        _layer(means1[b], weight2, bias2, tanhs2[b], means2)
        _separate(means2.reshape(-1), first, features)


@_compiled
def add_gradients(
    of_features, turned2, blocks, scratch, of_weight1, of_bias1, of_weight2, of_bias2
):
    """Add the gradients of both convolutions' weights, block by block, to the given ones.

    Parameters
    ----------
    of_features : ndarray of float32 of shape (n, 400)
        The gradients of what `features_of` wrote.
    turned2 : ndarray of float32 of shape (16, 6 * 5, 5)
        The kernels of the second convolution, each upside down and back to front.
    blocks, scratch : tuple of ndarray
        As `features_of` left them.
    of_weight1, of_bias1, of_weight2, of_bias2 : ndarray of float32
        In the shapes of the weights there.
    """
    pixels, tanhs1, means1, tanhs2 = blocks
    of_means2, of_means1, framed, rows = scratch
    for first in range(0, len(of_features), SAMPLES):
        b = first // SAMPLES
        _interleave(of_features, first, of_means2.reshape(-1))
        _gradients_of_layer(means1[b], tanhs2[b], of_means2, framed, of_weight2, of_bias2)
        _gradients_of_maps(framed, turned2, of_means1)
        _gradients_of_layer(pixels[b], tanhs1[b], of_means1, rows, of_weight1, of_bias1)


def shapes_of_block(channels: int) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes of a block's pixels, tanhs and means of C1, and tanhs of C3."""
    return (
        (channels, IMAGE, IMAGE * SAMPLES),
        (N_S2, C1, C1 * SAMPLES),
        (N_S2, S2, S2 * SAMPLES),
        (N_S4, C3, C3 * SAMPLES),
    )


def shapes_of_scratch() -> tuple[tuple[int, int, int], ...]:
    """Return the shapes of the means of C3 or their gradients, and of three more gradients.

    Those are of the means of C1, of the sums of C3 in a frame, and of two rows of the sums of C1.
    """
    return (
        (N_S4, S4, S4 * SAMPLES),
        (N_S2, S2, S2 * SAMPLES),
        (N_S4, C3, (C3 + 2 * _FRAME) * SAMPLES),
        (2, 1, C1 * SAMPLES),
    )
