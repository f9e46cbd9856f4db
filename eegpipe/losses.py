"""Losses of the pre-training methods: pure functions of tensors.

Shapes: N rows (windows of both subjects), D embedding, B windows, F feature maps, S latent channels, P patches in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from eegpipe.errors import UsageProblem
from eegpipe.precision import in_float32


@in_float32
def nt_xent(z_ND: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross-entropy (ISA of mdJPT): the mean over rows of -log p(the row's partner).

    Parameters
    ----------
    z_ND : Tensor
        Unit rows, N = 2n; rows i and i + n are partners, all other rows are negatives.
    temperature : float
        Divides the dot products.

    Returns
    -------
    Tensor, scalar
        ln(2n - 1) when all rows are the same.
    """
    rows = len(z_ND)
    if rows < 2 or rows % 2:
        raise UsageProblem(f"NT-Xent needs pairs of rows, found {rows} rows.")
    similarity_NN = z_ND @ z_ND.T / temperature
    itself = torch.eye(rows, dtype=torch.bool, device=z_ND.device)
    partner_N = torch.arange(rows, device=z_ND.device).roll(rows // 2)
    return functional.cross_entropy(similarity_NN.masked_fill(itself, -torch.inf), partner_N)


def covariance(p_BFSP: Tensor, kind: Literal["true", "scrambled"] = "true") -> Tensor:
    """Covariance of the latent channels over time, averaged over windows: (F, S, S), divisor P - 1 for each window.

    ``scrambled`` is what the published code computes: the centred signal, laid out time-major, is read again as if it
    were channel-major before the product, so that the matrix is no covariance of channels.
    """
    windows, maps, latents, patches = p_BFSP.shape
    centred_BFSP = p_BFSP - p_BFSP.mean(dim=-1, keepdim=True)
    if kind == "scrambled":
        centred_BFSP = centred_BFSP.transpose(-1, -2).reshape(p_BFSP.shape)
    # One product over (window, time) gives the sum over windows without a matrix for every window.
    long_FSX = centred_BFSP.permute(1, 2, 0, 3).reshape(maps, latents, windows * patches)
    return long_FSX @ long_FSX.transpose(-1, -2) / (windows * (patches - 1))


@in_float32
def cda(
    latents: Sequence[Tensor],
    *,
    kind: Literal["true", "scrambled"] = "true",
    diagonal: Literal["kept", "zero"] = "kept",
) -> Tensor:
    """Cross-data-set alignment of mdJPT: log(1 + sum over maps and pairs of subjects of ||difference of covariances||).

    Parameters
    ----------
    latents : sequence of Tensor, (B, F, S, P) each
        One tensor per data set: the first half of the windows is one subject's, the second half the other's. All pairs
        of subjects count, those within a data set too. The norm is Frobenius', not squared.
    kind, diagonal
        See :func:`covariance`; ``zero`` ignores the diagonal, as the published code does.

    Returns
    -------
    Tensor, scalar
        0 when all subjects share one covariance.
    """
    per_subject = []
    for p_BFSP in latents:
        if len(p_BFSP) % 2:
            raise UsageProblem(f"CDA needs two subjects with equally many windows, found {len(p_BFSP)} windows.")
        per_subject += [covariance(half_BFSP, kind) for half_BFSP in p_BFSP.chunk(2)]
    gamma_UFSS = torch.stack(per_subject)
    if diagonal == "zero":
        gamma_UFSS = gamma_UFSS * (1 - torch.eye(gamma_UFSS.shape[-1], device=gamma_UFSS.device))
    first, second = torch.triu_indices(len(gamma_UFSS), len(gamma_UFSS), offset=1, device=gamma_UFSS.device)
    distance_QF = torch.linalg.vector_norm(gamma_UFSS[first] - gamma_UFSS[second], dim=(-2, -1))
    return torch.log1p(distance_QF.sum())
