"""What a univariate contrastive step sees: channels of windows, and two random crops of each.

A draw is a pure function of (seed, number of the draw), so that a run that was killed continues exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eegpipe.errors import UsageProblem


class Crops(NamedTuple):
    """Stretches of windows as parts of their length, (n,) float64 each: ``start`` >= 0, ``start + length`` <= 1."""

    start: np.ndarray
    length: np.ndarray


def draw_crops(rng: np.random.Generator, count: int, scale: tuple[float, float]) -> Crops:
    """``count`` crops: length uniform in ``scale`` (parts of a window), then start uniform where it fits."""
    length = rng.uniform(scale[0], scale[1], count)
    return Crops(rng.uniform(size=count) * (1 - length), length)


def resized_crop(x: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Each row's crop, brought back to the row's length by linear interpolation.

    The first and the last sample of the result lie on the crop's ends, so the whole window returns as it is.

    Parameters
    ----------
    x : (n, time) float32
    start, length : (n,) float64
        As in :class:`Crops`.

    Returns
    -------
    Tensor, float32, (n, time)
    """
    last = x.shape[-1] - 1
    at = start[:, None] * last + length[:, None] * torch.arange(last + 1, dtype=torch.float64, device=x.device)
    # Rounding may step a hair beyond the last sample.
    at = at.clamp(0, last)
    before = at.long().clamp(max=max(last - 1, 0))
    weight = (at - before).float()
    left = x.gather(1, before)
    right = x.gather(1, (before + 1).clamp(max=last))
    return left + weight * (right - left)


@dataclass(frozen=True)
class Source:
    """What a draw needs to know of a data set."""

    name: str
    rate_hz: float
    samples: int
    windows: int
    channels: int


class Items(NamedTuple):
    """The items of one data set in a draw, (n,) each, with the positions in the batch at which they stand."""

    source: int
    window: np.ndarray
    channel: np.ndarray
    place: np.ndarray


class Draw(NamedTuple):
    """One step: items of one rate and length, and two crops of each."""

    items: tuple[Items, ...]
    crops: tuple[Crops, Crops]
    rate_hz: float
    size: int


class CropSampler:
    """Batches for contrastive learning on single channels of data sets of any rate and montage.

    A draw takes one rate (and length), with a chance proportional to the number of its items, and from all data sets of
    that rate different items, uniformly over (window, channel). Every item has two crops of its own.

    Parameters
    ----------
    sources : sequence of Source
    seed : int
    batch : int
        Items of a draw; fewer where a rate has fewer.
    scale : (float, float)
        Least and largest part of a window in a crop.

    Raises
    ------
    UsageProblem
        If a rate has fewer than two items.
    """

    def __init__(self, sources: Sequence[Source], *, seed: int, batch: int, scale: tuple[float, float]) -> None:
        self._sources, self._seed, self._batch, self._scale = tuple(sources), seed, batch, scale
        self._groups: dict[tuple[float, int], list[int]] = {}
        for index, source in enumerate(sources):
            self._groups.setdefault((source.rate_hz, source.samples), []).append(index)
        self._groups = dict(sorted(self._groups.items()))
        self._sizes = [sum(self._size(index) for index in members) for members in self._groups.values()]
        for members, size in zip(self._groups.values(), self._sizes, strict=True):
            if size < 2:
                names = ", ".join(sources[index].name for index in members)
                raise UsageProblem(f"Contrastive learning compares at least two channels of windows; {names} has one.")

    def _size(self, index: int) -> int:
        return self._sources[index].windows * self._sources[index].channels

    @property
    def items(self) -> int:
        """All items of all data sets."""
        return sum(self._sizes)

    def draw(self, number: int) -> Draw:
        """The ``number``-th draw (from 0); depends on the seed, the number and the sizes of the sources only."""
        rng = np.random.default_rng([self._seed, number])
        group = int(rng.choice(len(self._sizes), p=np.array(self._sizes) / self.items))
        (rate_hz, _), members = list(self._groups.items())[group]
        count = min(self._batch, self._sizes[group])
        chosen = rng.choice(self._sizes[group], count, replace=False)
        borders = np.cumsum([0] + [self._size(index) for index in members])
        parts = []
        for at, index in enumerate(members):
            place = np.flatnonzero((chosen >= borders[at]) & (chosen < borders[at + 1]))
            window, channel = np.divmod(chosen[place] - borders[at], self._sources[index].channels)
            if len(place):
                parts.append(Items(index, window, channel, place))
        crops = draw_crops(rng, count, self._scale), draw_crops(rng, count, self._scale)
        return Draw(tuple(parts), crops, rate_hz, count)
