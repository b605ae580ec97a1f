"""Tasks of compiled code that threads share without Python: an array of whole numbers tells all.

It begins with numbers that several threads read and write, each in lines of the cache of its own.
After them it says what there is to do, as only the one who hands it out writes it down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable
from numba.np.numpy_support import carray

_intrinsic: Any = intrinsic  # its first parameter, the typing context, is not passed by callers
_APART = 16  # whole numbers of 8 bytes: two lines of the cache
OPEN, DONE, DISMISSED, GONE, SERVED, TASK = range(0, 6 * _APART, _APART)


def _by_pointer(write: Callable) -> Callable:
    """Return how numba is to lower a call with an array, a place in it, and numbers."""

    def implement(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place, *numbers = (
            context.cast(builder, number, kind, types.int64)
            for number, kind in zip(arguments[1:], signature.args[1:], strict=True)
        )
        return write(builder, builder.gep(array.data, [place]), *numbers)

    return implement


@_intrinsic
def read(typing_context, array, place):
    """Return a number, after whatever the thread that wrote it had written before it."""

    def load(builder, pointer):
        return builder.load_atomic(pointer, "acquire", align=8)

    return types.int64(array, place), _by_pointer(load)


@_intrinsic
def write(typing_context, array, place, number):
    """Write a number, before which others see whatever this thread has written before it."""

    def store(builder, pointer, number):
        builder.store_atomic(number, pointer, "release", align=8)
        return number

    return types.int64(array, place, number), _by_pointer(store)


@_intrinsic
def add(typing_context, array, place, number):
    """Add to a number, and return what it was."""

    def add_to(builder, pointer, number):
        return builder.atomic_rmw("add", pointer, number, "acq_rel")

    return types.int64(array, place, number), _by_pointer(add_to)


@_intrinsic
def _exchange(typing_context, array, place, expected, number):
    """Write a number where it was as expected, and tell whether it was."""

    def exchange(builder, pointer, expected, number):
        outcome = builder.cmpxchg(pointer, expected, number, "acq_rel", "acquire")
        return builder.extract_value(outcome, 1)

    return types.boolean(array, place, expected, number), _by_pointer(exchange)


@register_jitable
def take(array, place):
    """Take one from a number greater than 0, and return what it was; else return 0."""
    number = read(array, place)
    while number > 0 and not _exchange(array, place, number, number - 1):
        number = read(array, place)
    return max(number, 0)


@_intrinsic
def rest(typing_context):
    """Let the processor rest for some 10 to 50 ns, where it can be told to."""

    def implement(context, builder, signature, arguments):
        if builder.module.triple.startswith(("x86_64", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), implement


@_intrinsic
def _pointer(typing_context, address):
    def implement(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), implement


@register_jitable
def numbers_at(address, n):
    """Return so many numbers of float32 at an address as an array."""
    return carray(_pointer(address), n, np.float32)


@register_jitable
def whole_numbers_at(address, n):
    """Return so many numbers of int64 at an address as an array."""
    return carray(_pointer(address), n, np.int64)
