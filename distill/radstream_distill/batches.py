"""Batches by token budget, drawn from pools, so that any batch can be made again from its number alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

POOL = 512
"""Texts drawn, sorted by length and cut into batches at a time."""


@dataclass(frozen=True)
class Batch:
    """Padded ids with their mask, and the places of the rows in the pool."""

    input_ids: Tensor
    attention_mask: Tensor
    places: tuple[int, ...]


def pad(rows: Sequence[Sequence[int]], pad_id: int, multiple: int = 8) -> tuple[Tensor, Tensor]:
    """Right-pads to a common length that is a multiple of 8."""
    longest = max(len(row) for row in rows)
    width = (longest + multiple - 1) // multiple * multiple
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def by_length(rows: Sequence[Sequence[int]], budget: int) -> list[tuple[int, ...]]:
    """Places of the rows, sorted by length and cut so that rows x longest stays within the budget."""
    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
    groups: list[tuple[int, ...]] = []
    group: list[int] = []
    for place in order:
        width = (len(rows[place]) + 7) // 8 * 8
        if group and (len(group) + 1) * width > budget:
            groups.append(tuple(group))
            group = []
        group.append(place)
    if group:
        groups.append(tuple(group))
    return groups


def pools(
    draw: Callable[[random.Random], T],
    encode: Callable[[Sequence[T], int], Sequence[Sequence[int]]],
    *,
    budget: int,
    pad_id: int,
    seed: int,
    first: int = 0,
) -> Iterator[tuple[int, list[tuple[Batch, list[T]]]]]:
    """Endless pools of shuffled batches, from pool number `first` on."""
    number = first
    while True:
        rng = random.Random(f"{seed}/pool/{number}")
        items = [draw(rng) for _ in range(POOL)]
        rows = encode(items, rng.getrandbits(32))
        batches = []
        for places in by_length(rows, budget):
            ids, mask = pad([rows[place] for place in places], pad_id)
            batches.append((Batch(ids, mask, places), [items[place] for place in places]))
        rng.shuffle(batches)
        yield number, batches
        number += 1
