"""Progress bars for long work: on a terminal only, so that logs stay readable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called once per finished piece; ``note`` is shown beside the bar (a count of failures, a loss)."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None: ...


@contextmanager
def bar(title: str, total: int) -> Iterator[Advance]:
    """A bar of ``total`` steps on standard error with pieces done, time left and a note; nothing if not a terminal."""
    import sys

    if not sys.stderr.isatty():

        def quiet(steps: int = 1, *, note: str = "") -> None:
            pass

        yield quiet
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
        task = progress.add_task(title, total=total, note="")

        def advance(steps: int = 1, *, note: str = "") -> None:
            progress.update(task, advance=steps, note=note)

        yield advance
