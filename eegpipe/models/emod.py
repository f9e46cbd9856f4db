"""EMOD: pre-training that pulls together segments of near valence and arousal (arXiv 2511.05863), the network.

Tokens of every channel come from the signal and from its spectrum, a learned vector names the channel, and axial
attention mixes channels at each time and times of each channel. Any montage of the channel schema, any rate and window
length can enter one network. Two variants: ``described`` is the paper, ``released`` what the public code computes; they
differ in the switches of :class:`EmodConfig` and nowhere else.

Shapes: B windows, C channels, T samples, M tokens (50 for 10 s), D width of a token (128), H heads (16), E width of a
head (8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from eegpipe import losses_affect
from eegpipe.affect import LIMIT
from eegpipe.affect_sampler import RegionSampler, region_of
from eegpipe.ahead import Prepared
from eegpipe.augment import FOR_VIEWS, ONE_OF_SIX, augment
from eegpipe.channels import channel_id
from eegpipe.embedded import Embedded
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.models.emod_settings import EmodConfig
from eegpipe.models.emod_tokens import TokenBranch

__all__ = ["Emod", "EmodConfig", "EmodObjective", "channel_ids", "extract_features"]

# Windows that pass the network at once at feature extraction: bounds memory, changes nothing else.
WINDOWS_AT_ONCE = 32
# The public code's order of data sets, which matters to its sampler; others follow by name.
_RELEASED_ORDER = ("deap", "amigos", "mdme", "seed_vii", "dreamer", "mahnob_hci", "seed_iv", "mped")


class AxialAttention(nn.Module):
    """Multi-head attention along the second-last axis, (..., N, D) -> (..., N, D).

    ``longest``: of the relative positions; 0: none, as between channels.
    """

    def __init__(self, config: EmodConfig, longest: int = 0) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.hidden // config.heads
        self.query_key_value = nn.Linear(config.hidden, 3 * config.hidden)
        self.out = nn.Linear(config.hidden, config.hidden)
        self.longest = longest
        self.by_offset = config.relative_position == "table"
        self.scale = (width if self.by_offset or not longest else config.hidden) ** -0.5
        if longest:
            shape = (2 * longest - 1, width) if self.by_offset else (longest, longest)
            self.relative = nn.Parameter(torch.randn(shape) if self.by_offset else torch.zeros(shape))

    def forward(self, x_xND: Tensor) -> Tensor:
        tokens = x_xND.shape[-2]
        # (3, ..., H, N, E): one product for all three, then heads before tokens.
        qkv = self.query_key_value(x_xND).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)
        query, key, value = qkv.unbind(0)
        bias = None
        if self.longest and self.by_offset:
            offset = torch.arange(tokens, device=x_xND.device)
            r_NNE = self.relative[offset[:, None] - offset + self.longest - 1]
            bias = torch.einsum("...ne,nme->...nm", query, r_NNE)
        elif self.longest:
            bias = self.relative[:tokens, :tokens]
        if bias is None:
            mixed = functional.scaled_dot_product_attention(query, key, value, scale=self.scale)
        else:
            logits = query @ key.transpose(-1, -2) * self.scale + bias
            mixed = torch.softmax(logits, dim=-1) @ value
        return self.out(mixed.transpose(-3, -2).flatten(-2))


class AxialBlock(nn.Module):
    """Attention between channels, attention along time, feed-forward: each after a LayerNorm, and added."""

    def __init__(self, config: EmodConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.raster = config.temporal_axis == "raster"
        self.space_norm, self.space = nn.LayerNorm(hidden), AxialAttention(config)
        self.time_norm, self.time = nn.LayerNorm(hidden), AxialAttention(config, config.longest_tokens)
        self.ffn_norm = nn.LayerNorm(hidden)
        self.ffn = nn.Sequential(
            nn.Linear(hidden, config.ffn),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn, hidden),
            nn.Dropout(config.dropout),
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BCMD: Tensor) -> Tensor:
        x_BCMD = x_BCMD + self.drop(self.attend_space(x_BCMD))
        x_BCMD = x_BCMD + self.drop(self.attend_time(x_BCMD))
        return x_BCMD + self.ffn(self.ffn_norm(x_BCMD))

    def attend_space(self, x_BCMD: Tensor) -> Tensor:
        """Between channels, at each time alone."""
        return self.space(self.space_norm(x_BCMD).transpose(1, 2)).transpose(1, 2)

    def attend_time(self, x_BCMD: Tensor) -> Tensor:
        """Along time, of each channel alone. ``raster``: rows are what is left when (D, M) is read as (M, D)."""
        normed = self.time_norm(x_BCMD)
        if self.raster:
            normed = normed.transpose(-1, -2).reshape(normed.shape)
        return self.time(normed)


class AttentionPool(nn.Module):
    """Weighted mean along ``dim`` of (..., D); weights are the softmax of one linear score for each token.

    The bias of the score is kept for the parameter count; softmax ignores it.
    """

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.score = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, dim: int) -> Tensor:
        return (self.drop(self.score(x).softmax(dim=dim)) * x).sum(dim=dim)


class Emod(nn.Module):
    """The encoder and the head of pre-training.

    Stages, in order: :meth:`tokenise`, the blocks (:meth:`encode` runs both), :meth:`pool`, :meth:`project`. Windows do
    not meet before the head's batch norm, so they may pass the encoder in any division.
    """

    layers_in = "mix"  # what :mod:`eegpipe.compiled` compiles

    def __init__(self, config: EmodConfig) -> None:
        super().__init__()
        self.config = config = config.resolved()
        hidden = config.hidden
        self.time_branch = TokenBranch(hidden, config.kernel, config.norm_groups)
        self.frequency_branch = TokenBranch(hidden, config.kernel, config.norm_groups)
        self.fusion = nn.Linear(2 * hidden, hidden)
        self.channel_table = nn.Embedding(config.channel_rows, hidden)
        self.blocks = nn.ModuleList(AxialBlock(config) for _ in range(config.depth))
        self.channel_pool = AttentionPool(hidden, config.pool_dropout)
        self.time_pool = AttentionPool(hidden, config.pool_dropout)
        self.project_in = nn.Linear(hidden, config.projection, bias=False)
        self.project_norm = nn.BatchNorm1d(config.projection)
        self.project_out = nn.Linear(config.projection, hidden)

    def forward(self, x_BCT: Tensor, ids: Tensor, tokens: int) -> Tensor:
        """Unit rows (B, D): what the contrast sees."""
        return self.project(self.pool(self.encode(x_BCT, ids, tokens)))

    def tokenise(self, x_BCT: Tensor, ids: Tensor, tokens: int) -> Tensor:
        """Both branches, fused, with the channels' vectors added: (B, C, T), ids (C,) or (B, C) -> (B, C, M, D).

        The spectrum is the real part of the whole window's, divided by T: token m of it is a band of frequencies.
        """
        return self.fuse(self.branches(x_BCT, tokens), ids)

    def branches(self, x_BCT: Tensor, tokens: int) -> Tensor:
        """Both branches side by side, (B, C, T) -> (B, C, M, 2 D)."""
        spectrum = torch.fft.rfft(x_BCT, norm="forward").real
        return torch.cat([self.time_branch(x_BCT, tokens), self.frequency_branch(spectrum, tokens)], dim=-1)

    def fuse(self, both_BCME: Tensor, ids: Tensor) -> Tensor:
        """The branches to one width, with the channels' vectors added: (B, C, M, 2 D) -> (B, C, M, D)."""
        fused_BCMD = self.fusion(both_BCME)
        if self.config.fusion == "gelu":
            fused_BCMD = functional.gelu(fused_BCMD)
        return fused_BCMD + self.channel_table(ids).unsqueeze(-2)

    def encode(self, x_BCT: Tensor, ids: Tensor, tokens: int) -> Tensor:
        """Tokens after all blocks, (B, C, M, D)."""
        return self.mix(self.tokenise(x_BCT, ids, tokens))

    def mix(self, x_BCMD: Tensor) -> Tensor:
        """All blocks, (B, C, M, D) -> (B, C, M, D)."""
        for block in self.blocks:
            x_BCMD = block(x_BCMD)
        return x_BCMD

    def pool(self, x_BCMD: Tensor) -> Tensor:
        """Attention pooling over channels, then over time: the features, (B, D)."""
        return self.time_pool(self.channel_pool(x_BCMD, dim=1), dim=1)

    def project(self, pooled_BD: Tensor, windows: int = 0) -> Tensor:
        """Unit rows (B, D). In training, batch norm takes its statistics over ``windows`` rows at a time; 0: all."""
        inner = self.project_in(pooled_BD)
        pieces = inner.split(windows) if windows and self.training else (inner,)
        normed = torch.cat([self.project_norm(piece) for piece in pieces])
        return functional.normalize(self.project_out(functional.gelu(normed)), dim=1)


def channel_ids(config: EmodConfig, channels: Sequence[str], *, where: str = "channels") -> np.ndarray:
    """Rows of the channel table, (C,) int64, for canonical names.

    Raises
    ------
    UsageProblem
        If a name is not in the schema, or its id is not in the table (the schema has grown since).
    """
    ids = np.array([channel_id(name) for name in channels], dtype=np.int64)
    if len(ids) and ids.max() >= config.channel_rows:
        outside = ", ".join(name for name, row in zip(channels, ids, strict=True) if row >= config.channel_rows)
        raise UsageProblem(
            f"{where}: {outside} not in the encoder's table of {config.channel_rows} channels. Use a larger "
            "channel_rows and pre-train again."
        )
    return ids


@torch.inference_mode()
def extract_features(model: Emod, segments: Segments) -> np.ndarray:
    """Features of every segment: the pooled tokens, before the head of pre-training. Each segment by itself.

    Returns
    -------
    ndarray, float32, (len(segments), D)

    Raises
    ------
    UsageProblem
        If windows do not fit the network (:meth:`EmodConfig.tokens`), or a channel is not in its table.
    """
    tokens = model.config.tokens(segments.eeg.shape[-1], segments.rate_hz)
    device = next(model.parameters()).device
    ids = torch.from_numpy(channel_ids(model.config, segments.channels, where=segments.dataset)).to(device)
    out = np.empty((len(segments), model.config.hidden), dtype=np.float32)
    training = model.training
    model.eval()
    try:
        for start in range(0, len(segments), WINDOWS_AT_ONCE):
            part = slice(start, start + WINDOWS_AT_ONCE)
            x_BCT = torch.from_numpy(np.asarray(segments.eeg[part], dtype=np.float32)).to(device)
            out[part] = model.pool(model.encode(x_BCT, ids, tokens)).cpu().numpy()
    finally:
        model.train(training)
    return out


class EmodObjective:
    """What EMOD minimises: the soft contrast over the segments of all data sets of a draw together.

    Each data set passes the network on its own, with its own channels, rate and window length; only the loss joins
    them. All randomness of a draw (segments, augmentation, dropout) is a function of the seed and its number.

    Parameters
    ----------
    sources : sequence of Segments
        One per data set; their order does not matter. Rates and lengths may differ.
    seed : int
        Of the initial weights and of the draws.
    device : str
    windows_at_once : int
        Windows of a data set that pass the encoder together; 0: all of the draw. The loss is over the whole draw for
        any number (averaging the losses of smaller draws would take away negatives). With dropout the masks differ.
    recompute : bool
        Pass the blocks twice instead of keeping their activations. With ``windows_at_once``, these are kept of so many
        windows, whatever the draw; of the others only the tokens (3 MB a window of the paper's largest).

    Attributes
    ----------
    left_out : dict
        Data set -> segments without valence or arousal, which are never drawn.
    steps_per_epoch : int
        The code's length of an epoch for these sources.

    Raises
    ------
    DataProblem
        If a data set has no segment with valence and arousal, or all of all data sets have the same.
    UsageProblem
        If a data set's windows do not fit the network.
    """

    def __init__(
        self,
        sources: Sequence[Segments],
        config: EmodConfig,
        *,
        seed: int,
        device: str = "cpu",
        windows_at_once: int = 0,
        recompute: bool = False,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Emod(config).to(device)
        self.config = config = self.model.config
        sources = sorted(sources, key=lambda segments: segments.dataset)
        if config.missing_region == "carried":
            known = [name for name in _RELEASED_ORDER if any(segments.dataset == name for segments in sources)]
            sources = sorted(sources, key=lambda one: known.index(one.dataset) if one.dataset in known else len(known))
        self._sources = [_as_asked(segments, config) for segments in sources]
        self._tokens = [config.tokens(one.eeg.shape[-1], one.rate_hz) for one in sources]
        self._ids = [channel_ids(config, one.channels, where=one.dataset) for one in sources]
        self._sampler = RegionSampler(
            self._sources, seed=seed, per_region=config.per_region, missing=config.missing_region or "next"
        )
        if config.contrast != "augmentation":
            _check_spread(self._sources)
        self.left_out = self._sampler.left_out
        self.steps_per_epoch = self._sampler.steps_per_epoch
        self._seed, self._device = seed, device
        self._at_once, self._recompute = windows_at_once, recompute

    def prepare(self, number: int) -> Prepared:
        """The ``number``-th draw: of each data set its windows (B, C, T) and the rows of their channels in the table,
        (B, C); with two views all first ones, then all second ones."""
        rows_of = self._sampler.draw(number)
        tensors = [one for index, rows in enumerate(rows_of) for one in self._windows(index, rows, number)]
        return Prepared(tuple(tensors), rows_of)

    def __call__(self, number: int, prepared: Prepared | None = None) -> dict[str, Tensor]:
        """The terms of the ``number``-th draw, scalars: ``loss``; ``contrast_<data set>``, its mean over the anchors of
        each; ``contrast_chance``, the mean over anchors when all embeddings are alike; ``contrast_floor``, the mean
        that no network can go below. ``prepared``: the draw, on the device."""
        return self.contrast([self.embed(number, prepared)])

    def embed(self, number: int, prepared: Prepared | None = None) -> Embedded:
        """The ``number``-th draw through the network: unit rows (view, row, D), data set after data set. Facts: the
        number of the data set and valence and arousal of each row, (row, 3)."""
        draw = prepared or self.prepare(number).on(self._device)
        devices = [] if torch.device(self._device).type == "cpu" else [torch.device(self._device)]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(crc32(f"{self._seed} {number}".encode()))
            pairs = zip(draw.tensors[::2], draw.tensors[1::2], strict=True)
            # (view, row): all data sets' first views, then all second views.
            z_VRD = torch.cat([self._embed(index, x, ids) for index, (x, ids) in enumerate(pairs)], dim=1)
        facts_R3 = [
            np.stack([np.full(len(rows), index, np.float32), segments.valence[rows], segments.arousal[rows]], axis=1)
            for index, (segments, rows) in enumerate(zip(self._sources, draw.drawn, strict=True))
        ]
        return Embedded((z_VRD,), (torch.from_numpy(np.concatenate(facts_R3, dtype=np.float32)),))

    def contrast(self, draws: Sequence[Embedded]) -> dict[str, Tensor]:
        """The terms of draws whose segments are compared with each other."""
        z_VRD = torch.cat([draw.rows[0] for draw in draws], dim=1)
        facts_R3 = torch.cat([draw.facts[0] for draw in draws])
        owner = facts_R3[:, 0].to(self._device)
        if self._views == 2:
            weight = losses_affect.same_class(torch.arange(z_VRD.shape[1], device=self._device).repeat(2))
            owner = owner.repeat(2)
        else:
            weight = self._weights(facts_R3[:, 1:].cpu().numpy())
        anchors = losses_affect.weighted_contrast(z_VRD.flatten(0, 1), weight, self.config.temperature)
        loss = anchors.mean() if self.config.reduction == "mean" else anchors.sum()
        chance = math.log(len(anchors) - 1) * (weight.sum(dim=1) >= losses_affect.LEAST_WEIGHT).float().mean()
        names = enumerate(segments.dataset for segments in self._sources)
        terms = {f"contrast_{name}": anchors[owner == index].mean() for index, name in names}
        floor = losses_affect.contrast_floor(weight).mean()
        return {"loss": loss, **terms, "contrast_chance": chance, "contrast_floor": floor}

    def describe(self, number: int) -> dict[str, str]:
        """What the ``number``-th draw takes of each data set, in words."""
        pairs = zip(self._sources, self._sampler.draw(number), strict=True)
        return {segments.dataset: segments.describe(rows) for segments, rows in pairs}

    @property
    def _views(self) -> int:
        return 2 if self.config.contrast == "augmentation" else 1

    def _windows(self, index: int, rows: np.ndarray, number: int) -> tuple[Tensor, Tensor]:
        """Windows of one data set, augmented as asked for, and the rows of their channels in the table."""
        segments = self._sources[index]
        x_BCT = np.asarray(segments.eeg[rows], dtype=np.float32)
        ids_BC = np.tile(self._ids[index], (len(rows), 1))
        rng = np.random.default_rng([self._seed, number, crc32(segments.dataset.encode()), 1])
        if self._views == 2:
            both = [augment(x_BCT, ids_BC, FOR_VIEWS, rng) for _ in range(2)]
            x_BCT, ids_BC = (np.concatenate(parts) for parts in zip(*both, strict=True))
        elif self.config.augmentation == "one of six":
            x_BCT, ids_BC = augment(x_BCT, ids_BC, ONE_OF_SIX, rng)
        return torch.from_numpy(x_BCT), torch.from_numpy(ids_BC)

    def _embed(self, index: int, x: Tensor, ids: Tensor) -> Tensor:
        """Embeddings of the windows of one data set, (view, row, D)."""
        at_once = self._at_once or len(x)
        pooled = torch.cat(
            [
                self._pool(*piece, self._tokens[index])
                for piece in zip(x.split(at_once), ids.split(at_once), strict=True)
            ]
        )
        return self.model.project(pooled, self.config.batch_norm_windows or 0).unflatten(0, (self._views, -1))

    def _pool(self, x_BCT: Tensor, ids_BC: Tensor, tokens: int) -> Tensor:
        def after_branches(both_BCME: Tensor) -> Tensor:
            return self.model.pool(self.model.mix(self.model.fuse(both_BCME, ids_BC)))

        both_BCME = self.model.branches(x_BCT, tokens)
        if self._recompute and self.model.training:
            # Not the branches: they keep little, and cost more than all that follows them.
            return checkpoint(after_branches, both_BCME, use_reentrant=False)
        return after_branches(both_BCME)

    def _weights(self, affect_R2: np.ndarray) -> Tensor:
        """Targets between all rows, from their valence and arousal."""
        if self.config.contrast == "hard":
            return losses_affect.same_class(torch.from_numpy(region_of(*affect_R2.T)).to(self._device))
        if self.config.affect_steps == "integers":
            affect_R2 = np.floor(affect_R2 + LIMIT) - LIMIT
        return losses_affect.nearness(torch.from_numpy(affect_R2.astype(np.float32)).to(self._device), self._d_max)

    @property
    def _d_max(self) -> float:
        assert self.config.d_max is not None
        return self.config.d_max


def _check_spread(sources: Sequence[Segments]) -> None:
    points = {(v, a) for one in sources for v, a in zip(one.valence, one.arousal, strict=True) if v == v and a == a}
    if len(points) == 1:
        raise DataProblem(
            f"{', '.join(segments.dataset for segments in sources)}: segments",
            "the same valence and arousal in all",
            "at least two different points (the loss compares them)",
            "Train on further data sets, or look at the labels of these.",
        )


def _as_asked(segments: Segments, config: EmodConfig) -> Segments:
    if config.deap_axes == "swapped" and segments.dataset == "deap":
        return replace(segments, valence=segments.arousal, arousal=segments.valence)
    return segments
