"""Settings of ART + GAT (arXiv 2511.08444). No torch here, so that reading params.yaml stays quick.

No code of the method is public and its text leaves much open. Sources: *paper* is in the text, *ocr* was read from a
text whose exponents are damaged, *ours* is in no source. docs/methods/art.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from eegpipe.errors import UsageProblem
from eegpipe.models.channel_schema import ChannelSet, vocabulary
from eegpipe.models.settings import Count, PretrainSettings

Rate = Annotated[float, Ge(0), Lt(1)]  # of dropout


@dataclass(frozen=True)
class ArtConfig:
    """The encoder, its contrastive loss and the rule of a batch."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # There is no public code, so nothing was released that could be repeated.
    variant: Literal["described", "released"] = "described"

    # Channels with an embedding of their own, over the data sets in play (paper: all three ways).
    channel_set: ChannelSet = "union"
    # The names, in order of their ids. Empty: taken from the data sets (``resolved``).
    channels: tuple[str, ...] = ()
    # A channel that has none, at use: the mean embedding of the three nearest that have one, or it is left out. None:
    # left out of an intersection, "nearest" otherwise (ours).
    unknown_channels: Literal["nearest", "drop"] | None = None

    # "adaptive": convolutions, then pooling to `patches` tokens. "fixed": `patch_samples` samples a token (ablation).
    tokenizer: Literal["adaptive", "fixed"] = "adaptive"
    # "seconds": a kernel lasts equally long at every rate (ours). "samples": plain convolutions and AdaptiveAvgPool1d.
    time_base: Literal["seconds", "samples"] = "seconds"
    reference_hz: Annotated[float, Gt(0)] = 128.0  # rate at which `kernels` are so many samples long (ours)
    conv_widths: Annotated[tuple[Count, ...], Len(1)] = (16, 32, 64)  # outputs of each convolution (ours)
    kernels: Annotated[tuple[Count, ...], Len(1)] = (31, 7, 7)  # samples, odd (ours)
    # Of "samples". "seconds" only thins what exceeds reference_hz, in its first convolution (ours).
    strides: Annotated[tuple[Count, ...], Len(1)] = (2, 2, 2)
    norm_groups: Annotated[int, Ge(0)] = 8  # of the group norm after each convolution; 0: none (ours)
    patches: Count = 16  # tokens of a window (paper)
    patch_samples: Count = 16  # of the fixed tokenizer (paper)
    most_patches: Count = 64  # longest window of the fixed tokenizer, in patches (ours)
    # Rates with an embedding of their own, rising; between two, the embeddings are mixed by the logarithm of the rate.
    # The paper has 128 and 200 Hz, the others are ours.
    rate_anchors_hz: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)] = (128.0, 200.0, 500.0, 1000.0)

    width: Count = 128  # of tokens and of the features of a channel (paper)
    heads: Count = 8  # divides width (paper)
    depth: Count = 3  # transformer layers (paper)
    ffn: Count = 256  # width of their feed-forward part (paper)
    dropout: Rate = 0.1  # (ours)
    activation: Literal["relu", "gelu"] = "relu"  # of the feed-forward part (ours)
    norm_first: bool = False  # layer norm before attention and feed-forward part, not after them (ours)
    projection: Literal["none", "mlp"] = "none"  # between the features and the contrastive loss (paper names none)

    # Mean 0 and spread 1 of every channel, over a session of a subject or over each window alone (ours).
    scaling: Literal["session", "window"] = "session"
    temperature: Annotated[float, Gt(0)] = 0.1  # of NT-Xent (ours)
    # Least and largest part of a window in a crop (ours).
    crop_scale: tuple[Annotated[float, Gt(0), Le(1)], Annotated[float, Gt(0), Le(1)]] = (0.5, 1.0)
    batch_items: Annotated[int, Ge(2)] = 512  # channels of windows in a draw (paper)

    def __post_init__(self) -> None:
        if self.variant == "released":
            raise UsageProblem("art: no code of this method is public, so there is no variant 'released'.")
        if self.width % self.heads:
            raise UsageProblem(f"art: width ({self.width}) must be a multiple of heads ({self.heads}).")
        if not len(self.conv_widths) == len(self.kernels) == len(self.strides):
            raise UsageProblem("art: conv_widths, kernels and strides must be equally many.")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise UsageProblem(f"art: kernels must be odd, found {list(self.kernels)}.")
        if self.norm_groups and any(outputs % self.norm_groups for outputs in self.conv_widths):
            raise UsageProblem(f"art: norm_groups ({self.norm_groups}) must divide each of {list(self.conv_widths)}.")
        if list(self.rate_anchors_hz) != sorted(set(self.rate_anchors_hz)):
            raise UsageProblem(f"art: rate_anchors_hz must rise, found {list(self.rate_anchors_hz)}.")
        if self.crop_scale[0] > self.crop_scale[1]:
            raise UsageProblem(f"art: crop_scale must rise, found {list(self.crop_scale)}.")

    def resolved(self, channels_of: Mapping[str, Sequence[str]]) -> ArtConfig:
        """The same with the names of the channels set: what stands in a model's config.json.

        ``channels_of``: the channels of each data set in play. For the intersection that includes the target, whose
        signal is not needed.
        """
        return replace(
            self,
            channels=self.channels or vocabulary(self.channel_set, channels_of),
            unknown_channels=self.unknown_channels or ("drop" if self.channel_set == "intersection" else "nearest"),
        )


@dataclass(frozen=True)
class ArtTraining(PretrainSettings):
    """Pre-training of ART."""

    epochs: Annotated[int, Ge(0)] = 100  # (paper: up to 100)
    steps_per_epoch: Count | None = None  # channels of windows in all sources / batch_items (ours)
    optimiser: Literal["adam", "adamw"] = "adamw"  # (ocr)
    learning_rate: Annotated[float, Gt(0)] = 3e-4  # (ocr)
    schedule: Literal["constant", "cosine"] = "cosine"  # to 0 (ocr; the end is ours)
    weight_decay: Annotated[float, Ge(0)] = 7e-4  # the mantissa is certain, the exponent is not (ocr)


@dataclass(frozen=True)
class GatConfig:
    """The classifier over channels."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "gcn" and "none" are the paper's ablations.
    graph: Literal["gat", "gcn", "none"] = "gat"
    # Which channels are joined: all (paper), each with its nearest ones, or those within a radius (ours).
    adjacency: Literal["full", "nearest", "radius"] = "full"
    neighbours: Count = 8  # of "nearest"; a channel that has another among its nearest is joined with it (ours)
    radius_m: Annotated[float, Gt(0)] = 0.06  # of "radius", between template positions, metres (ours)
    self_loops: bool = True  # a channel is its own neighbour (ours)
    hidden: Count = 256  # width after the first linear layer and of everything that follows (paper)
    graph_layers: Count = 2  # (paper)
    graph_heads: Count = 4  # side by side; divides hidden (paper)
    slope: Annotated[float, Ge(0)] = 0.2  # of the LeakyReLU on attention (ours)
    graph_dropout: Rate = 0.0  # of attention (ours)
    residual: bool = False  # a graph layer adds to its input (the paper mentions none)
    layers: Count = 2  # of the transformer over channels (paper)
    heads: Count = 4  # divides hidden (paper)
    ffn: Count = 512  # (ours)
    transformer_dropout: Rate = 0.1  # (ours)
    dropout: Rate = 0.5  # before the last linear layer (paper)

    def __post_init__(self) -> None:
        for name in ("graph_heads", "heads"):
            if self.hidden % getattr(self, name):
                raise UsageProblem(f"gat: hidden ({self.hidden}) must be a multiple of {name} ({getattr(self, name)}).")


@dataclass(frozen=True)
class FineTuneSettings:
    """Fine-tuning of encoder and classifier on one training part, normally one subject's."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: Count = 100  # (paper)
    batch: Count = 128  # windows (paper)
    encoder_rate: Annotated[float, Ge(0)] = 5e-6  # AdamW's step for the encoder; 0: frozen (ocr)
    head_rate: Annotated[float, Gt(0)] = 1e-4  # AdamW's step for all else (ocr)
    weight_decay: Annotated[float, Ge(0)] = 7e-4  # as in pre-training (ours)
    # From random weights, drawn anew in every fold, instead of the pre-trained ones: the paper's control. With a frozen
    # encoder they stay random.
    scratch: bool = False
    ensemble: Count = 5  # checkpoints with the best validation accuracy whose probabilities are averaged (paper)
    # Where no validation part is given: so much of the training part (ours).
    validation_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    # ... in whole trials, or in single windows, which share samples with their neighbours in training.
    validation_unit: Literal["trial", "window"] = "trial"


# Two cores, minutes.
DEMO = ArtConfig(
    conv_widths=(8, 16, 16),
    norm_groups=4,
    width=32,
    heads=4,
    depth=1,
    ffn=64,
    batch_items=128,
)
DEMO_GAT = GatConfig(hidden=32, graph_heads=4, heads=4, ffn=64, layers=1)
# The encoder stays as it is: with it, each epoch would cost as much as one of pre-training, for every subject.
DEMO_FINE_TUNE = FineTuneSettings(epochs=60, batch=16, encoder_rate=0.0, head_rate=3e-3)
