"""Contrast by valence and arousal (EMOD): pure functions of tensors. N rows (windows), D embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from eegpipe.errors import UsageProblem
from eegpipe.precision import in_float32

# An anchor whose weights sum to less has nobody to be near to and counts as 0.
LEAST_WEIGHT = 1e-6


def nearness(affect_N2: Tensor, d_max: float) -> Tensor:
    """Soft targets: 1 for the same point of the valence-arousal plane, falling linearly to 0 at ``d_max``; (N, N).

    The diagonal is 0: a row is no partner of itself.
    """
    distance_NN = torch.linalg.vector_norm(affect_N2[:, None] - affect_N2[None], dim=-1)
    return (1 - distance_NN / d_max).clamp(0, 1).fill_diagonal_(0)


def same_class(label_N: Tensor) -> Tensor:
    """Hard targets: 1 for two rows with one label, else 0, the diagonal too; (N, N) float32."""
    return (label_N[:, None] == label_N[None]).float().fill_diagonal_(0)


@in_float32
def weighted_contrast(z_ND: Tensor, weight_NN: Tensor, temperature: float) -> Tensor:
    """Contrastive loss of every anchor with graded partners (EMOD, Eq. 6; with hard targets: SupCon).

    - sum_j w_ij log p_ij / sum_j w_ij, where p_ij is the softmax of z_i.z_j / temperature over all j but i.

    Parameters
    ----------
    z_ND : Tensor
        Unit rows.
    weight_NN : Tensor
        Not negative, zeros on the diagonal. A row of zeros has no partner.
    temperature : float

    Returns
    -------
    Tensor, (N,)
        0 for an anchor without partner; ln(N - 1) for one with partners when all rows of z are the same.
    """
    rows = len(z_ND)
    if rows < 2 or weight_NN.shape != (rows, rows):
        raise UsageProblem(f"Contrast needs at least two rows and a weight for each pair, found {rows} rows.")
    similarity_NN = z_ND @ z_ND.T / temperature
    itself = torch.eye(rows, dtype=torch.bool, device=z_ND.device)
    log_p_NN = similarity_NN.masked_fill(itself, -torch.inf).log_softmax(dim=1)
    # 0 x -inf on the diagonal would be NaN, in the gradient too.
    summed_N = (weight_NN * log_p_NN.masked_fill(itself, 0)).sum(dim=1)
    total_N = weight_NN.sum(dim=1)
    alone = total_N < LEAST_WEIGHT
    return torch.where(alone, 0.0, -summed_N / total_N.masked_fill(alone, 1.0))


def contrast_floor(weight_NN: Tensor) -> Tensor:
    """The least that :func:`weighted_contrast` can be for these targets, (N,): their entropy, 0 without partner.

    Graded targets cannot be met with certainty, so the loss of a perfect network is not 0; what training has achieved
    lies between ln(N - 1) and this.
    """
    share_NN = weight_NN / weight_NN.sum(dim=1, keepdim=True).clamp_min(LEAST_WEIGHT)
    return -torch.xlogy(share_NN, share_NN).sum(dim=1)
