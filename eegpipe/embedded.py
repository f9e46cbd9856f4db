"""What a draw gives to a contrast, so that rows of several draws can be each other's negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Embedded(NamedTuple):
    """A draw after the network.

    rows : what has a gradient: unit rows (..., D), which the contrast compares, and terms of the draw alone (scalars)
    facts : what else the contrast reads of these rows, float32
    """

    rows: tuple[Tensor, ...]
    facts: tuple[Tensor, ...] = ()

    def leaf(self) -> Embedded:
        """The same values, cut from the network: their gradients can be taken before the network's."""
        return Embedded(tuple(one.detach().requires_grad_() for one in self.rows), self.facts)


def pairs_of(draws: Sequence[Tensor]) -> Tensor:
    """(2n, D) each, rows i and i + n are partners -> the same of all: first rows of all draws, then their partners."""
    if len(draws) == 1:
        return draws[0]
    halves = [one.chunk(2) for one in draws]
    return torch.cat([first for first, _ in halves] + [second for _, second in halves])
