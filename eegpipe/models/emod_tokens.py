"""EMOD's two branches: convolution at full rate, GroupNorm, GELU, pooling to a few tokens a second.

The convolution's 128 maps at full rate are the cost of the method: 70 MB for one window of 62 channels and 10 s at
200 Hz, written and read again by each of the four steps. Here they never exist as a whole. The statistics of the
GroupNorm follow from the autocorrelation of the input, the norm then folds into the weights of the convolution, and
convolution, GELU and pooling go through small stretches that stay in the cache. The same numbers but for rounding.

Shapes: B windows, C channels, T samples (or frequency bins), K taps of the convolution, F maps, G groups, M tokens, L
samples of the longest token, R = C x M tokens of a window, X = L + K - 1 samples that a token's convolution reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Positions whose maps exist at the same time: fits the cache of a core, or keeps a GPU busy. Changes no value but the
# rounding of gradients.
POSITIONS_AT_ONCE_CPU = 4_096
POSITIONS_AT_ONCE_GPU = 524_288


class TokenBranch(nn.Module):
    """(B, C, T) -> (B, C, M, F): convolution 1 -> F along T, GroupNorm over (maps of a group, C, T), exact GELU,
    adaptive average pooling of T to M tokens.

    ``plain``: compute it step by step; for tests and comparisons. Inputs that need a gradient always go this way.
    """

    def __init__(self, maps: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.plain = False
        self.conv = nn.Conv2d(1, maps, (1, kernel), padding=(0, kernel // 2))
        self.norm = nn.GroupNorm(groups, maps)

    def forward(self, x_BCT: Tensor, tokens: int) -> Tensor:
        if self.plain or x_BCT.requires_grad:
            pooled_BFCM = functional.adaptive_avg_pool2d(self.full_rate(x_BCT), (x_BCT.shape[1], tokens))
            return pooled_BFCM.permute(0, 2, 3, 1)
        weight_BKF, shift_BF = self.normed_weights(x_BCT)
        stretches_BRX, share_ML = token_stretches(x_BCT, tokens, self.conv.kernel_size[1])
        pooled_BRF = _ConvolveGeluPool.apply(stretches_BRX, weight_BKF, shift_BF, share_ML)
        return pooled_BRF.unflatten(1, (x_BCT.shape[1], tokens))

    def full_rate(self, x_BCT: Tensor) -> Tensor:
        """Convolution, norm and GELU before the pooling, (B, F, C, T)."""
        return functional.gelu(self.norm(self.conv(x_BCT.unsqueeze(1))))

    def normed_weights(self, x_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (B, K, F) and shift (B, F) of the convolution with each window's GroupNorm folded in.

        Mean and mean square of a map over channels and time are a linear and a quadratic form of its taps. In double
        precision, because the variance is their difference.
        """
        kernel, groups = self.conv.kernel_size[1], self.norm.num_groups
        sums_BK, products_BKK = lag_products(x_BCT, kernel)
        count = x_BCT.shape[1] * x_BCT.shape[2]
        taps_FK = self.conv.weight.flatten(1).double()
        assert self.conv.bias is not None
        bias_F = self.conv.bias.double()
        linear_BF = sums_BK @ taps_FK.T / count
        quadratic_BF = torch.einsum("fk,bkj,fj->bf", taps_FK, products_BKK, taps_FK) / count
        mean_BG = (linear_BF + bias_F).unflatten(1, (groups, -1)).mean(dim=2)
        square_BG = (quadratic_BF + bias_F * (2 * linear_BF + bias_F)).unflatten(1, (groups, -1)).mean(dim=2)
        deviation_BG = ((square_BG - mean_BG**2).clamp_min(0) + self.norm.eps).sqrt()
        maps = len(taps_FK) // groups
        scale_BF = self.norm.weight.double() / deviation_BG.repeat_interleave(maps, dim=1)
        shift_BF = self.norm.bias.double() + (bias_F - mean_BG.repeat_interleave(maps, dim=1)) * scale_BF
        return (taps_FK.T * scale_BF.unsqueeze(1)).to(x_BCT.dtype), shift_BF.to(x_BCT.dtype)


def lag_products(x_BCT: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """What K neighbouring samples sum to over all positions, with zeros outside: sums (B, K) and products (B, K, K) of
    tap k with tap j, both over channels and T positions, in double precision."""
    x_BCT = x_BCT.double()
    samples = x_BCT.shape[-1]
    padded_BCU = functional.pad(x_BCT, (kernel // 2, kernel // 2))
    sums_BK = padded_BCU.unfold(-1, samples, 1).sum(dim=(1, 3))
    # Over all shifts, also those that hang over the ends, the products depend on the lag only: the autocorrelation.
    spectrum_BCf = torch.fft.rfft(x_BCT, n=samples + kernel)
    power_Bf = (spectrum_BCf.real**2 + spectrum_BCf.imag**2).sum(dim=1)
    lags_BK = torch.fft.irfft(power_Bf, n=samples + kernel)[:, :kernel]
    tap = torch.arange(kernel, device=x_BCT.device)
    products_BKK = lags_BK[:, (tap[:, None] - tap).abs()]
    # Take off the shifts that begin before the first or end after the last position of the convolution.
    before = functional.pad(padded_BCU[..., : kernel - 1], (kernel - 1, 0))
    after = functional.pad(padded_BCU[..., samples:], (0, kernel - 1))
    edges_BEK = torch.cat([side.unfold(-1, kernel, 1).flatten(1, 2) for side in (before, after)], dim=1)
    return sums_BK, products_BKK - edges_BEK.transpose(1, 2) @ edges_BEK


def token_stretches(x_BCT: Tensor, tokens: int, kernel: int) -> tuple[Tensor, Tensor]:
    """What the convolution reads for each token, (B, R, X), and the share of each position in the token's mean, (M, L):
    1 / length, 0 after a token's end. Tokens are those of adaptive pooling: from floor(m T / M) to ceil((m + 1) T / M).
    """
    samples = x_BCT.shape[-1]
    number = torch.arange(tokens, device=x_BCT.device)
    start_M = number * samples // tokens
    length_M = -(-(number + 1) * samples // tokens) - start_M
    longest = -(-samples // tokens) + (1 if samples % tokens else 0)
    position_L = torch.arange(longest, device=x_BCT.device)
    share_ML = (position_L < length_M[:, None]).to(x_BCT.dtype) / length_M[:, None]
    read_X = torch.arange(longest + kernel - 1, device=x_BCT.device)
    # Where a token is shorter than the longest, the last reads may lie behind the end; their share is 0.
    padded_BCU = functional.pad(x_BCT, (kernel // 2, kernel // 2 + 1))
    read_MX = (start_M[:, None] + read_X).clamp_max(padded_BCU.shape[-1] - 1)
    return padded_BCU[..., read_MX].flatten(1, 2), share_ML


class _ConvolveGeluPool(torch.autograd.Function):
    """sum over L of share x GELU(stretch * weight + shift), stretch after stretch, forwards and again backwards.

    stretches (B, R, X), weight (B, K, F), shift (B, F), share (M, L) -> (B, R, F). No gradient for stretches and share.
    """

    @staticmethod
    def forward(ctx: Any, stretches_BRX: Tensor, weight_BKF: Tensor, shift_BF: Tensor, share_ML: Tensor) -> Tensor:
        ctx.save_for_backward(stretches_BRX, weight_BKF, shift_BF, share_ML)
        windows, rows, _ = stretches_BRX.shape
        pooled_BRF = stretches_BRX.new_empty(windows, rows, weight_BKF.shape[2])
        for part, patches, share in _parts(stretches_BRX, weight_BKF, share_ML):
            maps = functional.gelu(torch.baddbmm(shift_BF.unsqueeze(1), patches, weight_BKF))
            maps_BrLF = maps.unflatten(1, share.shape)
            pooled_BRF[:, part] = (maps_BrLF * share.unsqueeze(-1)).sum(dim=2)
        return pooled_BRF

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        stretches_BRX, weight_BKF, shift_BF, share_ML = ctx.saved_tensors
        (gradient_BRF,) = gradients
        of_weight, of_shift = torch.zeros_like(weight_BKF), torch.zeros_like(shift_BF)
        for part, patches, share in _parts(stretches_BRX, weight_BKF, share_ML):
            before_gelu = torch.baddbmm(shift_BF.unsqueeze(1), patches, weight_BKF)
            of_maps = (gradient_BRF[:, part].unsqueeze(2) * share.unsqueeze(-1)).flatten(1, 2)
            of_maps = torch.ops.aten.gelu_backward(of_maps, before_gelu)
            of_weight.baddbmm_(patches.transpose(1, 2), of_maps)
            of_shift += of_maps.sum(dim=1)
        return None, of_weight, of_shift, None


def _parts(stretches_BRX: Tensor, weight_BKF: Tensor, share_ML: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Slices of R with their patches (B, r x L, K) and shares (r, L)."""
    windows, rows, _ = stretches_BRX.shape
    tokens, longest = share_ML.shape
    most = POSITIONS_AT_ONCE_CPU if stretches_BRX.device.type == "cpu" else POSITIONS_AT_ONCE_GPU
    at_once = max(1, most // (windows * longest))
    row = torch.arange(rows, device=share_ML.device) % tokens
    for start in range(0, rows, at_once):
        part = slice(start, min(start + at_once, rows))
        patches = stretches_BRX[:, part].unfold(-1, weight_BKF.shape[1], 1).flatten(1, 2)
        yield part, patches, share_ML[row[part]]
