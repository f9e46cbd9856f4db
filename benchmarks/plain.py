"""mdJPT and EMOD as their equations read, from the library's own layers: the rivals of the quick formulations.

The weights are those of the network that they are made from, so a step has the same loss and the same gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from eegpipe.models.emod import Emod
from eegpipe.models.mdjpt import DepthwisePatches, DilatedSpace, Mdjpt, MllaBlock


def plain(model: nn.Module) -> nn.Module:
    """The same network, with the same weights, in plain layers; it takes the place of the one given."""
    if isinstance(model, Mdjpt):
        return PlainMdjpt(model)
    assert isinstance(model, Emod)
    model.time_branch.plain = model.frequency_branch.plain = True
    return model


class PlainMdjpt(Mdjpt):
    """mdJPT with Conv1d over patches, heads moved to the front, and one grouped Conv2d for each dilation. Recomputation
    works as in ours."""

    def __init__(self, model: Mdjpt) -> None:
        super().__init__(model.config, channels=model.space.in_features)
        self.recompute = model.recompute
        self.load_state_dict(model.state_dict())
        self.blocks = nn.ModuleList(_plain_block(block) for block in self.blocks)
        self.dilated = _Dilated(self.dilated)  # type: ignore[assignment]


def _plain_block(block: nn.Module) -> nn.Module:
    if isinstance(block, MllaBlock):
        for name in ("position_before", "entry_mix", "position_after"):
            setattr(block, name, _Depthwise(getattr(block, name)))
        block.attention = _Attention(block)  # type: ignore[method-assign]
    return block


class _Depthwise(nn.Module):
    def __init__(self, layer: DepthwisePatches) -> None:
        super().__init__()
        self.conv = nn.Conv1d(layer.in_channels, layer.in_channels, 3, padding=1, groups=layer.in_channels)
        self.conv.load_state_dict(layer.state_dict())

    def forward(self, x_RPH: Tensor) -> Tensor:
        return self.conv(x_RPH.transpose(1, 2)).transpose(1, 2)


class _Attention:
    """phi(q) [sum phi(k) v'] / (phi(q) . sum phi(k) + 1e-5) with (row, head, patch, width) tensors."""

    def __init__(self, block: MllaBlock) -> None:
        self._layers = block.query_key_value, block.attention_out
        self._heads = block.heads

    def __call__(self, u_RPH: Tensor) -> Tensor:
        query_key_value, out = self._layers
        heads: Sequence[Tensor] = [
            one.unflatten(-1, (self._heads, -1)).transpose(1, 2) for one in query_key_value(u_RPH).chunk(3, dim=-1)
        ]
        query, key, value = functional.elu(heads[0]) + 1, functional.elu(heads[1]) + 1, heads[2]
        weight = (query * key.sum(dim=2, keepdim=True)).sum(dim=-1, keepdim=True) + 1e-5
        mixed = query @ (key.transpose(-1, -2) @ value) / weight
        return out(mixed.transpose(1, 2).flatten(2))


class _Dilated(nn.Module):
    def __init__(self, layer: DilatedSpace) -> None:
        super().__init__()
        _, features, filters, channels, _ = layer.weight.shape
        self.convolutions = nn.ModuleList()
        for index, dilation in enumerate(layer.dilations):
            conv = nn.Conv2d(
                features,
                features * filters,
                (channels, 3),
                padding=(0, dilation),
                dilation=(1, dilation),
                groups=features,
            )
            with torch.no_grad():
                conv.weight.copy_(layer.weight[index].reshape(conv.weight.shape))
                conv.bias.copy_(layer.bias[index].flatten())  # type: ignore[union-attr]
            self.convolutions.append(conv)

    def forward(self, p_BFSP: Tensor) -> Tensor:
        return torch.cat([conv(p_BFSP).squeeze(2) for conv in self.convolutions], dim=1)
