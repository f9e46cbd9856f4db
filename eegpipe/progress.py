"""Progress of long work on standard error: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# A log gets a line at most this often.
_LINE_S = 30.0


class Advance(Protocol):
    """Called once per finished piece; ``note`` is shown beside the bar (a count of failures, a loss)."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None: ...


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(title: str, total: int, *, done: int = 0, silent: bool = False) -> Iterator[Advance]:
    """Progress of ``total`` steps on standard error, with pieces done, a note and the time that is left.

    ``done``: pieces that were finished earlier and say nothing of the speed. ``silent``: show nothing.

    On a terminal a bar. Elsewhere (a log of Slurm or DVC, a pipe) a line when a piece is finished and the last line is
    at least 30 s old: short work leaves no line at all.
    """
    if silent:
        yield _nothing
        return
    if not sys.stderr.isatty():
        yield _Lines(title, total, done)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, completed=done, note="")

        def advance(steps: int = 1, *, note: str = "") -> None:
            progress.update(task, advance=steps, note=note)

        yield advance


def _nothing(steps: int = 1, *, note: str = "") -> None:
    pass


class _Lines:
    """``clean seed: 12 of 45 done, 1 failed, about 8 min left``."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.done, self.earlier = title, total, done, done
        self.start_s = self.last_s = time.monotonic()

    def __call__(self, steps: int = 1, *, note: str = "") -> None:
        self.done += steps
        now_s = time.monotonic()
        if now_s - self.last_s < _LINE_S or self.done >= self.total:
            return
        self.last_s = now_s
        parts = [f"{self.title}: {self.done} of {self.total} done"]
        if note:
            parts.append(note)
        if self.done > self.earlier:
            left_s = (now_s - self.start_s) / (self.done - self.earlier) * (self.total - self.done)
            parts.append(f"about {_duration(left_s)} left")
        say(", ".join(parts))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
