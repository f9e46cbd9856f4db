"""What eegpipe prints for people: tables and counts. Results never depend on anything here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eegpipe.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    from eegpipe.parallel import Outcome


def exit_code(command: Callable[[], int | None]) -> int:
    """Run ``command``: what it returns (None: 0), 1 for a :class:`DataProblem`, 2 for a :class:`UsageProblem`.

    Both problems are printed without a traceback.
    """
    try:
        return command() or 0
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except UsageProblem as problem:
        print(problem, file=sys.stderr)
        return 2


def print_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """One row per mapping, numbers to the right; ``columns`` picks and orders, default: the first row's keys."""
    from rich.console import Console
    from rich.table import Table

    columns = list(columns or rows[0])
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    # Into a file or a pipe there is no width to respect.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


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
