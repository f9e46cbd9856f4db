"""What eegpipe prints for people: tables and counts. Results never depend on anything here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eegpipe.errors import DataProblem, UsageProblem, of_the_machine

if TYPE_CHECKING:
    from rich.console import Console

    from eegpipe.parallel import Outcome


def exit_code(command: Callable[[], int | None]) -> int:
    """Run ``command``: what it returns (None: 0), 1 for a :class:`DataProblem`, 2 for a :class:`UsageProblem`.

    Both problems are printed without a traceback, and so are a full disk and a missing permission (1).
    """
    try:
        return command() or 0
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except UsageProblem as problem:
        print(problem, file=sys.stderr)
        return 2
    except Exception as error:
        if (fault := of_the_machine(error)) is None:
            raise
        logging.getLogger(__name__).debug("what was raised", exc_info=error)
        print(fault, file=sys.stderr)
        return 1


def print_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """One row per mapping, numbers to the right; ``columns`` picks and orders, default: the first row's keys."""
    from rich.table import Table

    columns = list(columns or rows[0])
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    _console().print(table)


def print_heading(text: str) -> None:
    """A line in bold, with an empty line before it."""
    from rich.markup import escape

    _console().print(f"\n[bold]{escape(text)}[/bold]")


def print_facts(rows: Sequence[tuple[str, Any]]) -> None:
    """Names and values in two columns; what is None is left out."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            table.add_row(escape(name), escape(_text(value)))
    _console().print(table)


def print_lines(text: str) -> None:
    """Text as it is, indented by two."""
    from rich.markup import escape

    _console().print("\n".join(f"  {line}" for line in escape(text).splitlines()))


def _console() -> Console:
    from rich.console import Console

    # Into a file or a pipe there is no width to respect.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def print_outcomes(outcomes: Sequence[Outcome], *, allow_partial: bool) -> int:
    """Say what became of each recording: a count, and one line for each that failed.

    Returns the exit code: 1 if one failed (with ``allow_partial``: if none is left), else 0.
    """
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    done = sum(outcome.status == "done" for outcome in outcomes)
    kept = sum(outcome.status == "kept" for outcome in outcomes)
    print(f"{done} done, {kept} kept from before, {len(failed)} failed")
    for outcome in failed:
        print(f"FAILED {outcome.key}: {outcome.problem}", file=sys.stderr)
    if allow_partial:
        return 0 if done + kept else 1
    return 1 if failed else 0
