"""Which channels attend to which in ART's graph, for each emotion, from the classifier of one fold.

What is read is the attention of the graph layers over the test segments of the first fold of the strictest protocol,
mean over layers, heads and the kept checkpoints, apart for each actual class (ART, fig. 4). It says what the network
takes from where. It is no coupling of brain areas: attention may be spread evenly, or follow amplitude, and the
prediction also goes through the transformer behind the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from eegpipe.loader import Segments
    from eegpipe.models.gat import Connectivity

# Share of the pairs of channels that counts as an edge (ART, fig. 4).
STRONGEST = 0.15


class _HasAttention(Protocol):
    def connectivity_of(self, segments: Segments, group: np.ndarray) -> list[Connectivity]: ...


@dataclass(frozen=True)
class Graph:
    """One emotion's graph. Channels are numbered as in ``channels``.

    pairs : (edge, 2) int, first < second, the strongest first
    weights : (edge,) mean attention of the two directions
    degree : (channel,) int, number of edges at each channel
    received : (channel,) mean attention that the others pay to a channel; 1: an even share
    """

    emotion: str
    segments: int
    channels: tuple[str, ...]
    pairs: np.ndarray
    weights: np.ndarray
    degree: np.ndarray
    received: np.ndarray


def graph_of(emotion: str, segments: int, channels: Sequence[str], attention: np.ndarray) -> Graph:
    """The strongest pairs of an attention matrix (channel, channel), rows summing to 1; its diagonal is left out."""
    count = len(channels)
    first, second = np.triu_indices(count, k=1)
    both = (attention + attention.T)[first, second] / 2
    kept = np.argsort(-both, kind="stable")[: max(round(STRONGEST * len(both)), min(1, len(both)))]
    pairs = np.stack([first[kept], second[kept]], axis=1)
    paid = attention.sum(axis=0) - np.diag(attention)
    even = (attention.sum() - np.trace(attention)) / max(count, 1)
    return Graph(
        emotion=emotion,
        segments=segments,
        channels=tuple(channels),
        pairs=pairs,
        weights=both[kept],
        degree=np.bincount(pairs.ravel(), minlength=count),
        received=paid / even if even > 0 else np.ones(count),
    )


def graphs(fitted: object, tested: Segments, truth: np.ndarray, names: Sequence[str]) -> list[Graph]:
    """One graph for each class that occurs in a test part; empty if the classifier has no attention over a graph.

    Parameters
    ----------
    fitted : object
        A trained classifier.
    tested : Segments
        n segments.
    truth : (n,) int, index into ``names``
    """
    if not getattr(fitted, "has_attention", False):
        return []
    present, group = np.unique(truth, return_inverse=True)
    read = cast(_HasAttention, fitted).connectivity_of(tested, group)
    return [
        graph_of(names[label], int((truth == label).sum()), one.names, one.mean)
        for label, one in zip(present, read, strict=True)
    ]
