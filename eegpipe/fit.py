"""The training loop that all methods share: draws, steps, checkpoints, the log of every epoch.

Every draw is a function of (seed, number of the draw) and of nothing else. So the loop may be killed after any epoch,
and the draws of a step may be divided among processes: what they compute is brought together in the order of the draws,
and sums are taken in the order in which one process takes them. Hence the bytes do not depend on the number of
processes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eegpipe import progress
from eegpipe.ahead import Ahead
from eegpipe.compiled import compile_layers
from eegpipe.embedded import Embedded
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.models.settings import PretrainSettings
from eegpipe.precision import autocast
from eegpipe.processes import ALONE, Group
from eegpipe.writing import write_file

Log = list[dict[str, float]]


class Objective(Protocol):
    """What a method gives to the loop: the network and, for each draw, the terms of the loss.

    It may have more: ``steps_per_epoch``, what the method calls an epoch of these data; ``left_out``, segments that are
    never drawn; ``describe(number) -> dict``, for each data set the segments of a draw in words; ``prepare(number)``,
    what a draw needs of the data (:class:`eegpipe.ahead.Prepared`), which may then follow the number in the call. For
    global negatives, the two halves of the call: ``embed(number) -> Embedded``, ``contrast(several of them) -> terms``.
    """

    @property
    def model(self) -> nn.Module: ...

    @property
    def config(self) -> Any:
        """The settings of the network with every switch set."""
        ...

    def __call__(self, number: int) -> dict[str, Tensor]:
        """Scalar terms of the ``number``-th draw; ``loss`` is minimised, the others are logged. A term that belongs to
        one data set ends in ``_<data set>``.

        Names of the terms are the same in every draw. Nothing in the network changes but the statistics of batch norms,
        whose inputs have the same shapes in every draw.
        """
        ...


def fit(
    objective: Objective,
    settings: PretrainSettings,
    *,
    title: str,
    checkpoint: Path,
    identity: str,
    shown: Sequence[str] = ("loss",),
    group: Group = ALONE,
    on_epoch: Callable[[Log], None] | None = None,
    ahead: bool | None = None,
) -> Log:
    """Minimise with Adam or AdamW; returns the mean of every term over all draws of each epoch.

    After each epoch the first process writes the state to ``checkpoint`` (beside, then renamed). A checkpoint of the
    same ``identity`` is continued, in every process, any other is ignored and overwritten.

    Parameters
    ----------
    shown : sequence of str
        Terms beside the progress bar.
    group : Group
        The processes that share the draws of each step; their number divides ``draws_per_step``.
    on_epoch : callable or None
        Gets the log so far, in the first process: after every epoch, and at once where a checkpoint is continued.
    ahead : bool or None
        Put draws together in a thread while others are computed. None: on a GPU; a CPU has nothing else to do.

    Raises
    ------
    DataProblem
        If a term or the gradient is not finite, with epoch, step, draw and what was drawn. In every process.
    """
    model = objective.model.train()
    settings = with_steps(settings, objective)
    steps, draws = settings.steps_per_epoch or 1, settings.draws_per_step
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser]
    optimiser = kind(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    log = _resume(checkpoint, identity, model, optimiser, group)
    if log and on_epoch and group.leads:
        on_epoch(log)
    device = next(model.parameters()).device
    if settings.compile:
        compile_layers(model, str(getattr(model, "layers_in", "forward")), device)
    joined = settings.negatives == "global" and draws > 1
    cast = partial(autocast, settings.precision, device)
    bar = progress.bar(title, settings.epochs * steps, done=len(log) * steps, silent=not group.leads)
    own_numbers = (
        number
        for step in range(len(log) * steps, settings.epochs * steps)
        for number in range(step * draws + group.rank, (step + 1) * draws, group.size)
    )
    with (
        bar as advance,
        _sharing(model, group, cast) as share,
        _computing(objective, joined, own_numbers, device, ahead) as compute,
    ):
        gradients: Callable[[range, int], Iterator[tuple[range, dict[str, float]]]]
        if joined:
            gradients = partial(_gradients_of_all, objective, compute, cast, share, group)
        else:
            gradients = partial(_gradients_of_each, compute, cast, share)
        for epoch in range(len(log), settings.epochs):
            total: dict[str, float] = {}
            for parameters in optimiser.param_groups:
                parameters["lr"] = settings.rate(epoch)
            for step in range(steps):
                optimiser.zero_grad()
                first = (epoch * steps + step) * draws
                numbers = range(first + group.rank, first + draws, group.size)
                for drawn, values in gradients(numbers, draws):
                    _check_terms(values, objective, epoch, step, drawn)
                    total = {name: total.get(name, 0.0) + len(drawn) * value for name, value in values.items()}
                _check_gradient(_clipped(model, settings.gradient_clip), objective, epoch, step, first, draws)
                optimiser.step()
                advance(note=", ".join(f"{name} {values[name]:.3f}" for name in shown if name in values))
            log.append({"epoch": epoch + 1} | {name: value / (steps * draws) for name, value in total.items()})
            if group.leads:
                _save_checkpoint(checkpoint, identity, model, optimiser, log)
                if on_epoch:
                    on_epoch(log)
    return log


def with_steps(settings: PretrainSettings, objective: Objective, title: str = "the method") -> PretrainSettings:
    """The same with a number of steps."""
    if settings.steps_per_epoch is not None:
        return settings
    steps = getattr(objective, "steps_per_epoch", None)
    if steps is None:
        raise UsageProblem(
            f"steps_per_epoch: none given, and {title} does not say what an epoch is. Set a number of steps."
        )
    return replace(settings, steps_per_epoch=steps)


@contextmanager
def _computing(
    objective: Objective, joined: bool, numbers: Iterator[int], device: torch.device, ahead: bool | None
) -> Iterator[Callable[[int], Any]]:
    """The objective, or the half of it that embeds, to be called with these numbers in this order."""
    compute: Callable[..., Any] = objective
    if joined:
        if not hasattr(objective, "embed"):
            raise UsageProblem("negatives: global, but the method does not compare rows of different draws. Use local.")
        compute = objective.embed
    prepare = getattr(objective, "prepare", None)
    if prepare is None or not (device.type == "cuda" if ahead is None else ahead):
        yield compute
        return
    with closing(Ahead(prepare, numbers, device)) as prepared:
        yield lambda number: compute(number, next(prepared))


# -- gradients of a step: of every draw of its own, or of all together -------------------------------------------------


def _gradients_of_each(
    compute: Callable[[int], dict[str, Tensor]],
    cast: Callable[[], torch.autocast],
    share: _Alone | _Sharing,
    numbers: range,
    draws: int,
) -> Iterator[tuple[range, dict[str, float]]]:
    """The parameters get the mean gradient over the draws of the step. ``numbers``: those of this process. Yields the
    terms of each draw, of all processes."""
    own = []
    for number in numbers:
        with cast():
            terms = compute(number)
        share.passed()
        (terms["loss"] / draws).backward()
        # After the gradient, because reading them waits for the device.
        own.append({name: term.item() for name, term in terms.items()})
        share.keep(own[-1])
    first = numbers.start // draws * draws
    for number, values in enumerate(share.together(own), first):
        yield range(number, number + 1), values


def _gradients_of_all(
    objective: Any,
    embed: Callable[[int], Embedded],
    cast: Callable[[], torch.autocast],
    share: _Alone | _Sharing,
    group: Group,
    numbers: range,
    draws: int,
) -> Iterator[tuple[range, dict[str, float]]]:
    """The parameters get the gradient of one contrast over the rows of all draws of the step. Yields its terms.

    Every process takes the same contrast of all rows, and leads its gradient through the network for the rows of its
    own draws. Until then it keeps the activations of these draws.
    """
    own = []
    for number in numbers:
        with cast():
            own.append(embed(number))
        share.passed()
    parts = len(own[0].rows), len(own[0].facts)
    everyones = group.gather_unlike([tensor for one in own for tensor in (*one.rows, *one.facts)])
    # Process r has the draws r, r + size, ...
    everybody = [
        Embedded(tuple(tensors[at : at + parts[0]]), tuple(tensors[at + parts[0] : at + sum(parts)])).leaf()
        for at in range(0, sum(parts) * len(own), sum(parts))
        for tensors in everyones
    ]
    terms = objective.contrast(everybody)
    terms["loss"].backward()
    values = {name: term.item() for name, term in terms.items()}
    for mine, leaves in zip(own, everybody[group.rank :: group.size], strict=True):
        # A weight of 0 leaves a row without a gradient.
        with_gradient = [pair for pair in zip(mine.rows, leaves.rows, strict=True) if pair[1].grad is not None]
        torch.autograd.backward(
            [row for row, _ in with_gradient],
            [leaf.grad.to(row) for row, leaf in with_gradient],  # type: ignore[union-attr]
        )
        share.keep(values)
    share.together([values] * len(own))
    first = numbers.start // draws * draws
    yield range(first, first + draws), values


# -- several processes -------------------------------------------------------------------------------------------------


class _Alone:
    """One process: gradients and statistics add up where they are."""

    def passed(self) -> None:
        pass

    def keep(self, values: dict[str, float]) -> None:
        pass

    def together(self, own: list[dict[str, float]]) -> list[dict[str, float]]:
        return own


class _Sharing:
    """Brings what a step's draws leave behind (gradients, terms, inputs of batch norms) to all processes.

    Gradients are added, and batch norms see their inputs, in the order of the draws, as in one process. Not by a sum
    over processes on the way, whose order, and so whose rounding, would depend on their number.
    """

    def __init__(self, model: nn.Module, group: Group, precision: Callable[[], torch.autocast]) -> None:
        self._group, self._precision = group, precision
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._norms = [module for module in norms if module.track_running_stats]
        self._handles = [norm.register_forward_pre_hook(self._see) for norm in self._norms]
        self._seen: list[tuple[_BatchNorm, Tensor]] | None = []
        self._passed: list[list[tuple[_BatchNorm, Tensor]]] = []
        self._kept: list[list[Tensor]] = []
        self._before = self._statistics()

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _see(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self._seen is not None and isinstance(norm, _BatchNorm):
            self._seen.append((norm, inputs[0].detach().clone()))

    def _statistics(self) -> list[Tensor]:
        return [buffer.clone() for norm in self._norms for buffer in norm.buffers()]

    def passed(self) -> None:
        """A draw has passed the network."""
        assert self._seen is not None
        self._passed.append(self._seen)
        self._seen = []

    def keep(self, values: dict[str, float]) -> None:
        """Take the gradients of one draw off the parameters; draws come in the order in which they have passed."""
        seen = self._passed.pop(0)
        device = self._parameters[0].device
        there = torch.tensor([one.grad is not None for one in self._parameters], device=device)
        gradient = torch.cat(
            [(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in self._parameters]
        )
        terms = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        self._kept.append([gradient, there, terms, *(input_ for _, input_ in seen)])
        self._owners = [norm for norm, _ in seen]
        # What recomputation sends through the network again was seen before.
        self._seen = []
        for parameter in self._parameters:
            parameter.grad = None

    def together(self, own: list[dict[str, float]]) -> list[dict[str, float]]:
        """The terms of all draws of the step, in order; the parameters get the sum of their gradients."""
        width = len(self._kept[0])
        everyones = self._group.gather([tensor for draw in self._kept for tensor in draw])
        # Process r has the draws r, r + size, ...
        draws = [
            tensors[start : start + width]
            for start in range(0, width * len(self._kept), width)
            for tensors in everyones
        ]
        self._kept = []
        total = draws[0][0]
        for gradient, *_ in draws[1:]:
            total = total + gradient
        somewhere = torch.stack([there for _, there, *_ in draws]).any(dim=0).tolist()
        pieces = total.split([one.numel() for one in self._parameters])
        for parameter, piece, there in zip(self._parameters, pieces, somewhere, strict=True):
            parameter.grad = piece.view_as(parameter).clone() if there else None
        self._replay([draw[3:] for draw in draws])
        return [dict(zip(own[0], terms.tolist(), strict=True)) for _, _, terms, *_ in draws]

    def _replay(self, inputs: list[list[Tensor]]) -> None:
        """Forget what the norms have seen of the own draws, and let them see all."""
        buffers = [buffer for norm in self._norms for buffer in norm.buffers()]
        for buffer, before in zip(buffers, self._before, strict=True):
            buffer.copy_(before)
        self._seen = None
        with torch.no_grad(), self._precision():
            for draw in inputs:
                for norm, input_ in zip(self._owners, draw, strict=True):
                    norm(input_)
        self._seen = []
        self._before = self._statistics()


@contextmanager
def _sharing(model: nn.Module, group: Group, precision: Callable[[], torch.autocast]) -> Iterator[_Alone | _Sharing]:
    if group.size == 1:
        yield _Alone()
        return
    sharing = _Sharing(model, group, precision)
    try:
        yield sharing
    finally:
        sharing.close()


# -- what is not finite ------------------------------------------------------------------------------------------------

_CURE = "lower learning_rate, or set gradient_clip (1.0 is a usual value)."


def _check_terms(values: dict[str, float], objective: Objective, epoch: int, step: int, drawn: range) -> None:
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        which = ", ".join(f"draw {number}{_drawn(objective, number, bad)}" for number in drawn)
        raise DataProblem(
            f"pre-training, epoch {epoch + 1}, step {step + 1}",
            f"{', '.join(f'{name} = {values[name]}' for name in bad)} in {which}",
            "finite losses (a term that ends in the name of a data set belongs to it)",
            f"Look at that data set's segments, {_CURE}",
        )


def _clipped(model: nn.Module, largest: float) -> float:
    """The norm of the gradient, which is clipped if ``largest`` is not 0."""
    if largest:
        return nn.utils.clip_grad_norm_(model.parameters(), largest).item()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients).item()


def _check_gradient(norm: float, objective: Objective, epoch: int, step: int, first: int, draws: int) -> None:
    """Before it reaches the weights: later, the blame would fall on another batch."""
    if not np.isfinite(norm):
        which = ", ".join(f"draw {number}{_drawn(objective, number)}" for number in range(first, first + draws))
        raise DataProblem(
            f"pre-training, epoch {epoch + 1}, step {step + 1}",
            f"a gradient of norm {norm} in {which}",
            "a finite gradient, as the losses are",
            f"Look at these segments, {_CURE}",
        )


def _drawn(objective: Objective, number: int, terms: Sequence[str] = ()) -> str:
    """What a draw holds, in brackets: of the data sets that the terms belong to, or of all."""
    describe = getattr(objective, "describe", None)
    if describe is None:
        return ""
    words: dict[str, str] = describe(number)
    blamed = [name for name in words if any(term.endswith(f"_{name}") for term in terms)]
    return f" ({'; '.join(f'{name}: {words[name]}' for name in blamed or words)})"


# -- checkpoints -------------------------------------------------------------------------------------------------------


def _resume(checkpoint: Path, identity: str, model: nn.Module, optimiser: torch.optim.Optimizer, group: Group) -> Log:
    """Load a checkpoint of the same identity into model and optimiser; returns its log, empty if there is none.

    The first process reads it for all: they may run on machines that do not see its file, and nobody may continue from
    an epoch of their own.
    """
    content = group.from_first(_read_checkpoint(checkpoint, identity) if group.leads else None)
    if content is None:
        return []
    state = _unpacked(content)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["log"]


def _read_checkpoint(checkpoint: Path, identity: str) -> bytes | None:
    """The bytes of a checkpoint of this identity."""
    try:
        content = checkpoint.read_bytes()
        state = _unpacked(content)
    except FileNotFoundError:
        return None
    except (RuntimeError, EOFError, pickle.UnpicklingError):  # not ours, or damaged: training again gives the same
        return None
    return content if state.get("identity") == identity else None


def _unpacked(content: bytes) -> dict[str, Any]:
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def _save_checkpoint(
    checkpoint: Path, identity: str, model: nn.Module, optimiser: torch.optim.Optimizer, log: Log
) -> None:
    state = {"identity": identity, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "log": log}
    content = io.BytesIO()  # on a full disk torch's own file ends in an error that does not say so
    torch.save(state, content)
    write_file(checkpoint, content.getvalue())
