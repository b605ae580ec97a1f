"""torch's process group, set up from what torchrun has left in the environment."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

import torch.distributed as dist

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PAUSE = 0.05  # seconds between two looks at who is there


def can_be_set_up() -> bool:
    """Tell whether the environment says with which processes this one was started."""
    return all(name in os.environ for name in _ENVIRONMENT)


def set_up_group() -> None:
    """Set up the group with gloo, and mistake no process for one that was there before.

    torchrun starts processes again, and keeps the store in which they find each other's addresses:
    whoever looks before another one has written finds that of one that was killed, and waits for it
    until the time is up. So the names in the store begin with one that is new each time.
    """
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(iter(rendezvous("env://")))
    name = _name_of_all(store, rank, size)
    own = PrefixStore(f"skclr/{name}", store)
    dist.init_process_group("gloo", store=own, rank=rank, world_size=size)


def _name_of_all(store: Any, rank: int, size: int) -> str:
    """Return a name that these processes have, and none that were started before them.

    The first one makes it up, and writes it down with what the others have made up for themselves.
    Each of these takes it where it finds its own name beside it, which no earlier process knew.
    """
    own = uuid.uuid4().hex
    if rank == 0:
        while store.add(f"skclr/{own}", 0) < size - 1:
            others = [store.get(f"skclr/{other}").decode() for other in range(1, size)]
            store.set("skclr/present", " ".join([own, *others]))
            time.sleep(_PAUSE)
        return own
    store.set(f"skclr/{rank}", own)
    while True:
        name, *others = store.get("skclr/present").decode().split()
        if others[rank - 1 : rank] == [own]:
            store.add(f"skclr/{name}", 1)
            return name
        time.sleep(_PAUSE)
