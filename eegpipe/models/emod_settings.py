"""Settings of EMOD and of its fine-tuning. No torch here, so that reading params.yaml stays quick.

Defaults are the paper's values. Sources: *paper* is arXiv 2511.05863, *code* its public code (commit 60073cb), *ours* a
choice that neither fixes. docs/methods/emod.md has the whole table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

from eegpipe.errors import UsageProblem
from eegpipe.models.settings import Count, PretrainSettings

Share = Annotated[float, Ge(0), Lt(1)]

# Every switch of EmodConfig that the variant sets, under the two variants.
_VARIANTS: dict[str, dict[str, Any]] = {
    "described": {
        "temporal_axis": "time",
        "d_max": 5.0,
        "missing_region": "next",
        "augmentation": "off",
        "batch_norm_windows": 0,
        "affect_steps": "continuous",
        "deap_axes": "right",
    },
    "released": {
        "temporal_axis": "raster",
        "d_max": 182**0.5,
        "missing_region": "carried",
        "augmentation": "one of six",
        "batch_norm_windows": 9,
        "affect_steps": "integers",
        "deap_axes": "swapped",
    },
}

_FINE_TUNING: dict[str, dict[str, Any]] = {
    "described": {"head": "linear", "scratch_optimiser": "same"},
    "released": {"head": "by data set", "scratch_optimiser": "adamw"},
}


@dataclass(frozen=True)
class EmodConfig:
    """The network, loss and batch rule of EMOD. A switch that is None follows the variant."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "described": what the paper says, without evident faults. "released": what the public code computes, faults too.
    variant: Literal["described", "released"] = "described"

    hidden: Count = 128  # width of a token and number of convolution maps (paper, code)
    kernel: Count = 25  # of both convolutions, samples or frequency bins; odd (code)
    norm_groups: Count = 4  # of the GroupNorm after them; divides hidden (code)
    tokens_per_s: Annotated[float, Gt(0)] = 5.0  # of both branches (code)
    longest_tokens: Count = 50  # tokens of the longest window: size of the relative-position table (code)
    heads: Count = 16  # attention heads; divides hidden (paper, code)
    depth: Count = 3  # axial blocks (paper, code)
    ffn: Count = 512  # width of the feed-forward part of a block (code)
    dropout: Share = 0.1  # in the blocks, in training (code)
    projection: Count = 512  # inner width of the pre-training head (code)
    pool_dropout: Share = 0.25  # on the weights of the attention pools, in training (code)
    channel_rows: Count = 72  # rows of the channel table: ids of the Unified Channel Schema (code: 72 rows of its own)
    temperature: Annotated[float, Gt(0)] = 0.07  # of the contrast (paper)
    per_region: Count = 4  # segments of a data set in a draw for each of the nine regions (code: 36 = 9 x 4)

    # What is pulled together. "soft": by nearness in the valence-arousal plane (the method). "hard": segments of one of
    # the nine regions, SupCon. "augmentation": two augmented views of a segment, NT-Xent; labels then choose the batch
    # only. The last two are rows of the paper's ablation; how they were built is not stated (ours).
    contrast: Literal["soft", "hard", "augmentation"] = "soft"
    # "table": q.r with one learned vector for each offset, not scaled, q.k over sqrt(head width) (code). "matrix": a
    # learned token x token matrix added to q.k over sqrt(hidden), Eq. 3 of the paper.
    relative_position: Literal["table", "matrix"] = "table"
    # Whether a GELU follows the linear fusion of the branches (code) or not (Eq. 1 of the paper).
    fusion: Literal["gelu", "linear"] = "gelu"
    # Over anchors: the code's mean, or the sum of Eq. 6.
    reduction: Literal["mean", "sum"] = "mean"

    # "raster": the (token, feature) slab of a channel is transposed and read again as if it were not, so that attention
    # mixes features and never sees time.
    temporal_axis: Literal["time", "raster"] | None = None
    # Distance from which a pair is a pure negative, on axes that are 8 long.
    d_max: Annotated[float, Gt(0)] | None = None
    # A data set without the region asked for: "next" takes the following one that it has; "carried" also asks the data
    # sets after it for that one; "even" deals the requests in turn to the regions that it has (ours).
    missing_region: Literal["next", "carried", "even"] | None = None
    # "one of six": nothing (3 of 6), noise, shuffled channels, zeroed time. Has no part in contrast "augmentation".
    augmentation: Literal["off", "one of six"] | None = None
    # Windows of one data set over which the head's batch norm takes its statistics; 0: all of the draw. (9: 36 over
    # four GPUs.)
    batch_norm_windows: Annotated[int, Ge(0)] | None = None
    # "integers": valence and arousal lose their fraction on the scale 0 to 8.
    affect_steps: Literal["continuous", "integers"] | None = None
    # "swapped": DEAP's valence and arousal are exchanged.
    deap_axes: Literal["right", "swapped"] | None = None

    def __post_init__(self) -> None:
        for name, divisor in (("heads", self.heads), ("norm_groups", self.norm_groups)):
            if self.hidden % divisor:
                raise UsageProblem(f"emod: hidden ({self.hidden}) must be a multiple of {name} ({divisor}).")
        if self.kernel % 2 == 0:
            raise UsageProblem(f"emod: kernel ({self.kernel}) must be odd, so that a token keeps its place.")
        windows, together = 9 * self.per_region, self.batch_norm_windows or 0
        if together == 1 or (together and windows % together):
            raise UsageProblem(
                f"emod: batch_norm_windows ({together}) must divide the {windows} windows of a draw "
                "(9 x per_region) into parts of two or more."
            )

    def resolved(self) -> EmodConfig:
        """The same with every switch set: what stands in a model's config.json."""
        preset = _VARIANTS[self.variant]
        return replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})

    def tokens(self, samples: int, rate_hz: float) -> int:
        """Tokens of a channel in a window of so many samples.

        Raises
        ------
        UsageProblem
            If the window is too short for one token, too long for the table of relative positions, or its spectrum has
            fewer bins than tokens.
        """
        seconds = samples / rate_hz
        tokens = round(self.tokens_per_s * seconds)
        bins = samples // 2 + 1
        if not 1 <= tokens <= min(self.longest_tokens, bins):
            raise UsageProblem(
                f"emod: windows of {seconds:g} s ({samples} samples at {rate_hz:g} Hz) make {tokens} tokens at "
                f"{self.tokens_per_s:g} a second, expected 1 to {min(self.longest_tokens, bins)} (longest_tokens "
                f"{self.longest_tokens}, {bins} frequency bins). Use other windows or another tokens_per_s."
            )
        return tokens


@dataclass(frozen=True)
class EmodTraining(PretrainSettings):
    """Pre-training of EMOD."""

    epochs: Annotated[int, Ge(0)] = 100  # (code)
    steps_per_epoch: Count | None = None  # the code's: segments of a mean data set / segments of it in a draw
    optimiser: Literal["adam", "adamw"] = "adamw"  # (code)
    schedule: Literal["constant", "cosine"] = "cosine"  # (code)
    final_learning_rate: Annotated[float, Ge(0)] = 1e-7  # (code)
    gradient_clip: Annotated[float, Ge(0)] = 3.0  # (code)
    # Windows of a data set that pass the encoder together; 0: all of the draw. Memory only, but for dropout's masks.
    windows_at_once: Annotated[int, Ge(0)] = 12  # (ours)
    recompute: bool = True  # pass the blocks twice instead of keeping their activations (ours)


@dataclass(frozen=True)
class EmodFineTuning:
    """Training of encoder and head on a target. A switch that is None follows the variant."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    variant: Literal["described", "released"] = "described"
    epochs: Count = 100  # (code)
    patience: Annotated[int, Ge(0)] = 0  # epochs without a better validation kappa before the end; 0: none (code)
    batch: Count = 64  # segments of an optimiser step (code)
    head_rate: Annotated[float, Gt(0)] = 1e-3  # learning rate of the head (code)
    encoder_rate: Annotated[float, Ge(0)] = 5e-4  # ... of the encoder; 0: frozen (code)
    final_rate: Annotated[float, Ge(0)] = 1e-6  # both fall to this on a cosine, epoch by epoch (code: 1e-6 or 1e-8)
    weight_decay: Annotated[float, Ge(0)] = 1e-4  # (code)
    gradient_clip: Annotated[float, Ge(0)] = 1.0  # largest norm of the gradient; 0: no clipping (code)
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.1  # (code)
    dropout: Share = 0.25  # before the linear head, and on the weights of its pools (code)

    # "linear": attention pools over channels and time, dropout, one linear layer (which pool stands before the paper's
    # "simple linear classifier" is not stated: ours). "by data set": the code's perceptrons.
    head: Literal["linear", "by data set"] | None = None
    # From random weights, drawn anew in every fold, instead of the pre-trained ones: the paper's control.
    scratch: bool = False
    # Without pre-trained weights: "same" as with them, so that only the weights differ; or the code's AdamW with
    # head_rate for everything.
    scratch_optimiser: Literal["same", "adamw"] | None = None

    def resolved(self) -> EmodFineTuning:
        """The same with every switch set."""
        preset = _FINE_TUNING[self.variant]
        return replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})
