"""The convolutions of LeNet-5 with tanh and pooling, compiled for the processor at hand by numba.

All of it works on blocks: 16 samples, each number of which lies beside that of the next sample, so
that maps are arrays of shape (maps, height, width * 16). The operations that a sample goes through
do not depend on how many there are.

To import this file needs numba, and compiles nothing: the first call does, and keeps what it has
compiled on disk, beside this file or in the user's folder for caches.
"""

from __future__ import annotations

import contextlib
import inspect
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numba

from skclr.lenet import _layers, _vectors
from skclr.lenet._layers import C1, C3, FIRST, IMAGE, N_S2, N_S4, S2, S4, SECOND, TAPS
from skclr.lenet._vectors import SAMPLES, by_vectors

FEATURES = N_S4 * S4 * S4

_compute_c1, _compute_c3 = by_vectors(FIRST.compute), by_vectors(SECOND.compute)
_add_gradients_of_c1 = by_vectors(FIRST.add_gradients)
_add_gradients_of_c3 = by_vectors(SECOND.add_gradients)
_write_gradients_of_s2 = by_vectors(SECOND.write_gradients_of_maps)


@cache
def _checksum() -> str:
    """Return what differs where the instructions do that become part of compiled functions."""
    sources = inspect.getsource(_layers) + inspect.getsource(_vectors)
    return f"{zlib.crc32(sources.encode()):08x}"


def _compiled(function: Callable) -> Any:
    """Return a function that is compiled at its first call, and runs without Python's lock.

    What is kept of it on disk goes by its name, and serves until this file changes.
    """
    compiled = numba.njit(function, nogil=True, error_model="numpy")
    with contextlib.suppress(RuntimeError, OSError):  # no folder to write to, or no source:
        function.__qualname__ += f"_{_checksum()}"  # each process compiles
        compiled.enable_caching()
    return compiled


@_compiled
def _interleave(samples, first, block):
    """Write a number of samples side by side into a block, with zeros where there are no more."""
    n = min(SAMPLES, len(samples) - first)
    if n < SAMPLES:
        block[:] = 0
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
def _sum_samples(gradients, totals):
    """Write the sum of the gradients of 16 samples each."""
    for j in range(len(totals)):
        totals[j] = gradients[j * SAMPLES]
        for sample in range(1, SAMPLES):
            totals[j] += gradients[j * SAMPLES + sample]


@_compiled
def features_of(images, weight1, bias1, weight2, bias2, blocks, scratch, features):
    """Write the means of S4 of all images, and in `blocks` what their gradients are made of.

    Parameters
    ----------
    images : ndarray of float32 of shape (n, channels * 32 * 32)
    weight1 : ndarray of float32 of shape (6, channels * 5 * 5)
    bias1 : ndarray of float32 of shape (6,)
    weight2 : ndarray of float32 of shape (16, 6 * 5 * 5)
    bias2 : ndarray of float32 of shape (16,)
    blocks : tuple of ndarray
        As `shapes_of_block` tells, each with as many blocks as the images take, or with one that
        serves all of them where no gradients are wanted.
    scratch : tuple of ndarray
        As `shapes_of_scratch` tells.
    features : ndarray of float32 of shape (n, 400)
    """
    pixels, tanhs1, means1, tanhs2 = blocks
    means2, channels = scratch[0], pixels.shape[1]
    for first in range(0, len(images), SAMPLES):
        b = first // SAMPLES % len(pixels)
        _interleave(images, first, pixels[b].reshape(-1))
        _compute_c1((pixels[b], channels, weight1, bias1, tanhs1[b], means1[b]))
        _compute_c3((means1[b], N_S2, weight2, bias2, tanhs2[b], means2))
        _separate(means2.reshape(-1), first, features)


@_compiled
def write_gradients(
    of_features, weight2, blocks, scratch, of_weight1, of_bias1, of_weight2, of_bias2
):
    """Write the gradients of both convolutions' weights, summed over the samples.

    Parameters
    ----------
    of_features : ndarray of float32 of shape (n, 400)
        The gradients of what `features_of` wrote.
    weight2 : ndarray of float32 of shape (16, 6 * 5 * 5)
    blocks, scratch : tuple of ndarray
        As `features_of` left them.
    of_weight1, of_bias1, of_weight2, of_bias2 : ndarray of float32
        In the shapes of the weights there.
    """
    pixels, tanhs1, means1, tanhs2 = blocks
    of_means2, of_means1, of_sums1, of_sums2, by_weight1, by_bias1, by_weight2, by_bias2 = scratch
    channels = pixels.shape[1]
    by_weight1[:] = 0
    by_bias1[:] = 0
    by_weight2[:] = 0
    by_bias2[:] = 0
    for first in range(0, len(of_features), SAMPLES):
        b = first // SAMPLES
        _interleave(of_features, first, of_means2.reshape(-1))
        _add_gradients_of_c3(
            (means1[b], N_S2, tanhs2[b], of_means2, of_sums2, by_weight2, by_bias2)
        )
        _write_gradients_of_s2((of_sums2, N_S2, weight2, of_means1))
        _add_gradients_of_c1(
            (pixels[b], channels, tanhs1[b], of_means1, of_sums1, by_weight1, by_bias1)
        )
    _sum_samples(by_weight1.reshape(-1), of_weight1.reshape(-1))
    _sum_samples(by_bias1.reshape(-1), of_bias1)
    _sum_samples(by_weight2.reshape(-1), of_weight2.reshape(-1))
    _sum_samples(by_bias2.reshape(-1), of_bias2)


def shapes_of_block(channels: int) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes of a block's pixels, tanhs and means of C1, and tanhs of C3."""
    return (
        (channels, IMAGE, IMAGE * SAMPLES),
        (N_S2, C1, C1 * SAMPLES),
        (N_S2, S2, S2 * SAMPLES),
        (N_S4, C3, C3 * SAMPLES),
    )


def shapes_of_scratch(channels: int) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes of the means of C3 or their gradients, and of further gradients.

    Those are of the means of C1, of a strip of the sums of C1 and of C3, and of the weights and
    biases of both layers, each of 16 samples.
    """
    return (
        (N_S4, S4, S4 * SAMPLES),
        (N_S2, S2, S2 * SAMPLES),
        (N_S2, FIRST.strip, C1 * SAMPLES),
        (N_S4, SECOND.strip, C3 * SAMPLES),
        (N_S2, channels * TAPS**2, SAMPLES),
        (N_S2, 1, SAMPLES),
        (N_S4, N_S2 * TAPS**2, SAMPLES),
        (N_S4, 1, SAMPLES),
    )
