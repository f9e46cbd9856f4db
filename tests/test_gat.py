"""The classifier over channels: attention by hand, masks, permutations, the ablations."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from eegpipe.channels import position, schema
from eegpipe.errors import UsageProblem
from eegpipe.models.gat import ChannelClassifier, GatConfig, GraphAttention, GraphConvolution, adjacency

SEED = tuple(name for name, (row, _) in schema().items() if row < 62)
SMALL = GatConfig(hidden=8, graph_heads=2, heads=2, ffn=16)
KINDS = ("gat", "gcn", "none")


def classifier(config: GatConfig = SMALL, names=SEED[:12], seed: int = 0) -> ChannelClassifier:
    torch.manual_seed(seed)
    return ChannelClassifier(config, names, width=6, n_classes=3).eval()


class TestGraphAttention:
    def test_three_nodes_by_hand(self):
        layer = GraphAttention(1, GatConfig(hidden=1, graph_heads=1, heads=1))
        with torch.no_grad():
            layer.linear.weight.fill_(2.0)
            layer.of_self.fill_(1.0)
            layer.of_other.fill_(-1.0)
        h = torch.tensor([[[0.0], [1.0], [2.0]]])
        joined = torch.tensor([[[1, 1, 0], [1, 1, 1], [0, 1, 1]]], dtype=torch.bool)
        # W h = 0, 2, 4; e_ij = LeakyReLU(W h_i - W h_j): row 0: 0, -0.4; row 1: 2, 0, -0.4; row 2: (node 1) 2, 0.
        e = np.exp
        rows = [
            np.array([1, e(-0.4), 0]) / (1 + e(-0.4)),
            np.array([e(2), 1, e(-0.4)]) / (e(2) + 1 + e(-0.4)),
            np.array([0, e(2), 1]) / (e(2) + 1),
        ]
        out, attention = layer(h, joined)
        np.testing.assert_allclose(attention[0, 0].detach(), rows, rtol=1e-5)
        np.testing.assert_allclose(out[0, :, 0].detach(), np.array(rows) @ [0, 2, 4], rtol=1e-5)

    def test_heads_stand_side_by_side(self):
        torch.manual_seed(0)
        config = GatConfig()
        layer, h = GraphAttention(256, config), torch.randn(2, 5, 256)
        out, attention = layer(h, torch.ones(2, 5, 5, dtype=torch.bool))
        assert (out.shape, attention.shape) == ((2, 5, 256), (2, 4, 5, 5))
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4, 5))
        third = attention[:, 2] @ layer.linear(h)[..., 128:192]
        torch.testing.assert_close(out[..., 128:192], third, atol=1e-5, rtol=1e-4)

    def test_pairs_as_written(self):
        """e_ij from the concatenation of both nodes, pair by pair."""
        torch.manual_seed(0)
        layer, h = GraphAttention(6, SMALL), torch.randn(1, 4, 6)
        _, attention = layer(h, torch.ones(1, 4, 4, dtype=torch.bool))
        w = layer.linear(h)[0, :, 4:]
        a = torch.cat([layer.of_self[1], layer.of_other[1]])
        e = torch.stack([torch.stack([functional.leaky_relu(a @ torch.cat([i, j]), 0.2) for j in w]) for i in w])
        torch.testing.assert_close(attention[0, 1], e.softmax(-1))


class TestGraphConvolution:
    def test_by_hand(self):
        layer = GraphConvolution(1, GatConfig(hidden=1, graph_heads=1, heads=1))
        with torch.no_grad():
            layer.linear.weight.fill_(1.0)
            layer.linear.bias.zero_()
        joined = torch.tensor([[[1, 1, 0], [1, 1, 1], [0, 1, 1]]], dtype=torch.bool)
        out, _ = layer(torch.tensor([[[1.0], [2.0], [4.0]]]), joined)
        root = 6**-0.5
        expected = [1 / 2 + 2 * root, 1 * root + 2 / 3 + 4 * root, 2 * root + 4 / 2]
        np.testing.assert_allclose(out[0, :, 0].detach(), expected, rtol=1e-5)

    def test_on_the_full_graph_all_channels_become_alike(self):
        """Why a convolution on a fully connected graph loses where something happens."""
        model = classifier(replace(SMALL, graph="gcn"))
        h, _, _ = model._through_graph(torch.randn(2, 12, 6), None)
        torch.testing.assert_close(h, h[:, :1].expand_as(h))


class TestAdjacency:
    def test_full(self):
        assert adjacency(SEED, GatConfig()).all()
        without = adjacency(SEED, GatConfig(self_loops=False))
        np.testing.assert_array_equal(without, ~np.eye(62, dtype=bool))

    def test_nearest(self):
        joined = adjacency(SEED, GatConfig(adjacency="nearest", neighbours=4))
        np.testing.assert_array_equal(joined, joined.T)
        assert joined.sum(axis=1).min() >= 5
        for name, other in (("Cz", "C1"), ("Cz", "FCz"), ("Oz", "POz"), ("Fp1", "Fpz")):
            assert joined[SEED.index(name), SEED.index(other)]
        assert not joined[SEED.index("Oz"), SEED.index("Fpz")]

    def test_radius(self):
        joined = adjacency(SEED, GatConfig(adjacency="radius", radius_m=0.05))
        for row, name in enumerate(SEED):
            for column, other in enumerate(SEED):
                near = np.linalg.norm(np.subtract(position(name), position(other))) <= 0.05
                assert joined[row, column] == near

    def test_does_not_depend_on_the_order(self):
        config = GatConfig(adjacency="nearest", neighbours=5)
        order = np.random.default_rng(0).permutation(62)
        moved = adjacency([SEED[at] for at in order], config)
        np.testing.assert_array_equal(moved, adjacency(SEED, config)[np.ix_(order, order)])


class TestClassifier:
    @pytest.mark.parametrize("channels", [1, 14, 30, 62])
    @pytest.mark.parametrize("graph", KINDS)
    def test_shapes(self, channels, graph):
        model = classifier(replace(SMALL, graph=graph), names=SEED[:channels])
        assert model(torch.randn(2, channels, 6)).shape == (2, 3)
        with pytest.raises(UsageProblem, match="features of 5 channels"):
            model(torch.randn(2, 5, 6))

    def test_kinds_differ(self):
        x = torch.randn(4, 12, 6)
        logits = [classifier(replace(SMALL, graph=graph))(x) for graph in KINDS]
        assert not any(torch.allclose(first, second) for first, second in pairwise(logits))
        counts = [sum(p.numel() for p in classifier(replace(SMALL, graph=graph)).parameters()) for graph in KINDS]
        assert counts[2] == counts[0] - 2 * (64 + 16) == counts[1] - 2 * (64 + 8)

    @pytest.mark.parametrize("graph", KINDS)
    @pytest.mark.parametrize("join", ["full", "nearest", "radius"])
    def test_absent_channels_have_no_influence(self, graph, join):
        """Whatever they hold; and the rest is as if they were not there."""
        config = replace(SMALL, graph=graph, adjacency=join, neighbours=3, radius_m=0.05)
        model, x = classifier(config), torch.randn(4, 12, 6)
        present = torch.ones(4, 12, dtype=torch.bool)
        present[:, [0, 5, 6, 11]] = False
        logits = model(x, present)
        for junk in (1e6, float("nan"), float("inf")):
            spoiled = x.clone()
            spoiled[:, ~present[0]] = junk
            torch.testing.assert_close(model(spoiled, present), logits, atol=0, rtol=0)
        if join != "nearest":  # there, the neighbours of fewer channels are others
            fewer = ChannelClassifier(config, [SEED[at] for at in np.flatnonzero(present[0])], width=6, n_classes=3)
            fewer.load_state_dict(model.state_dict())
            torch.testing.assert_close(fewer.eval()(x[:, present[0]]), logits, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(model(x), logits, atol=1e-4)

    def test_gradient_does_not_reach_absent_channels(self):
        model, x = classifier(), torch.randn(2, 12, 6, requires_grad=True)
        present = torch.ones(2, 12, dtype=torch.bool)
        present[0, :4] = False
        model(x, present).sum().backward()
        assert not x.grad[0, :4].any()
        assert x.grad[1].abs().sum(dim=-1).min() > 0

    def test_windows_of_different_montages_in_one_batch(self):
        model, x = classifier(), torch.randn(3, 12, 6)
        present = torch.rand(3, 12, generator=torch.manual_seed(1)) > 0.4
        together = model(x, present)
        alone = torch.cat([model(x[[row]], present[[row]]) for row in range(3)])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
        with pytest.raises(UsageProblem, match="without any channel"):
            model(x, torch.zeros(3, 12, dtype=torch.bool))

    @pytest.mark.parametrize("graph", KINDS)
    def test_permuted_channels_leave_the_answer(self, graph):
        config = replace(SMALL, graph=graph, adjacency="radius")
        model, x = classifier(config), torch.randn(2, 12, 6)
        order = np.random.default_rng(0).permutation(12)
        moved = ChannelClassifier(config, [SEED[at] for at in order], width=6, n_classes=3).eval()
        moved.load_state_dict(model.state_dict())
        torch.testing.assert_close(moved(x[:, order]), model(x), atol=1e-5, rtol=1e-4)
        if graph == "gat":
            read, read_moved = model.attention(x), moved.attention(x[:, order])
            torch.testing.assert_close(read_moved, read[..., order, :][..., order], atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("graph", KINDS)
    def test_gradient_everywhere(self, graph):
        model = classifier(replace(SMALL, graph=graph)).train()
        functional.cross_entropy(model(torch.randn(8, 12, 6)), torch.arange(8) % 3).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name

    def test_attention(self):
        model, x = classifier(), torch.randn(3, 12, 6)
        present = torch.ones(3, 12, dtype=torch.bool)
        present[:, 7] = False
        read = model.attention(x, present)
        assert read.shape == (2, 3, 2, 12, 12)
        rows = read.sum(-1)
        torch.testing.assert_close(rows[..., [0, 3, 11]], torch.ones(2, 3, 2, 3))
        assert not read[..., 7, :].any()
        assert not read[..., 7].any()
        with pytest.raises(UsageProblem, match="no attention over a graph"):
            classifier(replace(SMALL, graph="none")).attention(x)

    def test_size_of_the_paper(self):
        model = ChannelClassifier(GatConfig(), SEED, width=128, n_classes=3)
        layers = [sum(p.numel() for p in layer.parameters()) for layer in model.graph]
        assert layers == [256 * 256 + 2 * 4 * 64] * 2
        assert sum(p.numel() for p in model.entry.parameters()) == 128 * 256 + 256
        assert len(model.layers) == 2
        assert not model.layers[0].norm_first
