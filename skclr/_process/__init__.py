"""What a process lends to a training: generators, threads, signals, streams, other processes."""

from skclr._process._generators import (
    GeneratorStates,
    draw_seed,
    generator_states,
    isolated_generators,
    set_generator_states,
)
from skclr._process._group import (
    AgreedInterrupts,
    Group,
    as_bytes,
    find_group,
    speaks_for_all,
)
from skclr._process._interrupts import Interrupts, watched_interrupts
from skclr._process._streams import flushable_streams
from skclr._process._threads import enlist, one_thread, side_by_side
from skclr._process._turns import process_lock

__all__ = [
    "AgreedInterrupts",
    "GeneratorStates",
    "Group",
    "Interrupts",
    "as_bytes",
    "draw_seed",
    "enlist",
    "find_group",
    "flushable_streams",
    "generator_states",
    "isolated_generators",
    "one_thread",
    "process_lock",
    "set_generator_states",
    "side_by_side",
    "speaks_for_all",
    "watched_interrupts",
]

GeneratorStates.__module__ = __name__  # as pickles know it
