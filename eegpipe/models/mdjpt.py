"""mdJPT: multi-data-set joint pre-training (arXiv 2510.22197), the network.

60 channels are embedded one by one by linear-attention (MLLA) blocks over patches of time, then mixed by a spatial
projector and dilated convolutions. Two variants: ``described`` is the paper, ``released`` what the public code
computes; they differ in the switches of :class:`MdjptConfig` and nowhere else. ``encoder: transformer`` puts softmax
attention in the place of the MLLA blocks (the paper's ablation).

Shapes: B windows, C channels (60), T samples (625), R = B x C rows, P patches (99), L samples of a patch (32), H hidden
(128), F feature maps (32), N dilations (4), W filters (4), S latent channels (64), K = F x N x W encoder maps (512), D
embedding (1024). Numbers are the paper's, for 5 s at 125 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from eegpipe import losses
from eegpipe.ahead import Prepared
from eegpipe.embedded import Embedded, pairs_of
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.models.mdjpt_transformer import positions, transformer_block
from eegpipe.models.montage import MONTAGE, MontageWindows
from eegpipe.models.settings import MdjptConfig
from eegpipe.precision import in_float32
from eegpipe.samplers import PairSampler

__all__ = ["Mdjpt", "MdjptConfig", "MdjptObjective", "MdjptOutput", "extract_features", "stratified_norm"]

# Windows of one group at feature extraction: bounds memory (about 0.8 MB a window at the paper's size).
MOST_WINDOWS_OF_GROUP = 512
# Windows that pass the blocks at once at feature extraction and where activations are recomputed: bounds memory (about
# 0.13 GB of activations a window at the paper's size), changes nothing else.
WINDOWS_AT_ONCE = 16
# Size of the tensors inside of the blocks on a CPU: what one operation writes is still in the cache for the next.
NUMBERS_AT_ONCE_CPU = 786_432


@in_float32
def stratified_norm(x: Tensor, groups: int) -> Tensor:
    """z-score every (map, channel) over the windows of a group and all times.

    Parameters
    ----------
    x : Tensor, (B, map, channel, time)
        ``groups`` stretches of ``B // groups`` windows each, one subject after the other. Windows left over at the end
        pass unchanged, as in the public code.

    Returns
    -------
    Tensor, same shape
        (x - mean) / (standard deviation with divisor count - 1, plus 0.001).
    """
    size = len(x) // groups
    normed = _ScoreOverGroups.apply(x[: groups * size].unflatten(0, (groups, size))).flatten(0, 1)
    return normed if len(normed) == len(x) else torch.cat([normed, x[len(normed) :]])


class _ScoreOverGroups(torch.autograd.Function):
    """(x - mean) / (deviation + 0.001) over the axes 1 and 4 of (group, window, map, channel, time).

    By hand because it passes over the large tensors half as often as the gradient of the single steps.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        axes = (1, 4)
        normed = x - x.mean(dim=axes, keepdim=True)
        count = x.shape[1] * x.shape[4]
        deviation = normed.square().sum(dim=axes, keepdim=True).div_(count - 1).sqrt_()
        # Multiplying by the small reciprocal is cheaper than dividing the large tensor.
        inverse = (deviation + 1e-3).reciprocal()
        normed.mul_(inverse)
        ctx.save_for_backward(normed, deviation, inverse)
        return normed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        normed, deviation, inverse = ctx.saved_tensors
        (gradient,) = gradients
        axes, count = (1, 4), normed.shape[1] * normed.shape[4]
        along = (gradient * normed).sum(dim=axes, keepdim=True)
        # A map that a ReLU has silenced has no deviation; it gets no gradient from there instead of NaN.
        pull = torch.where(deviation > 0, along / (deviation * (count - 1)), 0.0)
        of_x = gradient - gradient.mean(dim=axes, keepdim=True)
        return of_x.mul_(inverse).addcmul_(normed, pull, value=-1)


class _Positive(torch.autograd.Function):
    """ELU(x) + 1. Its derivative is the smaller of itself and 1: no second exponential."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = functional.elu(x).add_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return y.clamp_max(1).mul_(gradients[0])


# Columns that heads pass together: wide enough for a CPU's kernels, narrow enough that what the heads do not share (and
# what is computed for nothing) stays little.
COLUMNS_TOGETHER = 32


def linear_attention(qk_RPX: Tensor, v_RPH: Tensor, heads: int) -> Tensor:
    """phi(q) [sum phi(k) v'] / (phi(q) . sum phi(k) + 1e-5) for every head, phi(t) = ELU(t) + 1.

    Queries and keys side by side, (R, P, 2 H), values (R, P, H) -> (R, P, H).
    """
    hidden = v_RPH.shape[-1]
    width = hidden // heads
    together = math.gcd(heads, max(1, COLUMNS_TOGETHER // width)) * width
    q_RPH, k_RPH = _Positive.apply(qk_RPX).split(hidden, dim=-1)
    # Products of slices: two to three times faster on a CPU than moving the heads to the front.
    slices = zip(*(one.split(together, dim=-1) for one in (q_RPH, k_RPH, v_RPH)), strict=True)
    return torch.cat([_Attend.apply(*one, width) for one in slices], dim=-1)


class _Attend(torch.autograd.Function):
    """q [sum k v'] / (q . sum k + 1e-5) for neighbouring heads of ``width`` columns, all (R, P, X) -> (R, P, X).

    The sums of a head, and the sum of its keys in as many columns, stand side by side in one matrix (R, X, 2 X), which
    is zero between different heads. One product with the queries then gives numerators and denominators alike.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, width: int) -> Tensor:
        head = torch.arange(q.shape[-1], device=q.device) // width
        own = (head[:, None] == head).to(q.dtype)
        mixing = torch.cat([torch.bmm(k.transpose(1, 2), v) * own, k.sum(dim=1).unsqueeze(2) * own], dim=2)
        above, below = torch.bmm(q, mixing).chunk(2, dim=2)
        below = below + 1e-5
        mixed = above / below
        ctx.save_for_backward(q, k, v, own, mixing, below, mixed)
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, own, mixing, below, mixed = ctx.saved_tensors
        of_above = gradients[0] / below
        of_both = torch.cat([of_above, (of_above * mixed).neg_()], dim=2)
        of_sums, of_total = torch.bmm(q.transpose(1, 2), of_both).chunk(2, dim=2)
        of_sums, of_total = of_sums * own, (of_total * own).sum(dim=2)
        of_q = torch.bmm(of_both, mixing.transpose(1, 2))
        of_k = torch.bmm(v, of_sums.transpose(1, 2)).add_(of_total.unsqueeze(1))
        return of_q, of_k, torch.bmm(k, of_sums), None


class DepthwisePatches(nn.Conv1d):
    """Depth-wise convolution of three patches, zero padding, on (R, P, H)."""

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden, hidden, 3, padding=1, groups=hidden)

    def forward(self, x_RPH: Tensor) -> Tensor:
        # As a 2-d convolution of a transposed view torch takes its channels-last kernel, seven times faster on a CPU.
        x_RH1P = x_RPH.transpose(1, 2).unsqueeze(2)
        y_RH1P = functional.conv2d(x_RH1P, self.weight.unsqueeze(2), self.bias, padding=(0, 1), groups=self.groups)
        return y_RH1P.squeeze(2).transpose(1, 2)


class MllaBlock(nn.Module):
    """Gated linear attention over the patches of one channel. No rotary or other position code but the convolutions."""

    def __init__(self, config: MdjptConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads = config.heads
        self.whole = config.block_output == "after ffn"
        self.position_before = DepthwisePatches(hidden)
        self.norm = nn.LayerNorm(hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.entry = nn.Linear(hidden, hidden)
        self.entry_mix = DepthwisePatches(hidden)
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.attention_out = nn.Linear(hidden, hidden)
        self.exit = nn.Linear(hidden, hidden)
        self.position_after = DepthwisePatches(hidden)
        self.ffn_norm = nn.LayerNorm(hidden) if config.norm_before_ffn or config.idle_parameters else None
        self.norm_before_ffn = config.norm_before_ffn
        self.ffn = nn.Sequential(nn.Linear(hidden, config.ffn), nn.GELU(), nn.Linear(config.ffn, hidden))

    def forward(self, x_RPH: Tensor) -> Tensor:
        x_RPH = x_RPH + self.position_before(x_RPH)
        normed_RPH = self.norm(x_RPH)
        entry_RPH = functional.silu(self.entry_mix(self.entry(normed_RPH)))
        if not self.whole:
            return entry_RPH
        gate_RPH = functional.silu(self.gate(normed_RPH))
        x_RPH = x_RPH + self.exit(self.attention(entry_RPH) * gate_RPH)
        x_RPH = x_RPH + self.position_after(x_RPH)
        return x_RPH + self.ffn(self.ffn_norm(x_RPH) if self.norm_before_ffn and self.ffn_norm else x_RPH)

    def attention(self, u_RPH: Tensor) -> Tensor:
        """Multi-head linear attention with its output projection, (R, P, H) -> (R, P, H)."""
        hidden = u_RPH.shape[-1]
        # Two products: what follows is much faster on tensors without gaps.
        weights, biases = (one.split([2 * hidden, hidden]) for one in self.query_key_value.parameters())
        qk_RPX, v_RPH = (functional.linear(u_RPH, *one) for one in zip(weights, biases, strict=True))
        return self.attention_out(linear_attention(qk_RPX, v_RPH, self.heads))


class DilatedSpace(nn.Module):
    """Parallel grouped convolutions over all latent channels x three patches, dilated in time, "same" zero padding.

    Output map k = F x W x (index of the dilation) + W x feature + filter. The same numbers as grouped 2-d convolutions,
    computed as one product over the latent channels for all dilations, filters and taps, whose results are then shifted
    in time: three times faster on a CPU.
    """

    def __init__(self, config: MdjptConfig) -> None:
        super().__init__()
        self.dilations = config.dilations
        shape = (len(config.dilations), config.features, config.filters, config.latent_channels, 3)
        bound = (config.latent_channels * 3) ** -0.5  # torch's default for a convolution
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(shape[:3]).uniform_(-bound, bound))

    def forward(self, p_BFSP: Tensor) -> Tensor:
        weight_FNWXS = self.weight.permute(1, 0, 2, 4, 3)
        taps_BFMP = torch.matmul(weight_FNWXS.flatten(1, 3), p_BFSP)
        taps_BFNWXP = taps_BFMP.unflatten(2, weight_FNWXS.shape[1:4])
        outputs = []
        for index, dilation in enumerate(self.dilations):
            before, here, after = taps_BFNWXP[:, :, index].unbind(dim=3)
            # The early tap moves later in time, the late tap earlier; zeros enter.
            early = functional.pad(before, (dilation, 0))[..., : here.shape[-1]]
            late = functional.pad(after, (0, dilation))[..., dilation:]
            outputs.append((here + early + late + self.bias[index].unsqueeze(-1)).flatten(1, 2))
        return torch.cat(outputs, dim=1)


class _RunningSum(torch.autograd.Function):
    """Each value with the ``reach`` - 1 before it along the last axis, zeros before the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int) -> Tensor:
        ctx.reach = reach
        total = x.clone()
        for back in range(1, min(reach, x.shape[-1])):
            total[..., back:] += x[..., :-back]
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        total = gradient.clone()
        for ahead in range(1, min(ctx.reach, gradient.shape[-1])):
            total[..., :-ahead] += gradient[..., ahead:]
        return total, None


class MdjptOutput(NamedTuple):
    """What :class:`Mdjpt` computes."""

    latent: Tensor  # (B, F, S, P), what CDA sees
    encoded: Tensor  # (B, K, P), the features downstream
    z: Tensor  # (B, D), unit rows, what NT-Xent sees


class Mdjpt(nn.Module):
    """The encoder and the ISA projector.

    Stages, in order: :meth:`embed`, stratified norm, :meth:`project_space`, stratified norm, :meth:`convolve`,
    :meth:`project`. :meth:`forward` runs them all. No randomness after initialisation, the same in training and after.

    In bfloat16 are the products of the blocks only, which are nearly all of the cost. The norms take away what windows
    have in common; rounding before that would change the contrast of what is left.

    Parameters
    ----------
    config : MdjptConfig
    channels : int
        Channels of the input: the montage's 60.
    """

    layers_in = "_embed_rows"  # what :mod:`eegpipe.compiled` compiles

    def __init__(self, config: MdjptConfig, *, channels: int = len(MONTAGE)) -> None:
        super().__init__()
        self.config = config = config.resolved()
        self.recompute = False
        self.read_in = nn.Linear(config.patch_samples, config.hidden)
        block = transformer_block if config.encoder == "transformer" else MllaBlock
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        self.read_out = nn.Linear(config.hidden, config.features)
        self.space = nn.Linear(channels, config.latent_channels)
        self.dilated = DilatedSpace(config)
        maps = config.maps
        self.attention_conv = nn.Conv1d(maps, maps, config.attention_patches, groups=maps)
        self.attention_mix = nn.Conv1d(maps, maps, 1)
        self.smoothers = nn.ModuleList(nn.Conv1d(maps, maps, config.smoother_patches, groups=maps) for _ in range(2))
        if config.idle_parameters:
            self.idle_time_conv = nn.Conv2d(1, config.features, (1, 30))

    def forward(self, x_BCT: Tensor, *, groups: int = 2) -> MdjptOutput:
        """``groups`` equal stretches of windows, one subject each (see :func:`stratified_norm`)."""
        latent_BFSP = self.project_space(stratified_norm(self.embed(x_BCT), groups))
        encoded_BKP = self.convolve(stratified_norm(latent_BFSP, groups))
        return MdjptOutput(latent_BFSP, encoded_BKP, self.project(encoded_BKP, groups))

    def embed(self, x_BCT: Tensor) -> Tensor:
        """Patches of every channel on its own through the blocks: (B, C, T) -> (B, C, F, P)."""
        if self.recompute and self.training:
            # Windows do not meet here: in pieces, the activations of a piece are the most that exist at a time.
            pieces = x_BCT.split(WINDOWS_AT_ONCE)
            return torch.cat([checkpoint(self._embed, piece, use_reentrant=False) for piece in pieces])
        return self._embed(x_BCT)

    def _embed(self, x_BCT: Tensor) -> Tensor:
        patches_RPL = x_BCT.unfold(-1, self.config.patch_samples, self.config.patch_stride).flatten(0, 1)
        rows, patches, _ = patches_RPL.shape
        at_once = rows
        if x_BCT.device.type == "cpu":
            at_once = max(1, NUMBERS_AT_ONCE_CPU // (patches * self.config.hidden))
        h_RFP = torch.cat([self._embed_rows(piece) for piece in patches_RPL.split(at_once)])
        return h_RFP.unflatten(0, x_BCT.shape[:2])

    def _embed_rows(self, patches_RPL: Tensor) -> Tensor:
        """Channels of windows, each by itself: (R, P, L) -> (R, F, P)."""
        h_RPH = in_float32(self.read_in)(patches_RPL)
        if self.config.encoder == "transformer":
            h_RPH = h_RPH + positions(h_RPH.shape[1], h_RPH.shape[2], h_RPH)
        for block in self.blocks:
            h_RPH = block(h_RPH)
        return self._read_out(h_RPH)

    @in_float32
    def _read_out(self, h_RPH: Tensor) -> Tensor:
        # Time last, as all that follows wants it.
        h_RFP = torch.matmul(self.read_out.weight, h_RPH.transpose(1, 2))
        return h_RFP + self.read_out.bias[:, None]

    @in_float32
    def project_space(self, h_BCFP: Tensor) -> Tensor:
        """The spatial projector, one matrix for all maps and times: (B, C, F, P) -> (B, F, S, P)."""
        p_BSX = torch.matmul(self.space.weight, h_BCFP.flatten(2)) + self.space.bias[:, None]
        return functional.relu(p_BSX).unflatten(2, h_BCFP.shape[2:]).transpose(1, 2)

    @in_float32
    def convolve(self, p_BFSP: Tensor) -> Tensor:
        """Dilated spatial convolutions and local attention over time: (B, F, S, P) -> (B, K, P)."""
        e_BKP = self.dilated(p_BFSP)
        return self.attention_weights(e_BKP) * functional.relu(e_BKP)

    def attention_weights(self, e_BKP: Tensor) -> Tensor:
        """Softmax over the maps of a strictly causal local average; (B, K, P)."""
        reach = self.config.attention_patches
        a_BKP = functional.relu(self.attention_conv(functional.pad(e_BKP, (reach - 1, 0))))
        a_BKP = _RunningSum.apply(a_BKP, reach) / reach
        assert self.attention_mix.bias is not None
        mixed_BKP = torch.matmul(self.attention_mix.weight.squeeze(2), a_BKP) + self.attention_mix.bias[:, None]
        return torch.softmax(mixed_BKP, dim=1)

    @in_float32
    def project(self, f_BKP: Tensor, groups: int) -> Tensor:
        """The ISA projector, for pre-training only: (B, K, P) -> unit rows (B, D), map-major."""
        x_BKP = functional.avg_pool1d(f_BKP, self.config.pool_patches)
        x_BKP = stratified_norm(x_BKP.unsqueeze(2), groups).squeeze(2)
        for smoother in self.smoothers:
            x_BKP = functional.relu(smoother(x_BKP))
        x_BKP = stratified_norm(x_BKP.unsqueeze(2), groups).squeeze(2)
        return functional.normalize(x_BKP.flatten(1), dim=1)


@torch.inference_mode()
def extract_features(model: Mdjpt, segments: Segments) -> np.ndarray:
    """The frozen encoder's output averaged over time, one row per segment.

    Stratified normalisation makes features depend on the windows that are normalised together. Here a group is all
    windows of one subject in one session among ``segments``; more than ``MOST_WINDOWS_OF_GROUP`` are dealt in turn to
    as few groups as needed, so that each holds windows of all trials. Hence the features of a subject do not depend on
    other subjects, on the order of rows or on the size of the machine, but they do depend on which of the subject's
    windows are given. The public code groups 32 consecutive windows instead, whatever they belong to.

    Returns
    -------
    ndarray, float32, (len(segments), K)
    """
    samples = segments.eeg.shape[-1]
    if not model.config.patches(samples):
        raise DataProblem(
            f"{segments.dataset}: segments",
            f"windows of {samples} samples",
            f"at least {model.config.patch_samples}",
            "Segment the data set with longer windows.",
        )
    windows = MontageWindows(segments, model.config.channel_ranking or "distance")
    device = next(model.parameters()).device
    out = np.empty((len(segments), model.config.maps), dtype=np.float32)
    for rows in _groups(segments):
        pieces = [rows[start : start + WINDOWS_AT_ONCE] for start in range(0, len(rows), WINDOWS_AT_ONCE)]
        h_BCFP = torch.cat([model.embed(torch.from_numpy(windows(piece)).to(device)) for piece in pieces])
        h_BCFP = stratified_norm(h_BCFP, 1)
        p_BFSP = torch.cat([model.project_space(piece) for piece in h_BCFP.split(WINDOWS_AT_ONCE)])
        del h_BCFP
        p_BFSP = stratified_norm(p_BFSP, 1)
        f_BK = torch.cat([model.convolve(piece).mean(dim=-1) for piece in p_BFSP.split(WINDOWS_AT_ONCE)])
        out[rows] = f_BK.cpu().numpy()
    return out


def _groups(segments: Segments) -> list[np.ndarray]:
    """Rows that are normalised together, each in order of session, trial and time."""
    groups = []
    order = np.lexsort((segments.stimulus_time, segments.trial, segments.session, segments.subject))
    owner = np.stack([segments.subject[order], segments.session[order]])
    borders = np.flatnonzero((owner[:, 1:] != owner[:, :-1]).any(axis=0)) + 1
    for rows in np.split(order, borders):
        parts = -(-len(rows) // MOST_WINDOWS_OF_GROUP)
        groups += [rows[part::parts] for part in range(parts)]
    return groups


class MdjptObjective:
    """What mdJPT minimises: ``isa_weight`` times the sum of every data set's ISA plus ``cda_lambda`` times CDA.

    Parameters
    ----------
    sources : sequence of Segments
        One per data set, in an order that does not depend on the caller.
    cda_lambda : float
    most_stimuli : int
        See :class:`eegpipe.samplers.PairSampler`.
    seed : int
        Of the initial weights and of the draws.
    device : str

    Raises
    ------
    DataProblem
        From the sampler and the channel projection.
    UsageProblem
        If the windows are too short for the projector.
    """

    def __init__(
        self,
        sources: Sequence[Segments],
        config: MdjptConfig,
        *,
        cda_lambda: float,
        most_stimuli: int,
        seed: int,
        device: str,
    ) -> None:
        for segments in sources:
            _check_window(config, segments)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Mdjpt(config).to(device)
        self.config = self.model.config
        self.cda_lambda = cda_lambda
        self._device = device
        self._sources = list(sources)
        self._names = [segments.dataset for segments in sources]
        self._sampler = PairSampler(
            sources, seed=seed, pair_draw=self.config.pair_draw or "independent", most_stimuli=most_stimuli
        )
        self._windows = [MontageWindows(segments, self.config.channel_ranking or "distance") for segments in sources]

    def prepare(self, number: int) -> Prepared:
        """The ``number``-th draw: of each data set its windows, (B, C, T)."""
        drawn = self._sampler.draw(number)
        batches = zip(self._windows, drawn, strict=True)
        return Prepared(tuple(torch.from_numpy(windows(np.concatenate(batch))) for windows, batch in batches), drawn)

    def __call__(self, number: int, prepared: Prepared | None = None) -> dict[str, Tensor]:
        """The terms of the ``number``-th draw, scalars: ``loss``, ``isa``, ``cda``, ``isa_<data set>`` for each, and
        ``isa_chance``, the ISA of embeddings that are all alike. ``prepared``: the draw, on the device."""
        return self.contrast([self.embed(number, prepared)])

    def embed(self, number: int, prepared: Prepared | None = None) -> Embedded:
        """The ``number``-th draw through the network: unit rows of each data set, and CDA."""
        draw = prepared or self.prepare(number).on(self._device)
        outputs = [self.model(x_BCT, groups=2) for x_BCT in draw.tensors]
        cda = losses.cda(
            [output.latent for output in outputs],
            kind=self.config.cda_covariance or "true",
            diagonal=self.config.cda_diagonal or "kept",
        )
        return Embedded((*(output.z for output in outputs), cda))

    def contrast(self, draws: Sequence[Embedded]) -> dict[str, Tensor]:
        """The terms of draws whose windows are each other's negatives, data set by data set; of CDA the mean."""
        isa = {}
        chance = 0.0
        for index, name in enumerate(self._names):
            z_ND = pairs_of([draw.rows[index] for draw in draws])
            isa[f"isa_{name}"] = losses.nt_xent(z_ND, self.config.temperature)
            chance += math.log(len(z_ND) - 1)
        total_isa = torch.stack(list(isa.values())).sum()
        cda = torch.stack([draw.rows[-1] for draw in draws]).mean()
        loss = self.config.isa_weight * total_isa + self.cda_lambda * cda
        return {"loss": loss, "isa": total_isa, "cda": cda, **isa, "isa_chance": torch.tensor(chance)}

    def describe(self, number: int) -> dict[str, str]:
        """What the ``number``-th draw takes of each data set, in words."""
        batches = zip(self._sources, self._sampler.draw(number), strict=True)
        return {segments.dataset: segments.describe(np.concatenate(batch)) for segments, batch in batches}


def _check_window(config: MdjptConfig, segments: Segments) -> None:
    samples = segments.eeg.shape[-1]
    if not config.embedding(samples):
        raise UsageProblem(
            f"mdjpt: windows of {samples} samples ({segments.dataset}) make {config.patches(samples)} patches, too few "
            f"for pooling by {config.pool_patches} and two convolutions of {config.smoother_patches}. "
            "Use longer windows, a smaller patch_stride or a smaller pool_patches."
        )
