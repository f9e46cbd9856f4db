"""EMOD's two branches: convolution at full rate, GroupNorm, GELU, pooling to a few tokens a second.

The convolution's 128 maps at full rate are the cost of the method: 70 MB for one window of 62 channels and 10 s at
200 Hz, written and read again by each of the four steps. Here they never exist as a whole. The statistics of the
GroupNorm follow from the autocorrelation of the input, the norm then folds into the weights of the convolution, and
convolution, GELU and pooling go through small stretches that stay in the cache. The same numbers but for rounding.

Shapes: B windows, C channels, T samples (or frequency bins), K taps of the convolution, F maps, G groups, M tokens, S
neighbouring positions that one row of the product makes, L positions of the longest token (up to a multiple of S),
R = C x M tokens of a window, X = L + K - 1 samples that a token's convolution reads, I = S + K numbers in a row: the
samples under S positions, and a one for the shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Numbers of the full-rate maps that exist at the same time: fits the cache of a core, or keeps a GPU busy. Changes no
# value but the rounding of gradients.
NUMBERS_AT_ONCE_CPU = 262_144
NUMBERS_AT_ONCE_GPU = 67_108_864
# Outputs of one row of the product: with fewer, a product of so few taps runs at a fraction of the machine's speed.
_LEAST_OUTPUTS = 64


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
        pooled_BRF = _ConvolveGeluPool.apply(x_BCT, weight_BKF, shift_BF, tokens)
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
    tap k with tap j, both over channels and T positions, in double precision.

    From one pair of taps to the next on its diagonal, one product leaves the sum and one enters. So only the first tap
    with all others goes over the whole signal.
    """
    samples = x_BCT.shape[-1]
    p_BCU = functional.pad(x_BCT.double(), (kernel // 2, kernel // 2))
    leaves_BCK, enters_BCK = p_BCU[..., :kernel], p_BCU[..., samples - 1 :]
    enters_BCK = torch.cat([enters_BCK[..., 1:], enters_BCK.new_zeros(*x_BCT.shape[:2], 1)], dim=-1)
    sums_BK = _summed(p_BCU[..., :samples].sum(dim=(1, 2)).unsqueeze(1), (enters_BCK - leaves_BCK).sum(dim=1))
    step_BKK = enters_BCK.transpose(1, 2) @ enters_BCK - leaves_BCK.transpose(1, 2) @ leaves_BCK
    tap = torch.arange(kernel, device=x_BCT.device)
    # (i, lag): the pair of the taps i and i + lag; what lies outside of the table is never read.
    along_BKK = step_BKK[:, tap[:, None], (tap[:, None] + tap).clamp_max(kernel - 1)]
    products_BKK = _summed(_first_tap(p_BCU, samples, kernel).unsqueeze(1), along_BKK)
    return sums_BK, products_BKK[:, torch.minimum(tap[:, None], tap), (tap[:, None] - tap).abs()]


def _summed(first: Tensor, steps: Tensor) -> Tensor:
    """The sums that begin at ``first`` (B, 1, ...) and change by ``steps`` (B, K, ...); the last step is not taken."""
    return torch.cat([first, steps[:, :-1]], dim=1).cumsum(dim=1)


def _first_tap(p_BCU: Tensor, samples: int, kernel: int) -> Tensor:
    """sum over channels and ``samples`` positions of p[t] p[t + lag] for each lag below K, (B, K).

    As a product of stretches with longer ones that begin where they do, whose diagonals are the lags.
    """
    length = 32
    stretches = -(-samples // length)
    short_BCV = functional.pad(p_BCU[..., :samples], (0, stretches * length - samples))
    long_BCV = functional.pad(p_BCU, (0, stretches * length + kernel - 1 - p_BCU.shape[-1]))
    short_BNI = short_BCV.unflatten(-1, (stretches, length)).flatten(1, 2)
    long_BNJ = long_BCV.unfold(-1, length + kernel - 1, length).flatten(1, 2)
    table_BIJ = short_BNI.transpose(1, 2) @ long_BNJ
    here = torch.arange(length, device=p_BCU.device)
    lag = torch.arange(kernel, device=p_BCU.device)
    return table_BIJ[:, here[:, None], here[:, None] + lag].sum(dim=1)


class Layout(NamedTuple):
    """Where tokens lie in a signal. Tokens are those of adaptive pooling: from floor(m T / M) to ceil((m + 1) T / M).

    together : S
    reads : (M, X), the samples that a token's convolution reads, positions in the signal with kernel // 2 zeros before
        it and kernel // 2 + 1 after it
    shares : (M, L), the share of each position in the token's mean: 1 / length, 0 after the token's end
    """

    together: int
    reads: Tensor
    shares: Tensor


def layout(x_BCT: Tensor, tokens: int, kernel: int, maps: int) -> Layout:
    """The layout of ``tokens`` tokens in a signal for a convolution to ``maps`` maps."""
    samples = x_BCT.shape[-1]
    number = torch.arange(tokens, device=x_BCT.device)
    start_M = number * samples // tokens
    length_M = -(-(number + 1) * samples // tokens) - start_M
    longest = -(-samples // tokens) + (1 if samples % tokens else 0)
    together = min(max(1, _LEAST_OUTPUTS // maps), longest)
    longest = -(-longest // together) * together
    position_L = torch.arange(longest, device=x_BCT.device)
    share_ML = (position_L < length_M[:, None]).to(x_BCT.dtype) / length_M[:, None]
    read_X = torch.arange(longest + kernel - 1, device=x_BCT.device)
    # Where a token is shorter than the longest, the last reads may lie behind the end; their share is 0.
    read_MX = (start_M[:, None] + read_X).clamp_max(samples + 2 * (kernel // 2))
    return Layout(together, read_MX, share_ML)


class _ConvolveGeluPool(torch.autograd.Function):
    """Mean over each token of GELU(convolution of x with weight + shift), part by part, forwards and again backwards.

    x (B, C, T), weight (B, K, F), shift (B, F) -> (B, R, F). No gradient for x.
    """

    @staticmethod
    def forward(ctx: Any, x_BCT: Tensor, weight_BKF: Tensor, shift_BF: Tensor, tokens: int) -> Tensor:
        ctx.save_for_backward(x_BCT, weight_BKF, shift_BF)
        ctx.tokens = tokens
        kernel, maps = weight_BKF.shape[1:]
        where = layout(x_BCT, tokens, kernel, maps)
        precision = _precision(x_BCT)
        rows_BIO = _as_rows(weight_BKF, shift_BF, where.together).to(precision)
        pooled_BRF = x_BCT.new_empty(len(x_BCT), x_BCT.shape[1] * tokens, maps)
        for windows, part, patches_bnI, share_rL1 in _parts(x_BCT.to(precision), where, kernel, maps):
            full = torch.ops.aten.gelu_(torch.bmm(patches_bnI, rows_BIO[windows]))
            full_brLF = full.view(len(full), -1, share_rL1.shape[1], maps)
            # A sum rather than a product with the shares, which rounds more.
            pooled_BRF[windows, part] = full_brLF.mul_(share_rL1).sum(dim=2, dtype=x_BCT.dtype)
        return pooled_BRF

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x_BCT, weight_BKF, shift_BF = ctx.saved_tensors
        (gradient_BRF,) = gradients
        kernel, maps = weight_BKF.shape[1:]
        where = layout(x_BCT, ctx.tokens, kernel, maps)
        rows_BIO = _as_rows(weight_BKF, shift_BF, where.together)
        of_rows_BIO = torch.zeros_like(rows_BIO)
        for windows, part, patches_bnI, share_rL1 in _parts(x_BCT, where, kernel, maps):
            before_gelu = torch.bmm(patches_bnI, rows_BIO[windows])
            of_full = (gradient_BRF[windows, part].unsqueeze(2) * share_rL1).view_as(before_gelu)
            torch.ops.aten.gelu_backward.grad_input(of_full, before_gelu, grad_input=of_full)
            of_rows_BIO[windows].baddbmm_(patches_bnI.transpose(1, 2), of_full)
        of_rows_BISF = of_rows_BIO.unflatten(2, (where.together, maps))
        of_weight = sum(of_rows_BISF[:, s : s + kernel, s] for s in range(where.together))
        assert isinstance(of_weight, Tensor)
        return None, of_weight, of_rows_BISF[:, -1].sum(dim=1), None


def _precision(x: Tensor) -> torch.dtype:
    """That of products here: autocast does not see inside of what is computed in place."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _as_rows(weight_BKF: Tensor, shift_BF: Tensor, together: int) -> Tensor:
    """The convolution as a product: (B, I, S x F), the weights once for each of S positions, each a sample further."""
    windows, kernel, maps = weight_BKF.shape
    rows_BISF = weight_BKF.new_zeros(windows, together + kernel, together, maps)
    for s in range(together):
        rows_BISF[:, s : s + kernel, s] = weight_BKF
    rows_BISF[:, -1] = shift_BF.unsqueeze(1)
    return rows_BISF.flatten(2)


def _parts(x_BCT: Tensor, where: Layout, kernel: int, maps: int) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Slices of windows and of their R tokens, with the patches (b, r x L / S, I) and the shares (r, L, 1) of each.

    The patches are in one place for all parts: they are gone with the next part.
    """
    windows, channels, _ = x_BCT.shape
    tokens, longest = where.shares.shape
    most = NUMBERS_AT_ONCE_CPU if x_BCT.device.type == "cpu" else NUMBERS_AT_ONCE_GPU
    rows = channels * tokens
    at_once = min(max(1, most // (longest * maps)), rows)
    windows_at_once = min(max(1, most // (rows * longest * maps)), windows)
    share_RL1 = where.shares.to(x_BCT.dtype).repeat(channels, 1).unsqueeze(2)
    span = where.together + kernel
    place = x_BCT.new_ones(windows_at_once * at_once * (longest // where.together) * span)
    for first in range(0, windows, windows_at_once):
        chosen = slice(first, min(first + windows_at_once, windows))
        padded_bCU = functional.pad(x_BCT[chosen], (kernel // 2, kernel // 2 + 1))
        read_bRX = padded_bCU[..., where.reads].flatten(1, 2)
        for start in range(0, rows, at_once):
            part = slice(start, min(start + at_once, rows))
            samples = read_bRX[:, part].unfold(-1, span - 1, where.together)
            patches = place[: samples[..., 0].numel() * span].view(*samples.shape[:3], span)
            patches[..., :-1] = samples
            yield chosen, part, patches.flatten(1, 2), share_RL1[part]
