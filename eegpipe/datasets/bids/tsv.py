"""The tables of BIDS as they are found: CRLF, byte-order marks, stray blanks, columns without a name.

Not csv: a quotation mark in a cell would swallow the lines after it, and with them trials. A row of another length than
the header line has shifted cells, so it is refused; only cells missing at the end are empty.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from eegpipe.errors import DataProblem

_LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Table:
    """``where`` names the file in a refusal."""

    where: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    def need(self, column: str, key: str) -> None:
        """Refuse a table without a column; ``key`` is the place in the mapping that asks for it."""
        if column not in self.columns:
            near = difflib.get_close_matches(column, self.columns, n=1)
            guess = f" Perhaps '{near[0]}' is meant." if near else ""
            raise DataProblem(
                f"{self.where}: column '{column}'",
                f"the columns {', '.join(repr(name) for name in self.columns[:30])}",
                f"'{column}', as {key} in the mapping says",
                f"Correct the mapping or the table.{guess}",
            )


def read_tsv(path: Path, where: str) -> Table:
    """A tab-separated table with a header line.

    Raises
    ------
    DataProblem
        If the file is missing, too large, or a row has more cells than the header line.
    """
    cure = "Look at the table in a text editor, or copy it again."
    try:
        if path.stat().st_size > _LARGEST:
            raise DataProblem(where, f"{path.stat().st_size} bytes", "a table of events or people", cure)
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DataProblem(where, f"a file that cannot be read ({error.strerror})", "a table", cure) from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not filled:
        raise DataProblem(where, "an empty file", "a table with a header line", cure)
    columns = [cell.strip() for cell in filled[0][1].split("\t")]
    rows = []
    for number, line in filled[1:]:
        cells = [_cell(cell) for cell in line.split("\t")]
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            raise DataProblem(f"{where}: line {number}", f"{len(cells)} cells", f"{len(columns)} columns", cure)
        cells += [""] * (len(columns) - len(cells))
        # Of columns that share a name the first one counts.
        rows.append({name: cells[place] for place, name in reversed(list(enumerate(columns)))})
    return Table(where, tuple(columns), rows)


def _cell(text: str) -> str:
    """Without blanks and without the quotation marks that spreadsheets put around texts."""
    text = text.strip()
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text
