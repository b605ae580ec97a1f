"""Instructions on vectors of numbers of neighbouring samples, for functions that numba compiles."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, TypeAlias, TypeVar

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

SAMPLES = 16  # whose numbers lie side by side: a vector of AVX-512, two of AVX2

# tanh(x) / x is a quotient of polynomials in the square of x: Lambert's continued fraction
# 1 / (1 + x² / (3 + x² / (5 + ...))) to its 13th term. At the limit tanh is 3e-7 below 1, and is
# taken to stay so beyond.
_LIMIT = 7.9
_COEFFICIENTS = (
    (7905853580625, 1159525191825, 41247931725, 523783260, 2552550, 4095, 1),
    (7905853580625, 3794809718700, 252070693875, 5237832600, 41351310, 120120, 91),
)

_INDEX = ir.IntType(64)
_Number: TypeAlias = "int | ir.Value"
Tile: TypeAlias = "tuple[int, int]"
_Size = TypeVar("_Size", int, Tile)


class Vectors:
    """Writes instructions on vectors, a number of each of several samples, into a function.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Of the function.
    is_wide : bool
        Whether a vector has 16 numbers, for a processor with 32 registers of that size, or 8.
    """

    def __init__(self, builder: ir.IRBuilder, is_wide: bool):
        self.builder = builder
        self.is_wide = is_wide
        self.width = 16 if is_wide else 8
        self.type = ir.VectorType(ir.FloatType(), self.width)
        self._lane: ir.Value = _INDEX(0)

    def index(self, number: _Number) -> ir.Value:
        return _INDEX(number) if isinstance(number, int) else number

    def choose(self, sizes: tuple[_Size, _Size]) -> _Size:
        """Return the first of two sizes for 32 registers of 16 numbers, else the second."""
        return sizes[0] if self.is_wide else sizes[1]

    @contextlib.contextmanager
    def loop(self, first: _Number, end: _Number, step: int = 1) -> Iterator[ir.Value]:
        start, stop, stride = map(self.index, (first, end, step))
        with cgutils.for_range_slice(self.builder, start, stop, stride, _INDEX) as (place, _):
            yield place

    @contextlib.contextmanager
    def lanes(self) -> Iterator[None]:
        """Write what follows for all samples of a block, a vector after the other."""
        with self.loop(0, SAMPLES, self.width) as self._lane:
            yield

    def sum(self, *terms: tuple[_Number, _Number]) -> ir.Value:
        """Return the sum of products of two whole numbers each."""
        products = [self.builder.mul(*map(self.index, factors)) for factors in terms]
        return reduce(self.builder.add, products)

    def half(self, number: ir.Value) -> ir.Value:
        """Return half of a whole number that is not negative, rounded down."""
        return self.builder.lshr(number, self.index(1))

    def taps_within(self, y: ir.Value, size: int, taps: int) -> tuple[ir.Value, ir.Value]:
        """Return the first of some taps, and the end of those, for which y - tap is a row."""
        first, end = self.sum((y, 1), (1, 1 - size)), self.sum((y, 1), (1, 1))
        is_before = self.builder.icmp_signed("<", first, self.index(0))
        is_within = self.builder.icmp_signed("<", end, self.index(taps))
        return (
            self.builder.select(is_before, self.index(0), first),
            self.builder.select(is_within, end, self.index(taps)),
        )

    def load(self, array: ir.Value, *terms: tuple[_Number, _Number]) -> ir.Value:
        """Return the numbers at a place of an array, counted in numbers of all samples."""
        return self.builder.load(self._vector_at(array, terms), align=4)

    def store(self, vector: ir.Value, array: ir.Value, *terms: tuple[_Number, _Number]) -> None:
        self.builder.store(vector, self._vector_at(array, terms), align=4)

    def load_row(self, array: ir.Value, *terms: tuple[_Number, _Number]) -> ir.Value:
        """Return numbers of one sample that follow each other."""
        return self.builder.load(self._pointer(array, self.sum(*terms)), align=4)

    def store_row(self, vector: ir.Value, array: ir.Value, *terms: tuple[_Number, _Number]) -> None:
        self.builder.store(vector, self._pointer(array, self.sum(*terms)), align=4)

    def _vector_at(self, array, terms):
        return self._pointer(array, self.sum((self._lane, 1), (self.sum(*terms), SAMPLES)))

    def _pointer(self, array, place):
        return self.builder.bitcast(self.builder.gep(array, [place]), self.type.as_pointer())

    def plus(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.builder.fadd(one, other)

    def minus(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.builder.fsub(one, other)

    def times(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.builder.fmul(one, other)

    def number(self, array: ir.Value, *terms: tuple[_Number, _Number]) -> ir.Value:
        """Return a number of an array that is the same for all samples."""
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        none = ir.Constant(self.type, ir.Undefined)
        number = self.builder.load(self.builder.gep(array, [self.sum(*terms)]), align=4)
        first = self.builder.insert_element(none, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, none, places)

    def constant(self, number: float) -> ir.Constant:
        return ir.Constant(self.type, [ir.FloatType()(float(np.float32(number)))] * self.width)

    def variable(self, vector: ir.Value) -> ir.Value:
        """Return a variable that begins with a vector, and that a register will hold."""
        place = cgutils.alloca_once(self.builder, self.type)
        self.builder.store(vector, place)
        return place

    def value(self, variable: ir.Value) -> ir.Value:
        return self.builder.load(variable)

    def times_plus(self, one: ir.Value, other: ir.Value, summand: ir.Value) -> ir.Value:
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fmuladd.v{self.width}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [one, other, summand])

    def add(self, variable: ir.Value, vector: ir.Value) -> None:
        self.builder.store(self.plus(self.value(variable), vector), variable)

    def add_product(self, variable: ir.Value, one: ir.Value, other: ir.Value) -> None:
        self.builder.store(self.times_plus(one, other, self.value(variable)), variable)

    def tanh(self, x: ir.Value) -> ir.Value:
        build, most, least = self.builder, self.constant(_LIMIT), self.constant(-_LIMIT)
        x = build.select(build.fcmp_ordered("<", x, least), least, x)  # NaN stays
        x = build.select(build.fcmp_ordered(">", x, most), most, x)
        square = build.fmul(x, x)
        above, below = (
            reduce(
                lambda value, factor: self.times_plus(value, square, factor),
                [self.constant(factor / factors[0]) for factor in reversed(factors)],
            )
            for factors in _COEFFICIENTS
        )
        return build.fdiv(build.fmul(x, above), below)


def by_vectors(write: Callable) -> Any:
    """Return a function for compiled code that does what `write` writes down.

    It takes a tuple of contiguous arrays of float32 and of whole numbers.
    """

    @intrinsic
    def function(typing_context, values):
        def implement(context, builder, signature, arguments):
            is_wide = "+avx512f" in context.codegen().magic_tuple()[2]
            parts = zip(signature.args[0], cgutils.unpack_tuple(builder, arguments[0]), strict=True)
            write(
                Vectors(builder, is_wide),
                *(
                    context.make_array(kind)(context, builder, value).data
                    if isinstance(kind, types.Array)
                    else context.cast(builder, value, kind, types.int64)
                    for kind, value in parts
                ),
            )
            return context.get_dummy_value()

        return types.void(values), implement

    return function
