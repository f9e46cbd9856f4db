"""Settings of the methods and of pre-training. No torch here, so that reading params.yaml stays quick.

Defaults are the papers' values. Sources: *paper* is arXiv 2510.22197 (mdJPT), *code* its public code of 2025-12-22,
*ours* a choice that neither fixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Len

from eegpipe.errors import UsageProblem

Count = Annotated[int, Ge(1)]

# Every switch of MdjptConfig that the variant sets, under the two variants.
_VARIANTS: dict[str, dict[str, Any]] = {
    "described": {
        "block_output": "after ffn",
        "cda_covariance": "true",
        "cda_diagonal": "kept",
        "pair_draw": "independent",
        "channel_ranking": "distance",
        "idle_parameters": False,
    },
    "released": {
        "block_output": "before attention",
        "cda_covariance": "scrambled",
        "cda_diagonal": "zero",
        "pair_draw": "coupled",
        "channel_ranking": "released",
        "idle_parameters": True,
    },
}

# The weight of CDA: the paper's optimum, and what the public code ships and its saved run used.
CDA_LAMBDA = {"described": 0.02, "released": 0.01}


@dataclass(frozen=True)
class MdjptConfig:
    """The network, loss and batch rule of mdJPT. A switch that is None follows the variant."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "described": what the paper says, without evident faults. "released": what the public code computes, faults too.
    variant: Literal["described", "released"] = "described"

    # What embeds the patches of a channel. "mlla": gated linear attention (the method). "transformer": softmax
    # attention of equal width, depth, heads and feed-forward (the paper's ablation; described only).
    encoder: Literal["mlla", "transformer"] = "mlla"
    patch_samples: Count = 32  # length of a patch, samples (code)
    patch_stride: Count = 6  # from patch to patch, samples (code)
    hidden: Count = 128  # width of the MLLA blocks (code)
    heads: Count = 8  # attention heads; divides hidden (code)
    depth: Count = 2  # MLLA blocks (code)
    ffn: Count = 256  # width of the feed-forward part of a block (code)
    features: Count = 32  # feature maps per channel after the blocks (code)
    latent_channels: Count = 64  # outputs of the spatial projector (code)
    filters: Count = 4  # filters per feature map and dilation (code)
    dilations: Annotated[tuple[Count, ...], Len(1)] = (1, 3, 6, 12)  # of the spatial convolutions, in patches (code)
    attention_patches: Count = 15  # kernel and moving average of the local attention, patches (code)
    pool_patches: Count = 15  # average pooling before the ISA projector, patches (code)
    smoother_patches: Count = 3  # kernel of the projector's two convolutions, pooled patches (code)
    temperature: Annotated[float, Gt(0)] = 0.07  # of NT-Xent (code)
    # Weight of ISA in the loss (paper, code). 0: CDA alone, the paper's ablation. CDA's weight is `cda_lambda`.
    isa_weight: Annotated[float, Ge(0)] = 1.0
    norm_before_ffn: bool = False  # canonical MLLA normalises before the feed-forward part; mdJPT does not (code)

    # What a block returns. "before attention": the projection that would enter the attention; all after it is lost.
    block_output: Literal["after ffn", "before attention"] | None = None
    # "scrambled": time and channel are confused before the product, so the matrix is no channel covariance.
    cda_covariance: Literal["true", "scrambled"] | None = None
    # "zero": variances do not count in CDA.
    cda_diagonal: Literal["kept", "zero"] | None = None
    # "independent": uniform for every data set (ours). "coupled": one integer for all, modulo each list's length.
    pair_draw: Literal["independent", "coupled"] | None = None
    # Which neighbours stand in for a missing channel: by distance (ours), or as in the published table.
    channel_ranking: Literal["distance", "released"] | None = None
    # Hold the parameters that the public code creates and never uses (a second LayerNorm, a 1 x 30 convolution).
    idle_parameters: bool | None = None

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise UsageProblem(f"mdjpt: hidden ({self.hidden}) must be a multiple of heads ({self.heads}).")
        if self.encoder == "transformer":
            self._check_transformer()

    def _check_transformer(self) -> None:
        if self.variant == "released":
            raise UsageProblem(
                "mdjpt: encoder 'transformer' is not built for the variant 'released', whose ablation maps the 60 "
                "channels jointly, sample by sample, and leaves the rest of the network open. Use variant 'described'; "
                "its other switches can be set one by one."
            )
        if self.block_output == "before attention" or self.norm_before_ffn:
            name = "norm_before_ffn" if self.norm_before_ffn else "block_output"
            raise UsageProblem(
                f"mdjpt: {name} is of the MLLA blocks, and encoder 'transformer' has none. Leave it at its default."
            )

    def resolved(self) -> MdjptConfig:
        """The same with every switch set: what stands in a model's config.json."""
        preset = _VARIANTS[self.variant]
        return replace(self, **{name: value for name, value in preset.items() if getattr(self, name) is None})

    @property
    def maps(self) -> int:
        """Width of the encoder's output: feature maps x filters x dilations."""
        return self.features * self.filters * len(self.dilations)

    def patches(self, samples: int) -> int:
        """Patches in a window of so many samples; 0 if it is shorter than a patch."""
        return max((samples - self.patch_samples) // self.patch_stride + 1, 0)

    def embedding(self, samples: int) -> int:
        """Width of the embedding that the contrastive loss sees; 0 if the window is too short for the projector."""
        pooled = self.patches(samples) // self.pool_patches
        return self.maps * max(pooled - 2 * (self.smoother_patches - 1), 0)


@dataclass(frozen=True)
class PretrainSettings:
    """The optimisation, the same for every method. What only one method has is in a class of its own that extends it.

    The learning rate is a function of the epoch alone, so that a run that was killed continues exactly.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: Annotated[int, Ge(0)] = 20  # saved run of the code; 0: random weights, a control for evaluation
    # Optimiser steps (code; its 2-GPU default makes 512 of two draws each). None: what the method's paper calls an
    # epoch of these data, where it says so.
    steps_per_epoch: Count | None = 1024
    draws_per_step: Count = 1  # batches whose gradients are averaged before a step
    # What a row is told from: "local": the other rows of its draw (codes); "global": of all draws of the step, whatever
    # the number of processes that share them.
    negatives: Literal["local", "global"] = "local"
    optimiser: Literal["adam", "adamw"] = "adam"  # (paper, code)
    learning_rate: Annotated[float, Gt(0)] = 5e-4  # of the first epoch (paper, code)
    # "cosine": falls to final_learning_rate, epoch by epoch, and would reach it in the epoch after the last.
    schedule: Literal["constant", "cosine"] = "constant"  # (paper, code)
    final_learning_rate: Annotated[float, Ge(0)] = 0.0  # of "cosine"; a constant rate has none
    weight_decay: Annotated[float, Ge(0)] = 1e-4  # Adam: coupled L2 (paper, code); AdamW: decoupled
    gradient_clip: Annotated[float, Ge(0)] = 0.0  # largest norm of the gradient; 0: no clipping (code)
    # Of the network's products and convolutions; losses, norms, weights and optimiser stay in float32 (ours).
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False  # the layers by torch.compile, where there is a compiler (ours)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        rest = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * rest


@dataclass(frozen=True)
class MdjptTraining(PretrainSettings):
    """Pre-training of mdJPT."""

    most_stimuli: Annotated[int, Ge(0)] = 0  # stimuli of a data set in a draw, chosen anew each time; 0: all (code)
    recompute: bool = False  # compute blocks twice instead of keeping their activations: slower, far less memory (ours)
