"""Optimiser steps of a method, each measured, in a process of its own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import full_size
import torch
from measure import Cost, cost, fresh, resident_bytes
from plain import plain
from torch import nn

from eegpipe import methods
from eegpipe.ahead import Ahead, Prepared
from eegpipe.allocation import memory_kept
from eegpipe.compiled import compile_layers
from eegpipe.methods import Request
from eegpipe.models.settings import PretrainSettings
from eegpipe.params import MethodParams
from eegpipe.precision import autocast, without_tf32
from eegpipe.segment import WindowingSettings
from eegpipe.train import Objective

_CEILING_SIZE = {"cpu": 1_024, "cuda": 8_192}  # rows of the square matrices whose product is the ceiling


@dataclass(frozen=True)
class Job:
    """What to run: ``steps`` are measured, after one that is not. ``part``: what :func:`full_size.part_of` made the
    settings for. ``plain``: the rival. ``profile``: one more step, whose operations are timed."""

    method: str
    params: MethodParams
    windowing: WindowingSettings
    steps: int
    part: int = 1
    plain: bool = False
    profile: bool = False
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Steps:
    """What came out. Costs of the measured steps; on a GPU ``peak_bytes`` is the GPU's memory.

    loss, gradient : of the first step, before anything was learned; the norm of the whole gradient
    flops : multiplications and additions of the matrix products and convolutions of a step
    ceiling : of a large matrix product in the same process, a CPU second (a second on a GPU)
    waiting : share of the measured time in which nothing was computed because the draw was not there: on a GPU, where a
        thread puts draws together ahead; on a CPU, which does it itself, the share that this takes
    operations : seconds by torch operation, where they were asked for
    """

    costs: list[Cost]
    parameters: int
    windows: int
    loss: float
    gradient: float
    flops: int
    ceiling: float
    waiting: float
    operations: dict[str, float] = field(default_factory=dict)


def run(job: Job) -> Steps:
    """Run a job in a fresh process."""
    return fresh(measured, job)


def measured(job: Job) -> Steps:
    """The same in this process. Full float32 and deterministic kernels as in pre-training, and memory that is kept: of
    these the plain form has the first two."""
    with without_tf32(), nullcontext() if job.plain else memory_kept():
        return _measured(job)


def _measured(job: Job) -> Steps:
    on_gpu = torch.device(job.device).type == "cuda"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True)
    filling: Any = torch.utils.deterministic
    filling.fill_uninitialized_memory = False
    sources = full_size.sources(job.params, job.windowing, part=job.part)
    ceiling = _ceiling(job.device)
    before = resident_bytes()
    objective = _objective(job, sources)
    optimiser = optimiser_of(objective, job.params)
    training = job.params.training
    # The first step also warms up; it is not measured, because counting takes time.
    (loss, gradient), flops = counted(partial(step, objective, optimiser, 0, training))
    if training.compile and not job.plain:
        compile_layers(objective.model, objective.model.layers_in, job.device)
        for number in range(1, job.steps + 1):  # each shape is compiled when it first comes
            step(objective, optimiser, number, training)
    numbers = range(training.draws_per_step, (job.steps + 1) * training.draws_per_step)
    draws = Ahead(objective.prepare, numbers, job.device) if on_gpu else _OneByOne(objective.prepare, numbers)
    with closing(draws):
        costs = [
            _cost(partial(step, objective, optimiser, number, training, draws), before, on_gpu)
            for number in range(1, job.steps + 1)
        ]
    waiting = draws.waited_s / sum(one.wall_s for one in costs)
    operations = _profiled(partial(step, objective, optimiser, 0, training)) if job.profile else {}
    parameters = sum(parameter.numel() for parameter in objective.model.parameters())
    windows = full_size.windows_of_step(job.params, part=job.part)
    return Steps(costs, parameters, windows, loss, gradient, flops, ceiling, waiting, operations)


class _OneByOne(Iterator[Prepared]):
    """Draws that are put together when they are asked for."""

    def __init__(self, prepare: Callable[[int], Prepared], numbers: Iterable[int]) -> None:
        self._prepare, self._numbers = prepare, iter(numbers)
        self.waited_s = 0.0

    def __next__(self) -> Prepared:
        start = time.perf_counter()
        prepared = self._prepare(next(self._numbers))
        self.waited_s += time.perf_counter() - start
        return prepared

    def close(self) -> None:
        pass


def _objective(job: Job, sources: list[Any]) -> Any:
    method = methods.get(job.method)
    request = Request(sources, job.params.model, job.params.training, None, {}, seed=1, device=job.device)
    objective: Any = method.objective(request)
    if job.plain:
        objective.model = plain(objective.model).to(job.device)
    objective.model.train()
    return objective


def optimiser_of(objective: Objective, params: MethodParams) -> torch.optim.Optimizer:
    """As in :func:`eegpipe.fit.fit`."""
    training = params.training
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimiser]
    return kind(objective.model.parameters(), lr=training.rate(0), weight_decay=training.weight_decay)


def step(
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    number: int,
    training: PretrainSettings,
    draws: Iterator[Prepared] | None = None,
) -> tuple[float, float]:
    """The ``number``-th step of the first epoch, as in :func:`eegpipe.fit.fit`; the loss of its last draw and the norm
    of its gradient. ``draws``: what it needs of the data; without, the objective sees to it."""
    device = next(objective.model.parameters()).device
    optimiser.zero_grad()
    for draw in range(training.draws_per_step):
        with autocast(training.precision, device):
            given: Any = () if draws is None else (next(draws),)
            loss = objective(number * training.draws_per_step + draw, *given)["loss"]
        (loss / training.draws_per_step).backward()
        value = loss.item()
    norm = nn.utils.clip_grad_norm_(objective.model.parameters(), training.gradient_clip or float("inf"))
    optimiser.step()
    return value, norm.item()


def _cost(call: Callable[[], Any], baseline_bytes: int, on_gpu: bool) -> Cost:
    if not on_gpu:
        return cost(call, baseline_bytes)[1]
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()

    def waited() -> None:
        call()
        torch.cuda.synchronize()

    spent = cost(waited, baseline_bytes)[1]
    return Cost(spent.wall_s, spent.cpu_s, torch.cuda.max_memory_allocated())


def counted(call: Callable[[], Any]) -> tuple[Any, int]:
    """What ``call`` returns, and the floating-point operations of its matrix products and convolutions."""
    from torch.utils import flop_counter

    aten = torch.ops.aten

    def convolution_backward(gradient: Any, _: Any, weight: Any, *options: Any, **__: Any) -> int:
        """As many as forwards for each of input and weight. torch's own count ignores groups."""
        needed = options[-1]
        return 2 * math.prod(gradient) * math.prod(weight[1:]) * (needed[0] + needed[1])

    # torch does not know the others by itself: attention on a CPU, and a product that is added in place.
    more = {
        aten.convolution_backward: convolution_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: (
            flop_counter.sdpa_flop_count(query, key, value)
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, query, key, value, *_, **__: (
            flop_counter.sdpa_backward_flop_count(gradient, query, key, value)
        ),
        aten.baddbmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * a[2] * b[2],
    }
    with flop_counter.FlopCounterMode(display=False, custom_mapping=more) as counter:
        result = call()
    return result, counter.get_total_flops()


def _ceiling(device: str, least_s: float = 0.5) -> float:
    """Floating-point operations a second of a square float32 matrix product: a CPU second, so that other programs
    count little; on a GPU a second. The best of five."""
    kind = torch.device(device).type
    size = _CEILING_SIZE[kind]
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    clock = time.perf_counter if kind == "cuda" else time.process_time
    best = 0.0
    for _ in range(5):
        start, done = clock(), 0
        while clock() - start < least_s / 5:
            a @ b
            if kind == "cuda":
                torch.cuda.synchronize()
            done += 1
        best = max(best, done * 2 * size**3 / (clock() - start))
    return best


def _profiled(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds that each torch operation takes itself, of all threads."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=kinds, acc_events=True) as recorded:
        call()
    events = recorded.key_averages()
    if len(kinds) == 2:
        return {event.key: event.self_device_time_total / 1e6 for event in events if event.self_device_time_total}
    return {event.key: event.self_cpu_time_total / 1e6 for event in events}
