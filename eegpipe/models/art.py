"""ART, the encoder of "One Model for All" (arXiv 2511.08444): one EEG channel at a time, at any sampling rate.

A window of one channel becomes 16 tokens by convolutions and pooling, gets embeddings of position, channel and rate,
and passes a transformer; the mean of the tokens is the channel's feature. Pre-trained by telling the two random crops
of a window's channel from all others. No code of the method is public: docs/methods/art.md lists what was decided.

Shapes: N items (channels of windows), T samples, P tokens (16), D width (128), V channels with an embedding, B windows,
C channels of a data set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eegpipe import losses
from eegpipe.ahead import Prepared
from eegpipe.crops import CropSampler, Source, resized_crop
from eegpipe.embedded import Embedded, pairs_of
from eegpipe.errors import UsageProblem
from eegpipe.loader import Segments, some
from eegpipe.models.art_settings import ArtConfig
from eegpipe.models.art_windows import ArtWindows
from eegpipe.precision import in_float32

__all__ = ["Art", "ArtConfig", "ArtObjective", "channel_features", "extract_features"]

# Channels of windows that pass the network at once where no gradient is needed: bounds memory (about 1 MB each at the
# paper's size), changes nothing else.
ITEMS_AT_ONCE = 256


@cache
def kernel_map(kernel: int, ratio: float) -> np.ndarray:
    """(kernel, taps): brings a kernel to another rate, so that it lasts equally long and sums to the same.

    ``ratio``: the data's rate / the rate of the kernel. Cubic interpolation (Keys, a = -1/2) between the kernel's taps,
    stretched where the new rate is lower; the number of taps is odd. The identity for ratio 1.
    """
    width = min(ratio, 1.0)
    # Beyond the kernel's last tap the interpolation ends after one and a half taps, where it is nearly zero.
    half = math.ceil(((kernel - 1) / 2 + 1.5 / width) * ratio) - 1 if ratio != 1.0 else (kernel - 1) // 2
    distance = np.abs(np.arange(-half, half + 1) / ratio - (np.arange(kernel) - (kernel - 1) / 2)[:, None]) * width
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def pooling(length: int, step: float, bins: int) -> np.ndarray:
    """(length, bins), columns sum to 1: means over ``bins`` equal parts of a window.

    ``length`` values stand ``step`` apart, as a part of the window, the first at its start; each stands for the time
    that is nearest to it. ``step`` 0: the bins of AdaptiveAvgPool1d, with borders at whole values.
    """
    weight = np.zeros((length, bins))
    if step:
        border = np.concatenate([[0.0], (np.arange(1, length) - 0.5) * step, [1.0]])
        for index in range(bins):
            inside = np.clip(border, index / bins, (index + 1) / bins)
            weight[:, index] = np.diff(inside)
    else:
        for index in range(bins):
            weight[index * length // bins : -(-(index + 1) * length // bins), index] = 1.0
    return (weight / weight.sum(axis=0)).astype(np.float32)


class RateConv(nn.Conv1d):
    """Convolution with zero padding ("same"); output k is centred on input k x stride.

    ``ratio``: rate of the data / rate at which the kernel is as it is stored. The kernel lasts equally long at each.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel)

    def forward(self, x_NC1T: Tensor, ratio: float = 1.0, stride: int = 1) -> Tensor:
        weight = self.weight
        if ratio != 1.0:
            weight = weight @ torch.from_numpy(kernel_map(weight.shape[-1], ratio)).to(weight)
        # As a 2-d convolution with channels last in memory: faster on a CPU, its gradient above all.
        weight = weight.unsqueeze(2)
        y_NC1T = functional.conv2d(
            x_NC1T.contiguous(memory_format=torch.channels_last),
            weight.contiguous(memory_format=torch.channels_last),
            stride=(1, stride),
            padding=(0, weight.shape[-1] // 2),
        )
        # Added here because the convolution's own gradient of the bias takes as long as both of its others.
        assert self.bias is not None
        return y_NC1T.add_(self.bias[:, None, None])


class AdaptiveTokens(nn.Module):
    """A window of any rate and length to a fixed number of tokens: convolutions, then pooling."""

    def __init__(self, config: ArtConfig) -> None:
        super().__init__()
        self.patches, self.reference_hz = config.patches, config.reference_hz
        self.seconds, self.strides = config.time_base == "seconds", config.strides
        inputs = (1, *config.conv_widths[:-1])
        self.convolutions = nn.ModuleList(
            RateConv(*sizes) for sizes in zip(inputs, config.conv_widths, config.kernels, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.GroupNorm(config.norm_groups, outputs) if config.norm_groups else nn.Identity()
            for outputs in config.conv_widths
        )
        self.out = nn.Linear(config.conv_widths[-1], config.width)

    def forward(self, x_NT: Tensor, rate_hz: float) -> Tensor:
        strides = self.strides
        if self.seconds:
            # Fewer samples only where there are more than enough: what a stride folds over depends on the rate.
            strides = (max(int(rate_hz / self.reference_hz), 1), *[1] * (len(strides) - 1))
        h_NC1T, ratio = x_NT[:, None, None], rate_hz / self.reference_hz
        for convolution, norm, stride in zip(self.convolutions, self.norms, strides, strict=True):
            h_NC1T = convolution(h_NC1T, ratio if self.seconds else 1.0, stride)
            # torch's norm of bfloat16 is several times slower on a CPU.
            h_NC1T = functional.gelu(in_float32(norm)(h_NC1T))
            ratio /= stride
        h_NTC = h_NC1T.squeeze(2).transpose(1, 2)
        step = math.prod(strides) / x_NT.shape[-1] if self.seconds else 0.0
        # A product, not AdaptiveAvgPool1d: its gradient is not deterministic on a GPU.
        bins_PT = torch.from_numpy(pooling(h_NTC.shape[1], step, self.patches)).to(h_NTC).T
        return self.out(torch.matmul(bins_PT, h_NTC))


class FixedTokens(nn.Module):
    """Every ``patch_samples`` samples a token, whatever the rate (ablation); samples left over are dropped."""

    def __init__(self, config: ArtConfig) -> None:
        super().__init__()
        self.samples = config.patch_samples
        self.out = nn.Linear(config.patch_samples, config.width)

    def forward(self, x_NT: Tensor, rate_hz: float) -> Tensor:  # noqa: ARG002  (as the other tokenizer)
        return self.out(x_NT.unfold(-1, self.samples, self.samples))


class Art(nn.Module):
    """The encoder.

    Parameters
    ----------
    config : ArtConfig
        With its channels resolved.
    """

    layers_in = "encode"  # what :mod:`eegpipe.compiled` compiles

    def __init__(self, config: ArtConfig) -> None:
        super().__init__()
        if not config.channels:
            raise UsageProblem("art: the configuration names no channels; resolve it for the data sets in play.")
        self.config = config
        adaptive = config.tokenizer == "adaptive"
        self.tokens = AdaptiveTokens(config) if adaptive else FixedTokens(config)
        self.position = _table(config.patches if adaptive else config.most_patches, config.width)
        self.channel = _table(len(config.channels), config.width)
        self.rate = _table(len(config.rate_anchors_hz), config.width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                config.ffn,
                config.dropout,
                activation=config.activation,
                batch_first=True,
                norm_first=config.norm_first,
            )
            for _ in range(config.depth)
        )
        self.projection = (
            nn.Sequential(nn.Linear(config.width, config.width), nn.ReLU(), nn.Linear(config.width, config.width))
            if config.projection == "mlp"
            else nn.Identity()
        )

    def forward(self, x_NT: Tensor, rate_hz: float, mixture_NV: Tensor) -> Tensor:
        """Features, (N, D).

        Parameters
        ----------
        x_NT : Tensor
            Scaled signal of single channels, all of one rate.
        rate_hz : float
        mixture_NV : Tensor
            Which channel each item is: weights of the known channels' embeddings, normally one 1 and zeros.
        """
        return self.encode(self.embed(x_NT, rate_hz, mixture_NV))

    def embed(self, x_NT: Tensor, rate_hz: float, mixture_NV: Tensor) -> Tensor:
        """Tokens with the embeddings of position, channel and rate, (N, P, D)."""
        tokens_NPD = self.tokens(x_NT, rate_hz)
        if tokens_NPD.shape[1] > len(self.position):
            raise UsageProblem(f"art: {tokens_NPD.shape[1]} patches, the encoder has {len(self.position)} positions.")
        channel_N1D = (mixture_NV @ self.channel).unsqueeze(1)
        return tokens_NPD + self.position[: tokens_NPD.shape[1]] + channel_N1D + self.rate_embedding(rate_hz)

    def rate_embedding(self, rate_hz: float) -> Tensor:
        """(D,): that of an anchor, or between two the mixture by the logarithm; beyond the ends that of the end."""
        anchors = np.log(self.config.rate_anchors_hz)
        weight = [np.interp(math.log(rate_hz), anchors, row) for row in np.eye(len(anchors))]
        return torch.tensor(weight, dtype=self.rate.dtype, device=self.rate.device) @ self.rate

    def encode(self, tokens_NPD: Tensor) -> Tensor:
        """Transformer and mean over tokens, (N, P, D) -> (N, D)."""
        for layer in self.layers:
            tokens_NPD = layer(tokens_NPD)
        return tokens_NPD.mean(dim=1)

    def project(self, features_ND: Tensor) -> Tensor:
        """What the contrastive loss sees: unit rows, (N, D)."""
        return functional.normalize(self.projection(features_ND), dim=1)


def _table(rows: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, width) * 0.02)


def channel_features(model: Art, x_BCT: Tensor, rate_hz: float, mixture_CV: Tensor) -> Tensor:
    """Features of every channel of every window, (B, C, D); a channel's do not depend on the other channels."""
    mixture_NV = mixture_CV.repeat(len(x_BCT), 1)
    return model(x_BCT.flatten(0, 1), rate_hz, mixture_NV).unflatten(0, x_BCT.shape[:2])


@torch.inference_mode()
def extract_features(model: Art, windows: Segments | ArtWindows, *, over: str = "channels") -> np.ndarray:
    """Features of every window from the frozen encoder.

    Parameters
    ----------
    model : Art
        In evaluation mode (:meth:`Art.eval`).
    windows : Segments or ArtWindows
        Of any rate, length and montage. With the scaling over sessions, Segments are scaled by all of their windows of
        the same subject and session.
    over : "channels", "mean" or "none"
        ``channels``: side by side, in order of their ids, (n, C * D). ``mean``: over channels, (n, D). ``none``:
        (n, C, D).

    Returns
    -------
    ndarray, float32
    """
    if isinstance(windows, Segments):
        windows = ArtWindows(windows, model.config)
    device = model.position.device
    mixture_CV = torch.from_numpy(windows.mixture).to(device)
    out = np.empty((len(windows), len(windows.names), model.config.width), dtype=np.float32)
    at_once = max(ITEMS_AT_ONCE // len(windows.names), 1)
    for start in range(0, len(windows), at_once):
        rows = np.arange(start, min(start + at_once, len(windows)))
        x_BCT = torch.from_numpy(windows(rows)).to(device)
        out[rows] = channel_features(model, x_BCT, windows.rate_hz, mixture_CV).cpu().numpy()
    if over == "mean":
        return out.mean(axis=1)
    return out.reshape(len(out), -1) if over == "channels" else out


class ArtObjective:
    """What ART minimises: NT-Xent between the two crops of every item of a draw.

    Parameters
    ----------
    sources : sequence of Segments
        One per data set, of any rate, window length and montage, in an order that does not depend on the caller.
    config : ArtConfig
    channels_of : mapping
        Channels of further data sets in play, normally of the target: they count for the list of channels and nothing
        else is used of them.
    seed : int
        Of the initial weights, of the draws and of dropout.
    device : str

    Raises
    ------
    DataProblem
        No common channel, or a signal that is flat or not finite.
    UsageProblem
        Windows of a length that the tokenizer cannot take.
    """

    def __init__(
        self,
        sources: Sequence[Segments],
        config: ArtConfig,
        *,
        channels_of: Mapping[str, Sequence[str]] | None = None,
        seed: int,
        device: str,
    ) -> None:
        in_play = dict(channels_of or {}) | {segments.dataset: segments.channels for segments in sources}
        self.config = config = config.resolved(in_play)
        # In training every channel has an embedding of its own; those outside the list take no part.
        self._windows = [ArtWindows(segments, _known_only(config)) for segments in sources]
        self._sampler = CropSampler(
            [
                Source(segments.dataset, windows.rate_hz, segments.eeg.shape[-1], len(segments), len(windows.names))
                for segments, windows in zip(sources, self._windows, strict=True)
            ],
            seed=seed,
            batch=config.batch_items,
            scale=config.crop_scale,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Art(config).to(device)
        self._seed, self._device = seed, device

    @property
    def items(self) -> int:
        """Channels of windows in all sources."""
        return self._sampler.items

    @property
    def steps_per_epoch(self) -> int:
        """Draws that take as many items as there are; at least 1."""
        return max(1, round(self.items / self.config.batch_items))

    def prepare(self, number: int) -> Prepared:
        """The ``number``-th draw: items (N, T), which channels they are (N, V), and start and length of their two
        crops, as parts of a window, (2, N) float64."""
        draw = self._sampler.draw(number)
        length = self._windows[draw.items[0].source].segments.eeg.shape[-1]
        x_NT = np.empty((draw.size, length), dtype=np.float32)
        mixture_NV = np.empty((draw.size, len(self.config.channels)), dtype=np.float32)
        for items in draw.items:
            windows = self._windows[items.source]
            x_NT[items.place] = windows.items(items.window, items.channel)
            mixture_NV[items.place] = windows.mixture[items.channel]
        crops = (np.stack(parts) for parts in zip(*draw.crops, strict=True))
        return Prepared(tuple(torch.from_numpy(one) for one in (x_NT, mixture_NV, *crops)), draw)

    def __call__(self, number: int, prepared: Prepared | None = None) -> dict[str, Tensor]:
        """The terms of the ``number``-th draw, scalars: ``loss``; ``chance``, the loss where all embeddings are alike;
        ``found``, the share of crops whose nearest other crop is their partner. ``prepared``: the draw, on the
        device."""
        return self.contrast([self.embed(number, prepared)])

    def embed(self, number: int, prepared: Prepared | None = None) -> Embedded:
        """The ``number``-th draw through the network: unit rows of all first crops, then of all second ones."""
        draw = prepared or self.prepare(number).on(self._device)
        x_NT, mixture_NV, start_2N, length_2N = draw.tensors
        both_NT = torch.cat([resized_crop(x_NT, *one) for one in zip(start_2N, length_2N, strict=True)])
        cuda = [self._device] if torch.device(self._device).type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            # Dropout too is a function of the seed and the number.
            torch.manual_seed(int(np.random.SeedSequence([self._seed, number]).generate_state(1, np.uint64)[0] >> 1))
            features_ND = self.model(both_NT, draw.drawn.rate_hz, mixture_NV.repeat(2, 1))
            return Embedded((self.model.project(features_ND),))

    def contrast(self, draws: Sequence[Embedded]) -> dict[str, Tensor]:
        """The terms of draws whose crops are each other's negatives."""
        z_ND = pairs_of([draw.rows[0] for draw in draws])
        loss = losses.nt_xent(z_ND, self.config.temperature)
        return {"loss": loss, "chance": torch.tensor(math.log(len(z_ND) - 1)), "found": _found(z_ND.detach())}

    def describe(self, number: int) -> dict[str, str]:
        """What the ``number``-th draw takes of each data set, in words."""
        words = {}
        for items in self._sampler.draw(number).items:
            windows = self._windows[items.source]
            names = [windows.names[index] for index in np.unique(items.channel)]
            taken = f"{windows.segments.describe(np.unique(items.window))}; channels {some(names)}"
            words[windows.segments.dataset] = taken
        return words


def _known_only(config: ArtConfig) -> ArtConfig:
    return replace(config, unknown_channels="drop")


@in_float32
def _found(z_ND: Tensor) -> Tensor:
    similarity = (z_ND @ z_ND.T).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(z_ND), device=z_ND.device).roll(len(z_ND) // 2)
    return (similarity.argmax(dim=1) == partner).float().mean()
