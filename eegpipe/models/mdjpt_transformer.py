"""mdJPT's Transformer ablation: softmax attention in place of the gated linear attention (MLLA), like for like.

Width, depth, heads and feed-forward width are those of the MLLA blocks, and every channel still passes by itself. The
paper says no more (arXiv 2510.22197, Table 7); pre-norm, GELU, no dropout and sinusoidal positions are ours.

Shapes: R rows (channels of windows), P patches, H hidden.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eegpipe.models.settings import MdjptConfig


def transformer_block(config: MdjptConfig) -> nn.TransformerEncoderLayer:
    """One pre-norm layer, (R, P, H) -> (R, P, H): x + attention(norm(x)), then x + feed-forward(norm(x)).

    Pre-norm, as the MLLA block: learning rates of the paper need no warm-up then. Without dropout, as the MLLA block.
    """
    return nn.TransformerEncoderLayer(
        config.hidden, config.heads, config.ffn, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )


def positions(patches: int, hidden: int, like: Tensor) -> Tensor:
    """Sines and cosines of the patch's number, (P, H): attention alone does not know the order of patches, where MLLA
    has its convolutions. Without parameters, so that windows of any length can enter one network.

    Column 2i is the sine and 2i + 1 the cosine of number / 10000^(2i / H) (arXiv 1706.03762, section 3.5).
    """
    number_P1 = torch.arange(patches, device=like.device, dtype=torch.float32).unsqueeze(1)
    even = torch.arange(0, hidden, 2, device=like.device, dtype=torch.float32)
    angle = number_P1 * torch.exp(even * (-math.log(10_000.0) / hidden))
    table_PH = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :hidden]
    return table_PH.to(like.dtype)
