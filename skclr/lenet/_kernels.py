"""LeNet-5 with tanh and average pooling, compiled for the processor at hand by numba.

All of it works on blocks: 16 samples, each number of which lies beside that of the next sample. The
operations that a sample goes through do not depend on how many there are.

To import this file needs numba, and compiles nothing: the first call does, and keeps what it has
compiled on disk, beside this file or in the user's folder for caches.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.extending import register_jitable

from skclr.lenet import _layers, _vectors
from skclr.lenet._layers import (
    C1,
    C1_TO_S2,
    C3,
    C3_TO_S4,
    C5,
    F6,
    IMAGE,
    N_C5,
    N_F6,
    N_S2,
    N_S4,
    OUTPUT,
    S2,
    S4,
    TAPS,
)
from skclr.lenet._vectors import SAMPLES, by_vectors

FEATURES = N_S4 * S4 * S4
N_SEEN, N_SUMS = FEATURES + N_C5 + N_F6, N_C5 + N_F6  # by C5, F6 and output; of C5 and F6
_STRIP = C1_TO_S2.strip

_compute_c1, _compute_c3 = by_vectors(C1_TO_S2.compute), by_vectors(C3_TO_S4.compute)
_add_gradients_of_c1 = by_vectors(C1_TO_S2.add_gradients)
_add_gradients_of_c3 = by_vectors(C3_TO_S4.add_gradients)
_write_gradients_of_s2 = by_vectors(C3_TO_S4.write_gradients_of_maps)
_compute_c5, _compute_f6 = by_vectors(C5.compute_tanhs), by_vectors(F6.compute_tanhs)
_compute_output = by_vectors(OUTPUT.compute)
_write_gradients_of_f6 = by_vectors(OUTPUT.write_gradients_before_tanh)
_write_gradients_of_c5 = by_vectors(F6.write_gradients_before_tanh)
_write_gradients_of_s4 = by_vectors(C5.write_gradients)
_correlate_c5, _correlate_f6 = by_vectors(C5.correlate), by_vectors(F6.correlate)
_correlate_output = by_vectors(OUTPUT.correlate)


@cache
def _checksum() -> str:
    """Return what differs where the code of any of the compiled functions does."""
    files = (__file__, _layers.__file__, _vectors.__file__)
    return f"{zlib.crc32(b''.join(Path(file).read_bytes() for file in files)):08x}"


def _compiled(function: Callable) -> Any:
    """Return a function that is compiled at its first call, and runs without Python's lock.

    What is kept of it on disk goes by its name. By itself numba would look at the date of this file
    alone, and not at those of the files that it imports.
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


@_compiled
def _sum_rows(rows, totals):
    totals[:] = 0
    for i in range(len(rows)):
        for j in range(len(totals)):
            totals[j] += rows[i, j]


@register_jitable
def sizes_of_memory(channels: int, classes: int) -> tuple[int, int]:
    """Return how many numbers a block takes, and how many are needed beside all blocks.

    A block has the pixels, the tanhs and the means of C1, and the tanhs of C3, C5 and F6. Beside
    them are the means of C3, then the output, and gradients: of the sums of F6 and of C5, of the
    means of C1, of a strip of the sums of C1, of the sums of C3, and of all weights of both.
    """
    block = channels * IMAGE**2 + N_S2 * C1**2 + N_S2 * S2**2 + N_S4 * C3**2 + N_C5 + N_F6
    of_sums = N_F6 + N_C5 + N_S2 * _STRIP * C1 + N_S4 * C3**2
    of_weights = N_S2 * (channels * TAPS**2 + 1) + N_S4 * (N_S2 * TAPS**2 + 1)
    beside = FEATURES + classes + of_sums + N_S2 * S2**2 + of_weights
    return SAMPLES * block, SAMPLES * beside


@_compiled
def _block(memory, place, channels, classes):
    """Return the parts of a block."""
    size, beside = sizes_of_memory(channels, classes)
    pixels = memory[beside + place * size :][:size]
    tanhs1 = pixels[SAMPLES * channels * IMAGE**2 :]
    means1 = tanhs1[SAMPLES * N_S2 * C1**2 :]
    tanhs3 = means1[SAMPLES * N_S2 * S2**2 :]
    tanhs5 = tanhs3[SAMPLES * N_S4 * C3**2 :]
    tanhs6 = tanhs5[SAMPLES * N_C5 :]
    return pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6


@_compiled
def answer(images, weights, memory, n_blocks, seen, outputs):
    """Write the outputs of all images, and what the gradients are made of.

    Parameters
    ----------
    images : ndarray of float32 of shape (n, channels * 32 * 32)
    weights : tuple of ndarray of float32
        Weight and bias of C1, C3, C5, F6 and the output.
    memory : ndarray of float32
        What is needed beside all blocks, then the blocks, as `sizes_of_memory` tells.
    n_blocks : int
        As many blocks as the images take, or one that serves all of them where no gradients are
        wanted.
    seen : ndarray of float32 of shape (n, 604) or (0, 604)
        For what C5, F6 and the output see.
    outputs : ndarray of float32 of shape (n, classes)
    """
    weight1, bias1, weight3, bias3, weight5, bias5, weight6, bias6, weight, bias = weights
    channels, classes = images.shape[1] // IMAGE**2, len(bias)
    output = memory[SAMPLES * FEATURES :]
    for first in range(0, len(images), SAMPLES):
        block = _block(memory, first // SAMPLES % n_blocks, channels, classes)
        pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6 = block
        _interleave(images, first, pixels)
        _compute_c1((pixels, channels, weight1, bias1, tanhs1, means1))
        _compute_c3((means1, N_S2, weight3, bias3, tanhs3, memory))
        _compute_c5((memory, weight5, bias5, N_C5, tanhs5))
        _compute_f6((tanhs5, weight6, bias6, N_F6, tanhs6))
        _compute_output((tanhs6, weight, bias, classes, output))
        _separate(output, first, outputs)
        if len(seen):
            _separate(memory, first, seen[:, :FEATURES])
            _separate(tanhs5, first, seen[:, FEATURES:-N_F6])
            _separate(tanhs6, first, seen[:, -N_F6:])


@_compiled
def write_gradients(of_outputs, weights, channels, memory, of_sums, gradients):
    """Write the gradients of the sums of C5 and F6, and of the convolutions' weights.

    Parameters
    ----------
    of_outputs : ndarray of float32 of shape (n, classes)
        The gradients of what `answer` wrote.
    weights : tuple of ndarray of float32
        As `answer` had them.
    channels : int
    memory : ndarray of float32
        As `answer` left it.
    of_sums : ndarray of float32 of shape (n, 204)
    gradients : ndarray of float32 of shape (weights,)
        Of weight and bias of C1 and C3, summed over the samples. With an array of no numbers they
        are not computed.
    """
    weight1, _, weight3, _, weight5, _, weight6, _, weight, _ = weights
    classes = of_outputs.shape[1]
    of_output = memory[SAMPLES * FEATURES :]
    of_sums6 = of_output[SAMPLES * classes :]
    of_sums5 = of_sums6[SAMPLES * N_F6 :]
    of_means1 = of_sums5[SAMPLES * N_C5 :]
    of_sums1 = of_means1[SAMPLES * N_S2 * S2**2 :]
    of_sums3 = of_sums1[SAMPLES * N_S2 * _STRIP * C1 :]
    by_weights = of_sums3[SAMPLES * N_S4 * C3**2 :][: SAMPLES * len(gradients)]
    by_weights[:] = 0
    by_bias1 = by_weights[SAMPLES * weight1.size :]
    by_weight3 = by_bias1[SAMPLES * N_S2 :]
    by_bias3 = by_weight3[SAMPLES * weight3.size :]
    for first in range(0, len(of_outputs), SAMPLES):
        block = _block(memory, first // SAMPLES, channels, classes)
        pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6 = block
        _interleave(of_outputs, first, of_output)
        _write_gradients_of_f6((of_output, classes, weight, of_sums6, tanhs6))
        _write_gradients_of_c5((of_sums6, N_F6, weight6, of_sums5, tanhs5))
        _separate(of_sums5, first, of_sums[:, :N_C5])
        _separate(of_sums6, first, of_sums[:, N_C5:])
        if len(gradients):
            _write_gradients_of_s4((of_sums5, N_C5, weight5, memory))
            _add_gradients_of_c3((means1, N_S2, tanhs3, memory, of_sums3, by_weight3, by_bias3))
            _write_gradients_of_s2((of_sums3, N_S2, weight3, of_means1))
            _add_gradients_of_c1(
                (pixels, channels, tanhs1, of_means1, of_sums1, by_weights, by_bias1)
            )
    _sum_samples(by_weights, gradients)


@_compiled
def finish_gradients(of_parts, of_sums, of_outputs, seen, of_weights):
    """Write the gradients of all weights.

    Parameters
    ----------
    of_parts : ndarray of float32 of shape (parts, weights)
        As `write_gradients` wrote them for each part of the batch.
    of_sums, of_outputs, seen : ndarray of float32 of shape (n, 204), (n, classes) and (n, 604)
        As `write_gradients` wrote and had them, and as `answer` left it.
    of_weights : tuple of ndarray of float32
        Of weight and bias of C1, C3, C5, F6 and the output. With no numbers of parts the first four
        are left as they are.
    """
    of_weight1, of_bias1, of_weight3, of_bias3 = of_weights[:4]
    of_weight5, of_bias5, of_weight6, of_bias6, of_weight, of_bias = of_weights[4:]
    if of_parts.shape[1]:
        for part in range(1, len(of_parts)):
            of_parts[0] += of_parts[part]
        totals = of_parts[0]
        for outcome in (of_weight1.reshape(-1), of_bias1, of_weight3.reshape(-1), of_bias3):
            outcome[:] = totals[: len(outcome)]
            totals = totals[len(outcome) :]
    n, classes = of_outputs.shape
    row, of_row = seen.shape[1], of_sums.shape[1]
    flat, of_flat = seen.reshape(-1), of_sums.reshape(-1)
    seen6, seen_last, of_sums6 = flat[FEATURES:], flat[FEATURES + N_C5 :], of_flat[N_C5:]
    _correlate_c5((of_flat, of_row, N_C5, flat, row, n, of_weight5))
    _correlate_f6((of_sums6, of_row, N_F6, seen6, row, n, of_weight6))
    _correlate_output((of_outputs, classes, classes, seen_last, row, n, of_weight))
    _sum_rows(of_sums[:, :N_C5], of_bias5)
    _sum_rows(of_sums[:, N_C5:], of_bias6)
    _sum_rows(of_outputs, of_bias)
