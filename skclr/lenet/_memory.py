"""What a task of LeNet-5 tells, and where the numbers of a batch lie in its memory."""

from __future__ import annotations

from numba.extending import register_jitable

from skclr.lenet._layers import C1, C1_TO_S2, C3, IMAGE, N_C5, N_F6, N_S2, N_S4, S2, S4, TAPS
from skclr.lenet._tasks import TASK, numbers_at
from skclr.lenet._vectors import SAMPLES

FEATURES = N_S4 * S4 * S4
N_SEEN, N_SUMS = FEATURES + N_C5 + N_F6, N_C5 + N_F6  # by C5, F6 and output; of C5 and F6
_STRIP = C1_TO_S2.strip
_FEWEST_IN_HALVES, _FEWEST_IN_QUARTERS = 4, 8  # blocks, of which each part has two at least
OF_C5 = 24  # sums of C5, whose weights get their gradients at a time

# what there is to do
ANSWER, WRITE_GRADIENTS, TRAIN, FINISH_GRADIENTS = range(4)
N_FINISHING = 1 + N_C5 // OF_C5
# what the memory is for: outputs alone, outputs and later their gradients, or all of it at once
FOR_ANSWERS, FOR_GRADIENTS, FOR_TRAINING = range(3)
# where a task tells it: sizes, whether a target is no class, and addresses
KIND, FOR, N, CHANNELS, CLASSES, N_TOTAL, ODD = range(TASK, TASK + 7)
MEMORY, IMAGES, TARGETS, OF_OUTPUTS, OUTPUTS, LOSS, WEIGHTS = range(TASK + 7, TASK + 14)
OF_WEIGHTS = WEIGHTS + 10
SIZE_OF_TASK = OF_WEIGHTS + 10


@register_jitable
def n_parts_of(n: int) -> int:
    """Return in how many parts of whole blocks a batch falls, which its size alone tells."""
    n_blocks = (n + SAMPLES - 1) // SAMPLES
    return 1 if n_blocks < _FEWEST_IN_HALVES else 2 if n_blocks < _FEWEST_IN_QUARTERS else 4


@register_jitable
def blocks_of(n, part):
    """Return the first block of a part of a batch, and the end of them."""
    n_blocks, n_parts = (n + SAMPLES - 1) // SAMPLES, n_parts_of(n)
    return n_blocks * part // n_parts, n_blocks * (part + 1) // n_parts


@register_jitable
def n_convolved_of(channels):
    """Return how many weights and biases C1 and C3 have."""
    return N_S2 * (channels * TAPS**2 + 1) + N_S4 * (N_S2 * TAPS**2 + 1)


@register_jitable
def _size_of_block(channels):
    """Of the pixels, the tanhs and the means of C1, and the tanhs of C3, C5 and F6."""
    size = channels * IMAGE**2 + N_S2 * C1**2 + N_S2 * S2**2 + N_S4 * C3**2 + N_C5 + N_F6
    return SAMPLES * size


@register_jitable
def _size_beside(channels, classes):
    """Of what `beside_of` returns."""
    of_sums = N_F6 + N_C5 + N_S2 * _STRIP * C1 + N_S4 * C3**2
    size = FEATURES + classes + of_sums + N_S2 * S2**2 + n_convolved_of(channels)
    return SAMPLES * size


@register_jitable
def size_of_memory(purpose: int, n: int, channels: int, classes: int) -> int:
    """Return how many numbers of memory a batch takes.

    Of each part there is what it needs beside its blocks. Then come all blocks, or one for each
    part where it serves one after the other. With gradients there is also what C5, F6 and the
    output saw, the gradients of the sums of C5 and F6, and of each part those of the weights of C1
    and C3; in training the gradients of the outputs, and the losses.
    """
    n_parts = n_parts_of(n)
    n_blocks = (n + SAMPLES - 1) // SAMPLES if purpose == FOR_GRADIENTS else n_parts
    size = n_parts * _size_beside(channels, classes) + n_blocks * _size_of_block(channels)
    if purpose != FOR_ANSWERS:
        size += n * (N_SEEN + N_SUMS) + n_parts * n_convolved_of(channels)
    if purpose == FOR_TRAINING:
        size += n * (classes + 1)
    return size


@register_jitable
def memory_of(task):
    """Return blocks, what was seen, gradients of sums, by parts and of outputs, and losses."""
    purpose, n, channels, classes = task[FOR], task[N], task[CHANNELS], task[CLASSES]
    memory = numbers_at(task[MEMORY], size_of_memory(purpose, n, channels, classes))
    n_parts = n_parts_of(n)
    blocks = memory[n_parts * _size_beside(channels, classes) :]
    n_blocks = (n + SAMPLES - 1) // SAMPLES if purpose == FOR_GRADIENTS else n_parts
    seen = blocks[n_blocks * _size_of_block(channels) :]
    of_sums = seen[n * N_SEEN :]
    of_parts = of_sums[n * N_SUMS :]
    of_outputs = of_parts[n_parts * n_convolved_of(channels) :]
    losses = of_outputs[n * classes :]
    if purpose == FOR_GRADIENTS:
        of_outputs = numbers_at(task[OF_OUTPUTS], n * classes)
    return blocks, seen, of_sums, of_parts, of_outputs, losses


@register_jitable
def beside_of(task, part):
    """Return what a part of the batch needs beside its blocks.

    The means of C3, the output, then gradients: of the sums of F6 and of C5, of the means of C1, of
    a strip of the sums of C1, of the sums of C3, and of all weights of both, 16 samples each. Those
    of the means of C3 and of the output take the place of these.
    """
    n, channels, classes = task[N], task[CHANNELS], task[CLASSES]
    size = _size_beside(channels, classes)
    means3 = numbers_at(task[MEMORY], n_parts_of(n) * size)[part * size :][:size]
    output = means3[SAMPLES * FEATURES :]
    of_sums6 = output[SAMPLES * classes :]
    of_sums5 = of_sums6[SAMPLES * N_F6 :]
    of_means1 = of_sums5[SAMPLES * N_C5 :]
    of_sums1 = of_means1[SAMPLES * N_S2 * S2**2 :]
    of_sums3 = of_sums1[SAMPLES * N_S2 * _STRIP * C1 :]
    by_weights = of_sums3[SAMPLES * N_S4 * C3**2 :]
    return means3, output, of_sums6, of_sums5, of_means1, of_sums1, of_sums3, by_weights


@register_jitable
def block_at(blocks, place, channels):
    """Return pixels, tanhs and means of C1, and tanhs of C3, C5 and F6 of a block."""
    size = _size_of_block(channels)
    pixels = blocks[place * size :][:size]
    tanhs1 = pixels[SAMPLES * channels * IMAGE**2 :]
    means1 = tanhs1[SAMPLES * N_S2 * C1**2 :]
    tanhs3 = means1[SAMPLES * N_S2 * S2**2 :]
    tanhs5 = tanhs3[SAMPLES * N_S4 * C3**2 :]
    tanhs6 = tanhs5[SAMPLES * N_C5 :]
    return pixels, tanhs1, means1, tanhs3, tanhs5, tanhs6


@register_jitable
def weights_at(task, first):
    """Return weight and bias of each layer, or their gradients; of no size those not asked for."""
    channels, classes = task[CHANNELS], task[CLASSES]
    return (
        _array_at(task[first], N_S2 * channels * TAPS**2),
        _array_at(task[first + 1], N_S2),
        _array_at(task[first + 2], N_S4 * N_S2 * TAPS**2),
        _array_at(task[first + 3], N_S4),
        _array_at(task[first + 4], N_C5 * FEATURES),
        _array_at(task[first + 5], N_C5),
        _array_at(task[first + 6], N_F6 * N_C5),
        _array_at(task[first + 7], N_F6),
        _array_at(task[first + 8], classes * N_F6),
        _array_at(task[first + 9], classes),
    )


@register_jitable
def _array_at(address, n):
    return numbers_at(address, n if address else 0)


@register_jitable
def wants_convolutions(task):
    """Tell whether the gradient of a weight or bias of C1 or C3 is asked for."""
    return task[OF_WEIGHTS] + task[OF_WEIGHTS + 1] + task[OF_WEIGHTS + 2] + task[OF_WEIGHTS + 3] > 0
