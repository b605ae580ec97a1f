"""The layers of LeNet-5, written down as instructions on vectors of samples.

No compiler finds these by itself: the sums of a tile, some maps by some columns, stay in registers
while all their products are added, and each number that is read serves several of them. How large
a tile is depends on the processor: those here were the fastest of some that were tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skclr.lenet._vectors import Tile, Vectors

TAPS = 5  # rows and columns of the kernels
IMAGE, C1, S2, C3, S4 = 32, 28, 14, 10, 5  # height and width of the image and of the maps
N_S2, N_S4 = 6, 16  # how many maps there are
N_C5, N_F6 = 120, 84


@dataclass(frozen=True)
class Layer:
    """A convolution, its tanh and its pooling, for one block of samples.

    Arrays have an axis of samples, their last one: maps are of shape (maps, height, width,
    samples). The weights are of shape (maps, channels, taps, taps) and the same for all samples,
    their gradients have samples. The methods get pointers to arrays, and `channels` as an integer.

    Parameters
    ----------
    maps, size : int
        How many maps there are, and their height and width.
    strip : int
        Rows of gradients that are used while they lie in the nearest cache.
    sums : tuple of tile
        Maps and columns whose sums are made at a time.
    correlations : tuple of tile
        Maps whose weights get their gradients at a time, and columns that are taken up in a row.
    spread : tuple of tile, optional
        Maps that get their gradients at a time, and columns of gradients that these come from.
    """

    maps: int
    size: int
    strip: int
    sums: tuple[Tile, Tile]
    correlations: tuple[Tile, Tile]
    spread: tuple[Tile, Tile] = ((1, 1), (1, 1))

    @property
    def seen(self) -> int:
        """Return the height and width of what the convolution sees."""
        return self.size + TAPS - 1

    def compute(
        self, v: Vectors, maps: Any, channels: Any, weight: Any, bias: Any, tanhs: Any, means: Any
    ) -> None:
        """Write the tanh of all sums, and the means of four each."""
        half, area = self.size // 2, self.size**2
        with v.lanes(), v.loop(0, half) as y:
            with v.loop(0, 2) as lower:
                row = v.sum((y, 2), (lower, 1))
                self._compute_row(v, maps, channels, weight, bias, tanhs, row)
            with v.loop(0, self.maps) as m, v.loop(0, half) as x:
                four = v.sum((m, area), (y, 2 * self.size), (x, 2))
                upper, upper2, lower, lower2 = (
                    v.load(tanhs, (four, 1), (place, 1))
                    for place in (0, 1, self.size, self.size + 1)
                )
                total = v.plus(v.plus(upper, upper2), v.plus(lower, lower2))
                mean = v.times(v.constant(0.25), total)
                v.store(mean, means, (m, half**2), (y, half), (x, 1))

    def _compute_row(self, v, maps, channels, weight, bias, tanhs, y):
        n_maps, n_columns = v.choose(self.sums)
        numbers, columns, area = range(n_maps), range(n_columns), self.size**2
        kernel = v.sum((channels, TAPS**2))
        with v.loop(0, self.maps, n_maps) as m, v.loop(0, self.size, n_columns) as x:
            sums = [[v.variable(v.number(bias, (m, 1), (n, 1))) for _ in columns] for n in numbers]
            with v.loop(0, channels) as c, v.loop(0, TAPS) as i:
                row = v.sum((c, self.seen**2), (y, self.seen), (i, self.seen), (x, 1))
                for j in range(TAPS):
                    tap = v.sum((m, kernel), (c, TAPS**2), (i, TAPS), (j, 1))
                    weights = [v.number(weight, (tap, 1), (n, kernel)) for n in numbers]
                    for column in columns:
                        number = v.load(maps, (row, 1), (column + j, 1))
                        for n in numbers:
                            v.add_product(sums[n][column], weights[n], number)
            first = v.sum((m, area), (y, self.size), (x, 1))
            for n in numbers:
                for column in columns:
                    tanh = v.tanh(v.value(sums[n][column]))
                    v.store(tanh, tanhs, (first, 1), (n * area + column, 1))

    def add_gradients(
        self,
        v: Vectors,
        maps: Any,
        channels: Any,
        tanhs: Any,
        of_means: Any,
        of_sums: Any,
        of_weight: Any,
        of_bias: Any,
    ) -> None:
        """Add to the gradients of the weights, of each sample by itself, those of a block.

        Those of the sums are written to `of_sums`, strip over strip.
        """
        with v.lanes(), v.loop(0, self.size, self.strip) as y:
            self._write_gradients_of_sums(v, y, tanhs, of_means, of_sums, of_bias)
            self._correlate(v, y, maps, channels, of_sums, of_weight)

    def _write_gradients_of_sums(self, v, first, tanhs, of_means, of_sums, of_bias):
        half, area = self.size // 2, self.strip * self.size
        with v.loop(0, self.maps) as m:
            total = v.variable(v.load(of_bias, (m, 1)))
            with v.loop(0, self.strip) as row:
                y = v.sum((first, 1), (row, 1))
                with v.loop(0, half) as x, v.loop(0, 2) as right:
                    of_mean = v.load(of_means, (m, half**2), (v.half(y), half), (x, 1))
                    column = v.sum((x, 2), (right, 1))
                    tanh = v.load(tanhs, (m, self.size**2), (y, self.size), (column, 1))
                    slope = v.minus(v.constant(1), v.times(tanh, tanh))
                    gradient = v.times(v.times(v.constant(0.25), of_mean), slope)
                    v.store(gradient, of_sums, (m, area), (row, self.size), (column, 1))
                    v.add(total, gradient)
            v.store(v.value(total), of_bias, (m, 1))

    def _correlate(self, v, first, maps, channels, of_sums, of_weight):
        n_maps, n_columns = v.choose(self.correlations)
        numbers, taps, area = range(n_maps), range(TAPS), self.strip * self.size
        kernel = v.sum((channels, TAPS**2))
        with v.loop(0, self.maps, n_maps) as m, v.loop(0, channels) as c, v.loop(0, TAPS) as i:
            places = [v.sum((m, kernel), (n, kernel), (c, TAPS**2), (i, TAPS)) for n in numbers]
            sums = [
                [v.variable(v.load(of_weight, (place, 1), (j, 1))) for j in taps]
                for place in places
            ]
            with v.loop(0, self.strip) as y, v.loop(0, self.size, n_columns) as x:
                row = v.sum((c, self.seen), (first, 1), (y, 1), (i, 1))
                upstream = v.sum((m, area), (y, self.size), (x, 1))
                for column in range(n_columns):
                    gradients = [
                        v.load(of_sums, (upstream, 1), (n * area + column, 1)) for n in numbers
                    ]
                    for j in taps:
                        number = v.load(maps, (row, self.seen), (x, 1), (column + j, 1))
                        for n in numbers:
                            v.add_product(sums[n][j], gradients[n], number)
            for n in numbers:
                for j in taps:
                    v.store(v.value(sums[n][j]), of_weight, (places[n], 1), (j, 1))

    def write_gradients_of_maps(
        self, v: Vectors, of_sums: Any, channels: Any, weight: Any, of_maps: Any
    ) -> None:
        """Write the gradients of what the convolution sees from those of all its sums."""
        n_maps, n_columns = v.choose(self.spread)
        with v.lanes(), v.loop(0, self.seen) as y, v.loop(0, channels, n_maps) as c:
            for x in range(0, self.size, n_columns):
                self._spread(v, of_sums, channels, weight, of_maps, y, x, c)

    def _spread(self, v, of_sums, channels, weight, of_maps, y, x, c):
        """Write what some columns of gradients give to some maps of a row; `x` is an int."""
        n_maps, n_columns = v.choose(self.spread)
        numbers, reached = range(n_maps), range(n_columns + TAPS - 1)
        kernel = v.sum((channels, TAPS**2))
        first = v.sum((c, self.seen**2), (y, self.seen), (x, 1))
        places = [v.sum((first, 1), (n, self.seen**2)) for n in numbers]
        begun = range(TAPS - 1 if x else 0)  # by the columns before
        sums = [
            [
                v.variable(v.load(of_maps, (place, 1), (j, 1)) if j in begun else v.constant(0))
                for j in reached
            ]
            for place in places
        ]
        with v.loop(0, self.maps) as m, v.loop(*v.taps_within(y, self.size, TAPS)) as i:
            row = v.sum((m, self.size**2), (y, self.size), (i, -self.size), (x, 1))
            for j in range(TAPS):
                tap = v.sum((m, kernel), (c, TAPS**2), (i, TAPS), (j, 1))
                weights = [v.number(weight, (tap, 1), (n, TAPS**2)) for n in numbers]
                for column in range(n_columns):
                    gradient = v.load(of_sums, (row, 1), (column, 1))
                    for n in numbers:
                        v.add_product(sums[n][column + j], weights[n], gradient)
        for n in numbers:
            for j in reached:
                v.store(v.value(sums[n][j]), of_maps, (places[n], 1), (j, 1))


@dataclass(frozen=True)
class Dense:
    """A layer in which each output sees all of its inputs.

    Parameters
    ----------
    seen : int
        How many inputs there are.
    sums, spread : tuple of int
        How many sums are made at a time, and gradients of how many inputs.
    correlations : tuple of tile
        Outputs and vectors of inputs whose weights get their gradients at a time.
    """

    seen: int
    sums: tuple[int, int]
    spread: tuple[int, int]
    correlations: tuple[Tile, Tile]

    def compute(
        self, v: Vectors, seen: Any, weight: Any, bias: Any, n_sums: Any, outcomes: Any
    ) -> None:
        """Write the sums of a block."""
        self._compute(v, seen, weight, bias, n_sums, outcomes, lambda total: total)

    def compute_tanhs(
        self, v: Vectors, seen: Any, weight: Any, bias: Any, n_sums: Any, outcomes: Any
    ) -> None:
        """Write the tanh of the sums of a block."""
        self._compute(v, seen, weight, bias, n_sums, outcomes, v.tanh)

    def _compute(self, v, seen, weight, bias, n_sums, outcomes, activation):
        numbers = range(v.choose(self.sums))
        with v.lanes(), v.loop(0, n_sums, len(numbers)) as o:
            sums = [v.variable(v.number(bias, (o, 1), (n, 1))) for n in numbers]
            with v.loop(0, self.seen) as i:
                factor = v.load(seen, (i, 1))
                for n in numbers:
                    weight_of_sum = v.number(weight, (o, self.seen), (n, self.seen), (i, 1))
                    v.add_product(sums[n], weight_of_sum, factor)
            for n in numbers:
                v.store(activation(v.value(sums[n])), outcomes, (o, 1), (n, 1))

    def write_gradients(
        self, v: Vectors, of_sums: Any, n_sums: Any, weight: Any, of_seen: Any
    ) -> None:
        """Write the gradients of what the layer sees of a block."""
        self._write_gradients(v, of_sums, n_sums, weight, of_seen, lambda total, _: total)

    def write_gradients_before_tanh(
        self, v: Vectors, of_sums: Any, n_sums: Any, weight: Any, of_seen: Any, tanhs: Any
    ) -> None:
        """Write the gradients of that whose tanh the layer sees of a block."""

        def before(total, place):
            tanh = v.load(tanhs, (place, 1))
            return v.times(total, v.minus(v.constant(1), v.times(tanh, tanh)))

        self._write_gradients(v, of_sums, n_sums, weight, of_seen, before)

    def _write_gradients(self, v, of_sums, n_sums, weight, of_seen, finish):
        numbers = range(v.choose(self.spread))
        with v.lanes(), v.loop(0, self.seen, len(numbers)) as i:
            totals = [v.variable(v.constant(0)) for _ in numbers]
            with v.loop(0, n_sums) as o:
                gradient = v.load(of_sums, (o, 1))
                for n in numbers:
                    v.add_product(
                        totals[n], v.number(weight, (o, self.seen), (i, 1), (n, 1)), gradient
                    )
            for n in numbers:
                place = v.sum((i, 1), (n, 1))
                v.store(finish(v.value(totals[n]), place), of_seen, (place, 1))

    def correlate(
        self,
        v: Vectors,
        of_sums: Any,
        of_row: Any,
        n_sums: Any,
        seen: Any,
        row: Any,
        n: Any,
        of_weight: Any,
    ) -> None:
        """Write the gradients of the weights, summed over `n` samples, each a row.

        Rows begin `of_row` and `row` numbers after each other, and a vector is a part of a row.
        """
        n_outputs, n_vectors = v.choose(self.correlations)
        outputs, starts = range(n_outputs), [*range(0, self.seen - v.width, v.width)]
        starts.append(self.seen - v.width)  # the last two may have numbers in common
        for first in range(0, len(starts), n_vectors):
            own = starts[first : first + n_vectors]
            with v.loop(0, n_sums, n_outputs) as o:
                sums = [[v.variable(v.constant(0)) for _ in own] for _ in outputs]
                with v.loop(0, n) as sample:
                    vectors = [v.load_row(seen, (sample, row), (start, 1)) for start in own]
                    for output in outputs:
                        gradient = v.number(of_sums, (sample, of_row), (o, 1), (output, 1))
                        for place, vector in enumerate(vectors):
                            v.add_product(sums[output][place], gradient, vector)
                for output in outputs:
                    for start, total in zip(own, sums[output], strict=True):
                        place = v.sum((o, self.seen), (output, self.seen), (start, 1))
                        v.store_row(v.value(total), of_weight, (place, 1))


C1_TO_S2 = Layer(N_S2, C1, strip=2, sums=((3, 4), (2, 4)), correlations=((3, 4), (2, 1)))
C3_TO_S4 = Layer(
    N_S4,
    C3,
    strip=C3,
    sums=((4, 5), (4, 2)),
    correlations=((4, 5), (2, 1)),
    spread=((2, 5), (2, 2)),
)
C5 = Dense(400, sums=(12, 12), spread=(20, 10), correlations=((4, 5), (2, 5)))
F6 = Dense(N_C5, sums=(12, 12), spread=(12, 12), correlations=((4, 4), (2, 5)))
OUTPUT = Dense(N_F6, sums=(1, 1), spread=(12, 12), correlations=((1, 6), (1, 6)))
