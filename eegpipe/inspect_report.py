"""What an inspection found, as a table for people and as JSON for machines."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from eegpipe.errors import DataProblem

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """error: no later step can use this. warning: usable, but a person should look. note: good to know."""

    severity: Severity
    where: str
    text: str
    cure: str = ""


@dataclass
class Report:
    """What :func:`inspect` found.

    kind : ``"vendor files"``, ``"BIDS data set"``, ``"cleaned data set"``, ``"segment store"``, ``"model"``
    facts : (name, value) rows, in the order in which a person asks
    expectations : (what, expected, found) rows; expected None: nothing to compare with
    contents : one row for each recording, subject or data set
    """

    kind: str
    title: str
    facts: list[tuple[str, Any]] = field(default_factory=list)
    contents: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    expectations: list[tuple[str, Any, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if there is neither an error nor a warning."""
        return all(finding.severity == "note" for finding in self.findings)

    def error(self, where: str, text: str, cure: str = "") -> None:
        self.findings.append(Finding("error", where, text, cure))

    def warning(self, where: str, text: str, cure: str = "") -> None:
        self.findings.append(Finding("warning", where, text, cure))

    def note(self, where: str, text: str, cure: str = "") -> None:
        self.findings.append(Finding("note", where, text, cure))

    def problem(self, problem: DataProblem) -> None:
        """A refusal of a reader, as an error."""
        self.error(problem.where, f"found {problem.found}, expected {problem.expected}.", problem.cure)

    def to_json(self) -> str:
        """All of it as JSON; ``ok`` first, facts as a mapping."""
        content = {
            "ok": self.ok,
            "kind": self.kind,
            "title": self.title,
            "facts": dict(self.facts),
            "expectations": {
                name: {"expected": expected, "found": found} for name, expected, found in self.expectations
            },
            "contents": self.contents,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }
        return json.dumps(content, indent=2, ensure_ascii=False)


def show(report: Report) -> None:
    """Print a report for people."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Into a file or a pipe there is no width to respect.
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"[bold]{escape(report.title)}[/bold]  ({report.kind})")
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, value in report.facts:
        facts.add_row(escape(name), escape(_text(value)))
    console.print(facts)
    if report.expectations:
        table = Table("", "expected", "found", header_style="bold")
        for name, expected, found in report.expectations:
            style = "yellow" if _differs(expected, found) else None
            table.add_row(escape(name), escape(_text(expected)), escape(_text(found)), style=style)
        console.print(table)
    if report.contents:
        table = Table(header_style="bold")
        for column, example in report.contents[0].items():
            table.add_column(column, justify="right" if isinstance(example, int | float) else "left", overflow="fold")
        for row in report.contents:
            table.add_row(*(escape(_text(value)) for value in row.values()))
        console.print(table)
    colours = {"error": "red", "warning": "yellow", "note": "cyan"}
    for severity in colours:
        for finding in report.findings:
            if finding.severity == severity:
                cure = f" {finding.cure}" if finding.cure else ""
                console.print(
                    f"[{colours[severity]}]{severity}[/] {escape(finding.where)}: {escape(finding.text + cure)}"
                )
    console.print("Nothing suspicious." if report.ok else "Look at the findings above.")


def _differs(expected: Any, found: Any) -> bool:
    """Whether a row deserves a colour; texts (a size in words, "not read") cannot be compared."""
    if expected is None or isinstance(expected, str) or isinstance(found, str):
        return False
    return bool(set(found) - set(expected)) if isinstance(expected, list) else found not in (expected, [expected])


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        words = [_text(item) for item in value] or ["none"]
        return ", ".join(words[:24]) + (f" ... ({len(words)})" if len(words) > 24 else "")
    return str(value)
