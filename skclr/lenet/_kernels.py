"""LeNet-5 with tanh and average pooling, compiled for the processor at hand by numba.

All of it works on blocks: 16 samples, each number of which lies beside that of the next sample. The
operations that a sample goes through do not depend on how many there are.

To import this file needs numba, and compiles nothing: the first call does, and keeps what it has
compiled on disk, beside this file or in the user's folder for caches.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from skclr.lenet import _layers, _memory, _tasks, _vectors
from skclr.lenet._keeping import compiler_of
from skclr.lenet._layers import (
    C1_TO_S2,
    C3_TO_S4,
    C5,
    F6,
    IMAGE,
    N_C5,
    N_F6,
    N_S2,
    N_S4,
    OUTPUT,
    TAPS,
)  # fmt: skip
from skclr.lenet._memory import (
    ANSWER,
    CHANNELS,
    CLASSES,
    FEATURES,
    FINISH_GRADIENTS,
    FOR,
    FOR_ANSWERS,
    FOR_GRADIENTS,
    FOR_TRAINING,
    IMAGES,
    KIND,
    LOSS,
    N_FINISHING,
    N_SEEN,
    N_SUMS,
    N_TOTAL,
    ODD,
    OF_C5,
    OF_WEIGHTS,
    OUTPUTS,
    SIZE_OF_TASK,
    TARGETS,
    TRAIN,
    WEIGHTS,
    WRITE_GRADIENTS,
    N,
    beside_of,
    block_at,
    blocks_of,
    memory_of,
    n_convolved_of,
    n_parts_of,
    size_of_memory,
    wants_convolutions,
    weights_at,
)  # fmt: skip
from skclr.lenet._tasks import (
    DISMISSED,
    DONE,
    GONE,
    OPEN,
    SERVED,
    add,
    numbers_at,
    read,
    rest,
    take,
    whole_numbers_at,
    write,
)  # fmt: skip
from skclr.lenet._vectors import SAMPLES, by_vectors

__all__ = [
    "ANSWER", "DISMISSED", "FINISH_GRADIENTS", "FOR_ANSWERS", "FOR_GRADIENTS", "FOR_TRAINING",
    "GONE", "KIND", "N_FINISHING", "ODD", "SERVED", "SIZE_OF_TASK", "TRAIN", "WRITE_GRADIENTS",
    "n_parts_of", "size_of_memory", "work",
]  # fmt: skip

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


_compiled = compiler_of(
    __file__, _layers.__file__, _memory.__file__, _tasks.__file__, _vectors.__file__
)


@_compiled
def _interleave(samples, row, n, block, size):
    """Write numbers of `n` samples, rows of an array, side by side, with zeros for the others."""
    if n < SAMPLES:
        block[: size * SAMPLES] = 0
    for j in range(size):
        for sample in range(n):
            block[j * SAMPLES + sample] = samples[sample * row + j]


@_compiled
def _separate(block, size, n, samples, row):
    """Write numbers of `n` samples of a block into rows of an array."""
    for sample in range(n):
        for j in range(size):
            samples[sample * row + j] = block[j * SAMPLES + sample]


@_compiled
def _sum_samples(gradients, totals):
    """Write the sum of the gradients of 16 samples each."""
    for j in range(len(totals)):
        totals[j] = gradients[j * SAMPLES]
        for sample in range(1, SAMPLES):
            totals[j] += gradients[j * SAMPLES + sample]


@_compiled
def _sum_rows(rows, row, n, totals):
    totals[:] = 0
    for i in range(n):
        for j in range(len(totals)):
            totals[j] += rows[i * row + j]


@register_jitable
def _answer_block(block, channels, weights, means3, output):
    """Compute a block from its pixels to its output."""
    weight1, bias1, weight3, bias3, weight5, bias5, weight6, bias6, weight, bias = weights
    pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6 = block
    _compute_c1((pixels, channels, weight1, bias1, tanhs1, means1))
    _compute_c3((means1, N_S2, weight3, bias3, tanhs3, means3))
    _compute_c5((means3, weight5, bias5, N_C5, tanhs5))
    _compute_f6((tanhs5, weight6, bias6, N_F6, tanhs6))
    _compute_output((tanhs6, weight, bias, len(bias), output))


@register_jitable
def _note_seen(block, means3, n, seen):
    """Write what C5, F6 and the output see of the samples of a block."""
    _, _, _, _, tanhs5, tanhs6 = block
    _separate(means3, FEATURES, n, seen, N_SEEN)
    _separate(tanhs5, N_C5, n, seen[FEATURES:], N_SEEN)
    _separate(tanhs6, N_F6, n, seen[FEATURES + N_C5 :], N_SEEN)


@register_jitable
def _judge(output, classes, n, n_total, targets, losses):
    """Write the cross-entropy of each sample of a block, and its gradients in place of the output.

    Returns
    -------
    bool
        Whether each target is one of the classes.
    """
    are_classes, one = True, np.float32(1)
    for sample in range(SAMPLES):
        own = output[sample:]
        if sample >= n:
            for k in range(classes):
                own[k * SAMPLES] = 0
            continue
        target = targets[sample]
        if target < 0 or target >= classes:
            are_classes, target = False, 0
        most = own[0]
        for k in range(1, classes):
            most = max(most, own[k * SAMPLES])
        of_target, total = own[target * SAMPLES] - most, np.float32(0)
        for k in range(classes):
            power = math.exp(own[k * SAMPLES] - most)
            own[k * SAMPLES] = power
            total += power
        losses[sample] = math.log(total) - of_target
        for k in range(classes):
            own[k * SAMPLES] = own[k * SAMPLES] / total / n_total
        own[target * SAMPLES] -= one / n_total
    return are_classes


@register_jitable
def _add_gradients(block, channels, weights, beside, n, of_sums, with_convolutions):
    """Write the gradients of the sums of C5 and F6, and add those of the convolutions' weights."""
    weight1, _, weight3, _, weight5, _, weight6, _, weight, bias = weights
    pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6 = block
    of_means3, of_output, of_sums6, of_sums5, of_means1, of_sums1, of_sums3, by_weights = beside
    _write_gradients_of_f6((of_output, len(bias), weight, of_sums6, tanhs6))
    _write_gradients_of_c5((of_sums6, N_F6, weight6, of_sums5, tanhs5))
    _separate(of_sums5, N_C5, n, of_sums, N_SUMS)
    _separate(of_sums6, N_F6, n, of_sums[N_C5:], N_SUMS)
    if not with_convolutions:
        return
    by_bias1 = by_weights[SAMPLES * len(weight1) :]
    by_weight3 = by_bias1[SAMPLES * N_S2 :]
    by_bias3 = by_weight3[SAMPLES * len(weight3) :]
    _write_gradients_of_s4((of_sums5, N_C5, weight5, of_means3))
    _add_gradients_of_c3((means1, N_S2, tanhs3, of_means3, of_sums3, by_weight3, by_bias3))
    _write_gradients_of_s2((of_sums3, N_S2, weight3, of_means1))
    _add_gradients_of_c1((pixels, channels, tanhs1, of_means1, of_sums1, by_weights, by_bias1))


@_compiled
def _do_part(task, part):
    """Do with a part of the batch what is to be done before all parts are put together."""
    kind, purpose, n = task[KIND], task[FOR], task[N]
    channels, classes, n_total = task[CHANNELS], task[CLASSES], np.float32(task[N_TOTAL])
    blocks, seen, of_sums, of_parts, of_outputs, losses = memory_of(task)
    weights, beside = weights_at(task, WEIGHTS), beside_of(task, part)
    means3, output, by_weights = beside[0], beside[1], beside[-1]
    with_convolutions = wants_convolutions(task)
    if with_convolutions:
        by_weights[:] = 0
    size = channels * IMAGE**2
    images, outputs = numbers_at(task[IMAGES], n * size), numbers_at(task[OUTPUTS], n * classes)
    targets = whole_numbers_at(task[TARGETS], n)
    first_block, end = blocks_of(n, part)
    for place in range(first_block, end):
        first = place * SAMPLES
        n_here = min(SAMPLES, n - first)
        block = block_at(blocks, place if purpose == FOR_GRADIENTS else part, channels)
        if kind == WRITE_GRADIENTS:
            _interleave(of_outputs[first * classes :], classes, n_here, output, classes)
        else:
            _interleave(images[first * size :], size, n_here, block[0], size)
            _answer_block(block, channels, weights, means3, output)
            _separate(output, classes, n_here, outputs[first * classes :], classes)
        if kind != WRITE_GRADIENTS and purpose != FOR_ANSWERS:
            _note_seen(block, means3, n_here, seen[first * N_SEEN :])
        if kind == TRAIN:
            if not _judge(output, classes, n_here, n_total, targets[first:], losses[first:]):
                write(task, ODD, 1)
            _separate(output, classes, n_here, of_outputs[first * classes :], classes)
        if kind != ANSWER:
            own = of_sums[first * N_SUMS :]
            _add_gradients(block, channels, weights, beside, n_here, own, with_convolutions)
    if kind != ANSWER and with_convolutions:
        n_convolved = n_convolved_of(channels)
        _sum_samples(by_weights, of_parts[part * n_convolved :][:n_convolved])


@_compiled
def _finish_gradients(task, place):
    """Put all parts together: at place 0 for all layers but C5, else for some sums of C5."""
    n, channels, classes = task[N], task[CHANNELS], task[CLASSES]
    _, seen, of_sums, of_parts, of_outputs, losses = memory_of(task)
    of_weights = weights_at(task, OF_WEIGHTS)
    if place > 0:
        first = (place - 1) * OF_C5
        of_weight, of_bias = of_weights[4], of_weights[5]
        if len(of_weight):
            own = of_weight[first * FEATURES :]
            _correlate_c5((of_sums[first:], N_SUMS, OF_C5, seen, N_SEEN, n, own))
        if len(of_bias):
            _sum_rows(of_sums[first:], N_SUMS, n, of_bias[first : first + OF_C5])
        return
    if task[FOR] == FOR_TRAINING:
        total = 0.0
        for sample in range(n):
            total += losses[sample]
        numbers_at(task[LOSS], 1)[0] = total / task[N_TOTAL]
    if wants_convolutions(task):
        _add_up(of_parts, n_parts_of(n), n_convolved_of(channels))
        of_rest = of_parts
        _copy(of_rest, of_weights[0])
        of_rest = of_rest[N_S2 * channels * TAPS**2 :]
        _copy(of_rest, of_weights[1])
        of_rest = of_rest[N_S2:]
        _copy(of_rest, of_weights[2])
        _copy(of_rest[N_S4 * N_S2 * TAPS**2 :], of_weights[3])
    of_weight6, of_bias6, of_weight, of_bias = of_weights[6:]
    if len(of_weight6):
        own = seen[FEATURES:]
        _correlate_f6((of_sums[N_C5:], N_SUMS, N_F6, own, N_SEEN, n, of_weight6))
    if len(of_weight):
        own = seen[FEATURES + N_C5 :]
        _correlate_output((of_outputs, classes, classes, own, N_SEEN, n, of_weight))
    _sum_rows(of_sums[N_C5:], N_SUMS, n, of_bias6)
    _sum_rows(of_outputs, classes, n, of_bias)


@register_jitable
def _add_up(of_parts, n_parts, size):
    """Add those of the other parts to those of the first, in order."""
    for part in range(1, n_parts):
        for j in range(size):
            of_parts[j] += of_parts[part * size + j]


@register_jitable
def _copy(numbers, into):
    for j in range(len(into)):  # a slice would have numba compile an error of shapes for seconds
        into[j] = numbers[j]


@_compiled
def work(task, n_places, patience):
    """Do what a task says for each of its places, with whoever serves; or serve.

    Parameters
    ----------
    task : ndarray of int64 of shape (SIZE_OF_TASK,)
        Of one caller at a time, and of those who serve it. After what they count by it has: what is
        to be done, what for, the numbers of images, channels and classes, the number of
        images that the loss is a mean of, whether a target is no class, and addresses of numbers
        that lie one after the other: memory, as `size_of_memory` tells; images of shape
        (n, channels, 32, 32) and targets of int64; the outputs, their gradients of shape
        (n, classes) and the loss; weight and bias of C1, C3, C5, F6 and the output; and their
        gradients, 0 for those not asked for.
    n_places : int
        `N_FINISHING` to finish gradients; else one for each part of the batch. With 0 the caller
        serves: it takes places of this task, and of those that follow, until it is dismissed or
        nothing has come for a while.
    patience : int
        How often who serves looks for a place without finding one.
    """
    serves = n_places == 0
    if not serves:
        write(task, DONE, 0)
        write(task, OPEN, n_places)
    idle = 0
    while True:
        place = take(task, OPEN) - 1
        if place >= 0:
            if task[KIND] == FINISH_GRADIENTS:
                _finish_gradients(task, place)
            else:
                _do_part(task, place)
            idle = 0
            add(task, SERVED, 1 if serves else 0)
            add(task, DONE, 1)
        elif serves and idle < patience and read(task, DISMISSED) == 0:
            idle += 1
            rest()
        elif serves or read(task, DONE) == n_places:
            break
        else:
            rest()
    if serves:
        add(task, GONE, 1)
