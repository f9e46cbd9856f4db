"""The maximum of the extended Infomax likelihood, found with second-order steps in single precision.

The model is that of extended Infomax (Lee, Girolami & Sejnowski 1999): every source is either peaked or flat, with
densities whose scores are y + tanh(y) and y - tanh(y). The way to the maximum is that of Picard (Ablin, Cardoso &
Gramfort 2018): L-BFGS on the relative gradient, preconditioned with the Hessian of independent sources, which is
made of 2 x 2 blocks.

What makes it quick: samples are worked off in pieces that stay in the processor's cache, in float32 with sums in
float64; the covariance of the sources follows from that of the data, so an evaluation is two matrix products; and
most steps are taken on a part of the samples, the last few on all. Pieces are summed up in their order: any number of
threads gives the same bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

# Samples of a piece: a few arrays of (component, piece) fit the cache beside each core.
PIECE = 2048
# Steps that L-BFGS remembers, and how often a step is halved before the plain gradient is tried.
_MEMORY = 10
_HALVINGS = 10
# Eigenvalues of the Hessian's blocks are raised to this; below it a pair of sources is Gaussian to the model.
_LEAST_CURVATURE = 0.01
# The first steps are taken on every k-th sample, as long as no entry of the gradient there is below the tolerance ...
_COARSE_TOLERANCE = 1e-2
# ... with the largest k that leaves this many samples per weight.
_COARSE_SAMPLES_PER_WEIGHT = 6.0


class Pieces(Protocol):
    """Data (component, sample), float32, piece by piece; at most ``PIECE`` samples in each."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Solution:
    """What was found.

    weights : array, shape (component, component), float64
        Sources = weights @ data.
    peaked : array of bool, shape (component,)
        Which sources have the peaked density.
    iterations
        Steps on all samples; those on a part are not counted.
    converged
        Whether no entry of the relative gradient exceeds the tolerance.
    loss
        The negative log-likelihood for one sample, without constants.
    """

    weights: np.ndarray
    peaked: np.ndarray
    iterations: int
    converged: bool
    loss: float


def extended_infomax(
    data: np.ndarray,
    *,
    tolerance: float,
    most_iterations: int,
    random_state: int,
    threads: int = 1,
    more: Pieces | None = None,
    last_steps: int = 0,
) -> Solution:
    """Decompose white data.

    Parameters
    ----------
    data : array of float32, shape (component, sample)
        Zero mean, unit variance, uncorrelated.
    tolerance
        For the largest absolute entry of the relative gradient.
    random_state
        Seed of the rotation to start from.
    threads
        How many cores to use. They change no byte.
    more
        Pieces (component, sample) of the recording that ``data`` is a part of, in the same coordinates; made when they
        are asked for, so that they need not all be in memory.
    last_steps
        So many steps on ``more`` at the end. From a solution on a part, a few second-order steps come close to what all
        samples together give.
    """
    components, samples = data.shape
    rotation, _ = np.linalg.qr(np.random.default_rng(random_state).standard_normal((components, components)))
    weights, peaked = rotation, np.ones(components, dtype=bool)
    step = int(samples / (_COARSE_SAMPLES_PER_WEIGHT * components**2))
    with _workers(threads) as pool:
        if step > 1:
            coarse = _Likelihood(_pieces(np.ascontiguousarray(data[:, ::step])), pool)
            first = _climb(coarse, weights, peaked, max(tolerance, _COARSE_TOLERANCE), most_iterations)
            weights, peaked = first.weights, first.peaked
        found = _climb(_Likelihood(_pieces(data), pool), weights, peaked, tolerance, most_iterations)
        if more is None or not last_steps:
            return found
        last = _climb(_Likelihood(more, pool), found.weights, found.peaked, tolerance, last_steps)
        return replace(last, iterations=found.iterations, converged=found.converged)


def _pieces(data: np.ndarray) -> list[np.ndarray]:
    return [data[:, first : first + PIECE] for first in range(0, data.shape[1], PIECE)]


@contextmanager
def _workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of our own, each with the numerical library on one: sums then do not depend on their number."""
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=threads) as pool:
        yield pool


@dataclass(frozen=True)
class _Point:
    """What is known at some weights; means over samples. ``tanh_y``: E[tanh(y_i) y_j]."""

    weights: np.ndarray
    log_cosh: np.ndarray  # E[log cosh y_i]
    tanh_y: np.ndarray  # (i, j)
    slope: np.ndarray  # E[1 - tanh(y_i)^2]
    slope_power: np.ndarray  # E[(1 - tanh(y_i)^2) y_i^2]
    covariance: np.ndarray  # E[y_i y_j]

    def peaked(self) -> np.ndarray:
        """The density that suits each source better, by the stability of the solution (Lee 1999, equation 19)."""
        return self.slope * np.diag(self.covariance) - np.diag(self.tanh_y) > 0

    def loss(self, signs: np.ndarray) -> float:
        _, log_determinant = np.linalg.slogdet(self.weights)
        return float(signs @ self.log_cosh + np.trace(self.covariance) / 2 - log_determinant)

    def gradient(self, signs: np.ndarray) -> np.ndarray:
        """Relative: a change of weights to (I + E) weights changes the loss by the sum of gradient * E."""
        return signs[:, None] * self.tanh_y + self.covariance - np.eye(len(signs))

    def curvature(self, signs: np.ndarray) -> np.ndarray:
        """(i, j): second derivative for E_ij, were the sources independent; E_ij and E_ji are coupled with 1."""
        power = np.diag(self.covariance)
        curvature = np.outer(signs * self.slope + 1, power)
        np.fill_diagonal(curvature, signs * self.slope_power + power + 1)
        return curvature


class _Likelihood:
    """The data, ready to be evaluated: white pieces (component, sample) of at most ``PIECE`` samples."""

    def __init__(self, pieces: Pieces, pool: ThreadPoolExecutor) -> None:
        self._pool, self._pieces = pool, pieces
        found = list(pool.map(lambda number: _products(pieces[number]), range(len(pieces))))
        self._samples = sum(samples for samples, _ in found)
        self._covariance = sum(products for _, products in found) / self._samples
        self._buffers = threading.local()

    def __call__(self, weights: np.ndarray) -> _Point:
        single = weights.astype(np.float32)
        parts = self._pool.map(lambda number: self._sums(single, self._pieces[number]), range(len(self._pieces)))
        log_cosh, tanh_y, slope, slope_power = (
            np.asarray(sum(part)) / self._samples for part in zip(*parts, strict=True)
        )
        return _Point(weights, log_cosh, tanh_y, slope, slope_power, weights @ self._covariance @ weights.T)

    def _sums(self, weights: np.ndarray, piece: np.ndarray) -> list[np.ndarray]:
        """Of one piece (component, sample), in the order of :class:`_Point`; float64.

        Everything is worked out in place: fresh arrays for each step cost more than the steps.
        """
        if not hasattr(self._buffers, "arrays"):  # one set for each thread
            self._buffers.arrays = np.empty((3, len(weights), PIECE), dtype=np.float32)
        sources, first, second = self._buffers.arrays[:, :, : piece.shape[1]]
        np.matmul(weights, piece, out=sources)
        np.abs(sources, out=first)  # log cosh y = |y| + log(1 + exp(-2 |y|)) - log 2
        size = first.sum(axis=1)
        first *= -2
        np.exp(first, out=first)
        first += 1
        np.log(first, out=first)
        log_cosh = size + first.sum(axis=1) - np.float32(np.log(2) * piece.shape[1])
        tanh = np.tanh(sources, out=first)
        tanh_y = tanh @ sources.T
        np.multiply(tanh, tanh, out=second)
        np.subtract(1, second, out=second)
        slope = second.sum(axis=1)
        second *= sources
        second *= sources
        return [part.astype(np.float64) for part in (log_cosh, tanh_y, slope, second.sum(axis=1))]


def _products(piece: np.ndarray) -> tuple[int, np.ndarray]:
    return piece.shape[1], (piece @ piece.T).astype(np.float64)


def _climb(
    likelihood: _Likelihood, weights: np.ndarray, peaked: np.ndarray, tolerance: float, most_iterations: int
) -> Solution:
    point = likelihood(weights)
    signs = np.where(peaked, 1.0, -1.0)
    memory: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)
    loss, gradient = point.loss(signs), point.gradient(signs)
    iterations, converged = 0, False
    while True:
        better = np.where(point.peaked(), 1.0, -1.0)
        if (better != signs).any():
            signs = better
            memory.clear()  # the loss is another one now
            loss, gradient = point.loss(signs), point.gradient(signs)
        converged = bool(np.abs(gradient).max() < tolerance)
        if converged or iterations == most_iterations:
            break
        iterations += 1
        found = _line_search(likelihood, point, loss, signs, _direction(gradient, point.curvature(signs), memory))
        if found is None and memory:
            memory.clear()
            found = _line_search(likelihood, point, loss, signs, _direction(gradient, point.curvature(signs), memory))
        if found is None:  # nowhere lower to the precision of the sums
            break
        point, step = found
        loss, after = point.loss(signs), point.gradient(signs)
        change = after - gradient
        product = float(np.sum(step * change))
        if product > 0:
            memory.append((step, change, 1 / product))
        gradient = after
    return Solution(point.weights, signs > 0, iterations, converged, loss)


def _line_search(
    likelihood: _Likelihood, point: _Point, loss: float, signs: np.ndarray, direction: np.ndarray
) -> tuple[_Point, np.ndarray] | None:
    """The first of full, half, quarter ... step that lowers the loss, and that step."""
    length = 1.0
    for _ in range(_HALVINGS):
        step = length * direction
        there = likelihood(point.weights + step @ point.weights)
        if there.loss(signs) < loss:
            return there, step
        length /= 2
    return None


def _direction(
    gradient: np.ndarray, curvature: np.ndarray, memory: deque[tuple[np.ndarray, np.ndarray, float]]
) -> np.ndarray:
    """Two-loop recursion of L-BFGS around the inverse of the block Hessian."""
    direction = gradient.copy()
    shares = []
    for step, change, weight in reversed(memory):
        share = weight * float(np.sum(step * direction))
        direction -= share * change
        shares.append(share)
    direction = _solve(curvature, direction)
    for (step, change, weight), share in zip(memory, reversed(shares), strict=True):
        direction += step * (share - weight * float(np.sum(change * direction)))
    return -direction


def _solve(curvature: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve [[a, 1], [1, b]] [x_ij, x_ji] = [r_ij, r_ji] for all pairs, with the eigenvalues raised where needed."""
    a, b = curvature, curvature.T
    smaller = (a + b - np.sqrt((a - b) ** 2 + 4)) / 2
    lift = np.maximum(0.0, _LEAST_CURVATURE - smaller)
    np.fill_diagonal(lift, 0.0)
    a, b = a + lift, b + lift
    solution = (b * right - right.T) / (a * b - 1)
    diagonal = np.maximum(np.diag(curvature), _LEAST_CURVATURE)
    np.fill_diagonal(solution, np.diag(right) / diagonal)
    return solution
