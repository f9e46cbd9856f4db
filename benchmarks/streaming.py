"""A training from memory and one from a decoded file, each in a process of its own: steps a second, memory, waiting."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import anonymous_bytes, fresh, sampled
from steps import optimiser_of, step

from eegpipe import methods
from eegpipe.decoded import Streamed
from eegpipe.loader import Segments, load
from eegpipe.methods import Request
from eegpipe.params import MdjptParams


@dataclass(frozen=True)
class Job:
    """``memory``: bytes that the signal may take. ``cold``: what the system has kept of the file is thrown away before
    every step, so that every batch comes from the disk."""

    store: Path
    params: MdjptParams
    memory: int
    steps: int
    cold: bool = False


@dataclass(frozen=True)
class Training:
    """Seconds of a step and, within it, of gathering windows: medians over the steps. The largest memory of the process
    that is its own, above what it had before the store was opened. The norm of the weights in the end."""

    step_s: float
    waiting_s: float
    peak_bytes: int
    weights: float


class _Timed(Segments):
    """Remembers how long gathering takes."""

    waited_s = 0.0

    def windows(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        start = time.perf_counter()
        try:
            return super().windows(rows, out)
        finally:
            self.waited_s += time.perf_counter() - start


def run(job: Job) -> Training:
    """Run a job in a fresh process."""
    return fresh(_run, job)


def _run(job: Job) -> Training:
    torch.set_num_threads(1)
    method = methods.get("mdjpt")
    method.network(method.config())  # what torch imports late is no memory of the signal
    before = anonymous_bytes()
    (step_s, waiting_s, weights), largest = sampled(partial(_train, job), anonymous_bytes, 0.005)
    return Training(step_s, waiting_s, largest - before, weights)


def _train(job: Job) -> tuple[float, float, float]:
    loaded = load(job.store, memory=job.memory)
    segments = _Timed(**vars(loaded))
    params: Any = job.params
    request = Request([segments], params.model, params.training, None, {}, seed=1, device="cpu")
    objective: Any = methods.get("mdjpt").objective(request)
    objective.model.train()
    optimiser = optimiser_of(objective, params)
    training = replace(params.training, draws_per_step=1)
    step(objective, optimiser, 0, training)
    steps_s, waiting_s = [], []
    for number in range(1, job.steps + 1):
        if job.cold:
            forget(segments)
        segments.waited_s, start = 0.0, time.perf_counter()
        step(objective, optimiser, number, training)
        steps_s.append(time.perf_counter() - start)
        waiting_s.append(segments.waited_s)
    weights = torch.stack([parameter.detach().double().norm() for parameter in objective.model.parameters()]).norm()
    return float(np.median(steps_s)), float(np.median(waiting_s)), weights.item()


def forget(segments: Segments) -> None:
    """The system shall keep nothing of the decoded file."""
    if isinstance(segments.eeg, Streamed) and segments.eeg.file is not None:
        os.fsync(segments.eeg.file.descriptor)
        os.posix_fadvise(segments.eeg.file.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
