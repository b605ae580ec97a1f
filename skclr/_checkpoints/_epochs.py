"""The epochs of a history as columns, encoded once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from skclr._checkpoints._values import Tensors, decode, encode, encode_column


class EpochEncoder:
    """Encodes the epochs of a history; the batches of one that has ended are encoded once."""

    def __init__(self) -> None:
        self._ended: list[tuple[Any, Tensors]] = []

    def encode(self, epochs: Sequence[Mapping[str, Any]], tensors: Tensors) -> list[Any]:
        """Return epochs as values of JSON, and add their columns to `tensors`."""
        trees = []
        for number, epoch in enumerate(epochs):
            batches = self._batches(number, epoch["batches"], number < len(epochs) - 1, tensors)
            rest = {key: value for key, value in epoch.items() if key != "batches"}
            trees.append(
                {"batches": batches, "rest": encode(rest, f"history/{number}/rest", tensors)}
            )
        return trees

    def _batches(self, number, rows, has_ended, tensors):
        if number < len(self._ended):
            tree, own = self._ended[number]
        else:
            own = {}
            tree = encode_rows(rows, f"history/{number}", own)
            if has_ended:
                self._ended.append((tree, own))
        tensors.update(own)
        return tree


def encode_rows(rows: Sequence[Mapping[str, Any]], name: str, tensors: Tensors) -> list[Any]:
    """Return rows as columns, a group for each stretch of rows that hold the same names."""
    groups: list[Any] = []
    for keys, members in groupby(rows, key=tuple):
        same = list(members)
        columns = []
        for key in keys:
            values = [row[key] for row in same]
            place = f"{name}/{len(groups)}/{key}"
            column = encode_column(values, place, tensors)
            columns.append(encode(values, place, tensors) if column is None else column)
        groups.append({"n": len(same), "keys": list(keys), "columns": columns})
    return groups


def decode_epochs(trees: Any, tensors: Tensors) -> list[dict[str, Any]]:
    """Return the epochs that `EpochEncoder` was given, or raise ValueError and its like."""
    epochs = []
    for tree in trees:
        rows = [row for group in tree["batches"] for row in _decoded_rows(group, tensors)]
        epochs.append({"batches": rows, **decode(tree["rest"], tensors)})
    return epochs


def _decoded_rows(group: Mapping[str, Any], tensors: Tensors) -> list[dict[str, Any]]:
    keys, n = group["keys"], group["n"]
    columns = [decode(column, tensors) for column in group["columns"]]
    if len(columns) != len(keys) or any(len(column) != n for column in columns):
        raise ValueError("the rows of a history are not whole")
    if not keys:
        return [{} for _ in range(min(n, 10**6))]
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
