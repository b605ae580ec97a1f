"""Text and tensors in one file of safetensors, with a digest of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch

_LONGEST_HEADER = 100_000_000  # bytes, as in the format

# what reading a file of somebody else's may raise
NOT_OURS = (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError,
            IndexError, safetensors.SafetensorError)  # fmt: skip


def pack(entry: str, described: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return a file of safetensors with tensors and, in its header, values as text of JSON.

    Parameters
    ----------
    entry : str
        The name under which the text stands in the header.
    described : mapping
        Values of JSON; a digest is added, by which a file is told whose bytes have changed.
    tensors : mapping of str to Tensor
        Those that share memory, as weights that are tied do, are written each.
    """
    text = json.dumps({**described, "digest": digest(described, tensors)})
    state = {name: part.contiguous() for name, part in tensors.items()}
    known: set[int] = set()
    for name, part in state.items():
        place = part.untyped_storage().data_ptr()
        if place in known:
            state[name] = part.clone()
        known.add(place)
    return safetensors.torch.save(state, metadata={entry: text})


def unpack(entry: str, data: bytes) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what `pack` wrote, or raise one of `NOT_OURS`."""
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(len(data) - 8, _LONGEST_HEADER):
        raise ValueError("its header is not whole")
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header["__metadata__"][entry])
    tensors = safetensors.torch.load(data)
    if "digest" in described and described["digest"] != digest(described, tensors):
        raise ValueError("its bytes have changed since it was written")
    return described, tensors


def digest(described: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of values of JSON and of tensors, but for what is called a digest."""
    others = {name: value for name, value in described.items() if name != "digest"}
    found = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name in sorted(tensors):
        part = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {part.dtype} {tuple(part.shape)}".encode())
        found.update(part.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
