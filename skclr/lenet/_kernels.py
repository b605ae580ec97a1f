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
from numba.extending import register_jitable

from skclr.lenet import _layers, _vectors
from skclr.lenet._layers import C1, C3, FIRST, IMAGE, N_S2, N_S4, S2, S4, SECOND, TAPS
from skclr.lenet._vectors import SAMPLES, by_vectors

FEATURES = N_S4 * S4 * S4
_STRIP = FIRST.strip

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
        block[: samples.shape[1] * SAMPLES] = 0
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


@register_jitable
def sizes_of_memory(channels: int) -> tuple[int, int]:
    """Return how many numbers a block takes, and how many are needed beside all blocks.

    A block has the pixels, the tanhs and the means of C1, and the tanhs of C3. Beside them are the
    means of C3, or their gradients, and the gradients of the means of C1, of a strip of the sums
    of C1, of the sums of C3, and of all weights.
    """
    block = channels * IMAGE**2 + N_S2 * C1**2 + N_S2 * S2**2 + N_S4 * C3**2
    of_sums = N_S2 * _STRIP * C1 + N_S4 * C3**2
    of_weights = N_S2 * (channels * TAPS**2 + 1) + N_S4 * (N_S2 * TAPS**2 + 1)
    return SAMPLES * block, SAMPLES * (FEATURES + N_S2 * S2**2 + of_sums + of_weights)


@_compiled
def _block(memory, place, channels):
    """Return the four parts of a block."""
    size, beside = sizes_of_memory(channels)
    block = memory[beside + place * size :][:size]
    pixels = SAMPLES * channels * IMAGE**2
    tanhs1 = pixels + SAMPLES * N_S2 * C1**2
    means1 = tanhs1 + SAMPLES * N_S2 * S2**2
    return block[:pixels], block[pixels:tanhs1], block[tanhs1:means1], block[means1:]


@_compiled
def features_of(images, weight1, bias1, weight2, bias2, memory, n_blocks, features):
    """Write the means of S4 of all images, and in `memory` what their gradients are made of.

    Parameters
    ----------
    images : ndarray of float32 of shape (n, channels * 32 * 32)
    weight1 : ndarray of float32 of shape (6, channels, 5, 5)
    bias1 : ndarray of float32 of shape (6,)
    weight2 : ndarray of float32 of shape (16, 6, 5, 5)
    bias2 : ndarray of float32 of shape (16,)
    memory : ndarray of float32
        What is needed beside all blocks, then the blocks, as `sizes_of_memory` tells.
    n_blocks : int
        As many blocks as the images take, or one that serves all of them where no gradients are
        wanted.
    features : ndarray of float32 of shape (n, 400)
    """
    channels = images.shape[1] // IMAGE**2
    for first in range(0, len(images), SAMPLES):
        pixels, tanhs1, means1, tanhs2 = _block(memory, first // SAMPLES % n_blocks, channels)
        _interleave(images, first, pixels)
        _compute_c1((pixels, channels, weight1, bias1, tanhs1, means1))
        _compute_c3((means1, N_S2, weight2, bias2, tanhs2, memory))
        _separate(memory, first, features)


@_compiled
def write_gradients(of_features, weight2, memory, gradients):
    """Write the gradients of both convolutions' weights, summed over the samples.

    Parameters
    ----------
    of_features : ndarray of float32 of shape (n, 400)
        The gradients of what `features_of` wrote.
    weight2 : ndarray of float32 of shape (16, 6, 5, 5)
    memory : ndarray of float32
        As `features_of` left it.
    gradients : ndarray of float32 of shape (weights,)
        Of the first weight, the second, the first bias and the second.
    """
    kernel1 = len(gradients) - weight2.size - N_S2 - N_S4
    channels = kernel1 // (N_S2 * TAPS**2)
    of_means1 = memory[SAMPLES * FEATURES :]
    of_sums1 = of_means1[SAMPLES * N_S2 * S2**2 :]
    of_sums2 = of_sums1[SAMPLES * N_S2 * _STRIP * C1 :]
    by_weights = of_sums2[SAMPLES * N_S4 * C3**2 :][: SAMPLES * len(gradients)]
    by_weights[:] = 0
    by_weight2 = by_weights[SAMPLES * kernel1 :]
    by_bias1 = by_weight2[SAMPLES * weight2.size :]
    by_bias2 = by_bias1[SAMPLES * N_S2 :]
    for first in range(0, len(of_features), SAMPLES):
        pixels, tanhs1, means1, tanhs2 = _block(memory, first // SAMPLES, channels)
        _interleave(of_features, first, memory)
        _add_gradients_of_c3((means1, N_S2, tanhs2, memory, of_sums2, by_weight2, by_bias2))
        _write_gradients_of_s2((of_sums2, N_S2, weight2, of_means1))
        _add_gradients_of_c1((pixels, channels, tanhs1, of_means1, of_sums1, by_weights, by_bias1))
    _sum_samples(by_weights, gradients)
