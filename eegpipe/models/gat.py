"""The classifier of "One Model for All" (arXiv 2511.08444): attention over a graph of channels, then a transformer.

Takes one feature vector of each channel, in any number of channels, some of which may be absent. What an absent channel
holds, be it NaN, has no influence.

Shapes: B windows, C channels (nodes), D features of a channel, H hidden (256), A heads (4), K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eegpipe.channels import position
from eegpipe.errors import UsageProblem
from eegpipe.models.art_settings import GatConfig

__all__ = ["ChannelClassifier", "Connectivity", "GatConfig", "adjacency"]


class Connectivity(NamedTuple):
    """How much each channel attends to each other one, for a picture.

    names : (channel,) of the channel schema
    weights : (layer, head, channel, channel) float64; the row is the channel that attends, and sums to 1
    """

    names: tuple[str, ...]
    weights: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(channel, channel), over layers and heads."""
        return self.weights.mean(axis=(0, 1))


def adjacency(names: Sequence[str], config: GatConfig) -> np.ndarray:
    """Which channels are joined, (channel, channel) bool, symmetric.

    Distances are straight lines between template positions (:mod:`eegpipe.channels`); of equally near channels the one
    that stands first is the nearer.
    """
    count = len(names)
    joined = np.ones((count, count), dtype=bool)
    if config.adjacency != "full":
        place = np.array([position(name) for name in names])
        distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        if config.adjacency == "radius":
            joined = distance <= config.radius_m
        else:
            joined = np.zeros_like(joined)
            nearest = np.argsort(distance, axis=1, kind="stable")[:, : min(config.neighbours, count - 1)]
            np.put_along_axis(joined, nearest, True, axis=1)
            joined |= joined.T
    np.fill_diagonal(joined, config.self_loops)
    return joined


class GraphAttention(nn.Module):
    """e_ij = LeakyReLU(a [W h_i, W h_j]), softmax over the neighbours j of i, sum of W h_j; heads side by side."""

    def __init__(self, inputs: int, config: GatConfig) -> None:
        super().__init__()
        self.heads, self.slope, self.dropout = config.graph_heads, config.slope, config.graph_dropout
        width = config.hidden // config.graph_heads
        self.linear = nn.Linear(inputs, config.hidden, bias=False)
        self.of_self = nn.Parameter(torch.empty(self.heads, width))
        self.of_other = nn.Parameter(torch.empty(self.heads, width))
        nn.init.xavier_uniform_(self.linear.weight)
        bound = math.sqrt(6 / (2 * width + 1))  # Glorot's, for a vector of two widths and one output
        nn.init.uniform_(self.of_self, -bound, bound)
        nn.init.uniform_(self.of_other, -bound, bound)

    def forward(self, h_BCD: Tensor, joined_BCC: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the new nodes (B, C, H) before the activation, and the attention (B, A, C, C)."""
        w_BACW = self.linear(h_BCD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        score_BAC = (w_BACW * self.of_self.unsqueeze(1)).sum(-1)
        other_BAC = (w_BACW * self.of_other.unsqueeze(1)).sum(-1)
        score_BACC = functional.leaky_relu(score_BAC.unsqueeze(-1) + other_BAC.unsqueeze(-2), self.slope)
        attention_BACC = score_BACC.masked_fill(~joined_BCC.unsqueeze(1), -torch.inf).softmax(dim=-1)
        dropped_BACC = functional.dropout(attention_BACC, self.dropout, self.training)
        return (dropped_BACC @ w_BACW).transpose(1, 2).flatten(2), attention_BACC


class GraphConvolution(nn.Module):
    """Sum over neighbours of W h_j / sqrt(degree_i degree_j): the ablation."""

    def __init__(self, inputs: int, config: GatConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, config.hidden)

    def forward(self, h_BCD: Tensor, joined_BCC: Tensor) -> tuple[Tensor, Tensor]:
        weight_BCC = joined_BCC.to(h_BCD.dtype)
        scale_BC = weight_BCC.sum(-1).rsqrt()
        weight_BCC = weight_BCC * scale_BC.unsqueeze(-1) * scale_BC.unsqueeze(-2)
        return self.linear(weight_BCC @ h_BCD), weight_BCC.unsqueeze(1)


class ChannelClassifier(nn.Module):
    """Linear, graph layers, transformer over channels, mean over channels, dropout, linear.

    Parameters
    ----------
    config : GatConfig
    names : sequence of str
        The nodes: canonical channel names.
    width : int
        Features of a channel.
    n_classes : int
    """

    joined: Tensor

    def __init__(self, config: GatConfig, names: Sequence[str], *, width: int, n_classes: int) -> None:
        super().__init__()
        self.config, self.names = config, tuple(names)
        self.register_buffer("joined", torch.from_numpy(adjacency(names, config)), persistent=False)
        self.entry = nn.Linear(width, config.hidden)
        kind = {"gat": GraphAttention, "gcn": GraphConvolution}.get(config.graph)
        self.graph = nn.ModuleList(kind(config.hidden, config) for _ in range(config.graph_layers) if kind)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden, config.heads, config.ffn, config.transformer_dropout, batch_first=True
            )
            for _ in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.exit = nn.Linear(config.hidden, n_classes)

    def forward(self, features_BCD: Tensor, present_BC: Tensor | None = None) -> Tensor:
        """Logits, (B, K).

        Parameters
        ----------
        features_BCD : Tensor
            Channels in the order of ``names``.
        present_BC : Tensor of bool or None
            Which channels a window has, at least one; None: all.
        """
        h_BCH, present_BC, _ = self._through_graph(features_BCD, present_BC)
        absent_BC = None if bool(present_BC.all()) else ~present_BC
        for layer in self.layers:
            h_BCH = layer(h_BCH, src_key_padding_mask=absent_BC)
        weight_BC = present_BC.to(h_BCH.dtype) / present_BC.sum(dim=1, keepdim=True)
        return self.exit(self.dropout((h_BCH * weight_BC.unsqueeze(-1)).sum(dim=1)))

    def attention(self, features_BCD: Tensor, present_BC: Tensor | None = None) -> Tensor:
        """(layer, B, head, C, C): row i says what channel i takes from each channel.

        Rows and columns of absent channels are 0. For "gcn" the fixed weights, as one head; refused for "none".
        """
        if not self.graph:
            raise UsageProblem("gat: without graph layers there is no attention over a graph to read.")
        _, present_BC, read = self._through_graph(features_BCD, present_BC)
        both_BCC = present_BC.unsqueeze(1) & present_BC.unsqueeze(2)
        return torch.stack(read) * both_BCC.unsqueeze(1)

    def _through_graph(self, features_BCD: Tensor, present_BC: Tensor | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        count = features_BCD.shape[1]
        if count != len(self.names):
            raise UsageProblem(f"gat: features of {count} channels, the classifier has {len(self.names)}.")
        if present_BC is None:
            present_BC = torch.ones(features_BCD.shape[:2], dtype=torch.bool, device=features_BCD.device)
        elif not bool(present_BC.any(dim=1).all()):
            raise UsageProblem("gat: a window without any channel cannot be classified.")
        # Filled before any product: 0 x NaN would be NaN.
        h_BCH = self.entry(features_BCD.masked_fill(~present_BC.unsqueeze(-1), 0.0))
        joined_BCC = self.joined & present_BC.unsqueeze(1) & present_BC.unsqueeze(2)
        # A channel whose neighbours are all absent, and an absent one, keeps to itself.
        alone_BC = ~joined_BCC.any(dim=-1)
        joined_BCC = joined_BCC | torch.diag_embed(alone_BC)
        read = []
        for layer in self.graph:
            new_BCH, attention_BACC = layer(h_BCH, joined_BCC)
            h_BCH = functional.elu(new_BCH) + h_BCH if self.config.residual else functional.elu(new_BCH)
            read.append(attention_BACC)
        return h_BCH, present_BC, read
