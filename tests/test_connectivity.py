"""The strongest pairs of a graph of channels: those with the most attention, and nothing of a channel to itself."""

from __future__ import annotations

import numpy as np

from eegpipe.connectivity import graph_of, graphs
from eegpipe.models.gat import Connectivity

from planted_segments import planted

NAMES = tuple("ABCDEFGH")


def attention(seed: int = 0) -> np.ndarray:
    """Rows sum to 1; everybody looks at B, and A and E at each other."""
    weights = np.random.default_rng(seed).uniform(1, 1.1, size=(8, 8)) + 5 * np.eye(8)
    weights[:, 1] += 2
    weights[0, 4] = weights[4, 0] = 9
    return weights / weights.sum(axis=1, keepdims=True)


def test_edges_are_the_strongest_pairs():
    graph = graph_of("joy", 5, NAMES, attention())
    assert len(graph.pairs) == round(0.15 * 28)
    assert graph.pairs[0].tolist() == [0, 4]
    assert all(1 in pair for pair in graph.pairs[1:].tolist())
    assert (np.diff(graph.weights) <= 0).all()
    assert graph.degree.sum() == 2 * len(graph.pairs)
    assert graph.degree[1] == len(graph.pairs) - 1
    assert graph.received.argmax() == 1
    assert np.isclose(graph.received.mean(), 1)


def test_two_channels_have_one_pair_and_an_even_share():
    graph = graph_of("joy", 1, ("A", "B"), np.full((2, 2), 0.5))
    assert graph.pairs.tolist() == [[0, 1]]
    assert graph.received.tolist() == [1, 1]


def test_one_graph_for_each_class_that_was_tested():
    data = planted("class", subjects=2, clips=6)
    asked = []

    class Fitted:
        has_attention = True

        def connectivity_of(self, segments, group):
            asked.append((segments, group))
            return [Connectivity(NAMES, attention(one)[None, None]) for one in np.unique(group)]

    rows = np.flatnonzero((data.subject == 1) & (data.label != 1))
    tested, truth = data.select(rows), data.label[rows]
    found = graphs(Fitted(), tested, truth, data.labels)
    assert [graph.emotion for graph in found] == ["calm", "joy"]
    assert [graph.segments for graph in found] == [int((truth == label).sum()) for label in (0, 2)]
    segments, group = asked[0]
    assert segments is tested
    assert np.array_equal(np.array([0, 2])[group], truth)
    assert graphs(None, tested, truth, data.labels) == []
