"""The methods as their equations read, from the library's own layers: the rivals of the quick formulations.

The weights are those of the network that they are made from, so a step has the same loss and the same gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from eegpipe.models.art import AdaptiveTokens, Art, kernel_map, pooling
from eegpipe.models.emod import Emod
from eegpipe.models.mdjpt import DepthwisePatches, DilatedSpace, Mdjpt, MdjptOutput, MllaBlock
from eegpipe.models.mdjpt_transformer import positions


def plain(model: nn.Module) -> nn.Module:
    """The same network, with the same weights, in plain layers; it takes the place of the one given."""
    if isinstance(model, Mdjpt):
        return PlainMdjpt(model)
    if isinstance(model, Art):
        if isinstance(model.tokens, AdaptiveTokens):
            model.tokens = _Tokens(model.tokens)  # type: ignore[assignment]
        return model
    assert isinstance(model, Emod)
    model.time_branch.plain = model.frequency_branch.plain = True
    return model


class PlainMdjpt(Mdjpt):
    """mdJPT with all windows at once, the stratified norm as its single steps, Conv1d over patches, heads moved to the
    front, and one grouped Conv2d for each dilation. Recomputation works as in ours."""

    def __init__(self, model: Mdjpt) -> None:
        super().__init__(model.config, channels=model.space.in_features)
        self.recompute = model.recompute
        self.load_state_dict(model.state_dict())
        self.blocks = nn.ModuleList(_plain_block(block) for block in self.blocks)
        self.dilated = _Dilated(self.dilated)  # type: ignore[assignment]

    def forward(self, x_BCT: Tensor, *, groups: int = 2) -> MdjptOutput:
        latent_BFSP = self.project_space(_normed(self.embed(x_BCT), groups))
        encoded_BKP = self.convolve(_normed(latent_BFSP, groups))
        return MdjptOutput(latent_BFSP, encoded_BKP, self.project(encoded_BKP, groups))

    def _embed(self, x_BCT: Tensor) -> Tensor:
        h_BCPH = self.read_in(x_BCT.unfold(-1, self.config.patch_samples, self.config.patch_stride))
        h_RPH = h_BCPH.flatten(0, 1)
        if self.config.encoder == "transformer":
            h_RPH = h_RPH + positions(h_RPH.shape[1], h_RPH.shape[2], h_RPH)
        for block in self.blocks:
            h_RPH = block(h_RPH)
        return self.read_out(h_RPH).transpose(1, 2).unflatten(0, x_BCT.shape[:2])

    def project_space(self, h_BCFP: Tensor) -> Tensor:
        return functional.relu(self.space(h_BCFP.permute(0, 2, 3, 1))).transpose(2, 3)

    def attention_weights(self, e_BKP: Tensor) -> Tensor:
        reach = self.config.attention_patches
        a_BKP = functional.relu(self.attention_conv(functional.pad(e_BKP, (reach - 1, 0))))
        a_BKP = functional.avg_pool1d(functional.pad(a_BKP, (reach - 1, 0)), reach, stride=1)
        return torch.softmax(self.attention_mix(a_BKP), dim=1)

    def project(self, f_BKP: Tensor, groups: int) -> Tensor:
        x_BKP = _normed(functional.avg_pool1d(f_BKP, self.config.pool_patches), groups)
        for smoother in self.smoothers:
            x_BKP = functional.relu(smoother(x_BKP))
        return functional.normalize(_normed(x_BKP, groups).flatten(1), dim=1)


def _normed(x: Tensor, groups: int) -> Tensor:
    """The stratified norm of (B, ..., time)."""
    size = len(x) // groups
    grouped = x[: groups * size].unflatten(0, (groups, size))
    deviation, mean = torch.std_mean(grouped, dim=(1, -1), keepdim=True)
    normed = ((grouped - mean) / (deviation + 1e-3)).flatten(0, 1)
    return normed if len(normed) == len(x) else torch.cat([normed, x[len(normed) :]])


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


class _Tokens(nn.Module):
    """ART's tokenizer with one Conv1d after the other on (item, channel, time), all items of a batch together."""

    def __init__(self, tokens: AdaptiveTokens) -> None:
        super().__init__()
        self.convolutions, self.norms, self.out = tokens.convolutions, tokens.norms, tokens.out
        self.patches, self.reference_hz = tokens.patches, tokens.reference_hz
        self.seconds, self.strides = tokens.seconds, tokens.strides

    def forward(self, x_NT: Tensor, rate_hz: float) -> Tensor:
        strides = self.strides
        if self.seconds:
            strides = (max(int(rate_hz / self.reference_hz), 1), *[1] * (len(strides) - 1))
        h_NCT, ratio = x_NT.unsqueeze(1), rate_hz / self.reference_hz
        for convolution, norm, stride in zip(self.convolutions, self.norms, strides, strict=True):
            weight = convolution.weight
            assert isinstance(weight, Tensor)
            if self.seconds and ratio != 1.0:
                weight = weight @ torch.from_numpy(kernel_map(weight.shape[-1], ratio)).to(weight)
            bias = convolution.bias
            assert isinstance(bias, Tensor)
            h_NCT = functional.conv1d(h_NCT, weight, bias, stride=stride, padding=weight.shape[-1] // 2)
            h_NCT = functional.gelu(norm(h_NCT))
            ratio /= stride
        step = math.prod(strides) / x_NT.shape[-1] if self.seconds else 0.0
        bins_TP = torch.from_numpy(pooling(h_NCT.shape[-1], step, self.patches)).to(h_NCT)
        return self.out((h_NCT @ bins_TP).transpose(1, 2))
