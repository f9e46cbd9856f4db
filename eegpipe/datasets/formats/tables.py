"""Text tables of vendors and BIDS folders, read as they are found: byte-order marks, CRLF, stray blanks, short rows."""

from __future__ import annotations

import csv
from pathlib import Path

from eegpipe.errors import DataProblem

_LARGEST = 64 * 2**20


def read_rows(path: Path, where: str, *, delimiter: str = ",") -> list[list[str]]:
    """The cells of a table without a header line, blanks around them taken away; empty lines are left out.

    Bytes that are no UTF-8 become a replacement character: no reason to refuse a recording.

    Raises
    ------
    DataProblem
        If the file is no text table.
    """
    if path.stat().st_size > _LARGEST:
        raise DataProblem(where, f"{path.stat().st_size} bytes", "a small text table", "Copy the file again.")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
        except csv.Error as error:
            raise DataProblem(where, f"no table ({error})", "a text table", "Copy the file again.") from None
    return [row for row in rows if any(row)]


def read_table(path: Path, where: str, *, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a table whose first line names the columns; cells that a short row lacks are empty.

    Of columns that share a name the first one counts.
    """
    header, *rows = read_rows(path, where, delimiter=delimiter) or [[]]
    order = list(reversed(range(len(header))))
    return [{header[index]: row[index] if index < len(row) else "" for index in order} for row in rows]
