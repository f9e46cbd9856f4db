"""Sex and age from a table of participants, which says nothing about the signal: what it does not hold is unknown."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from eegpipe.errors import DataProblem


def person(file: Path, where: str, subject: int, *, column: str) -> tuple[str | None, int | None]:
    """(``"F"`` or ``"M"``, years) of a subject, each None where the table does not say.

    Parameters
    ----------
    file, where
        A CSV file with a header line, and how to call it in a refusal. Headers may carry stray blanks, any case and
        a byte-order mark; bytes that are no UTF-8 are no reason to refuse a recording.
    subject, column
        The number in the column that names the subject (``sub007``, ``Subject07``); columns ``gender`` and ``age``.
    """
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            rows = list(csv.reader(lines))
        except csv.Error as error:
            raise DataProblem(where, f"no table ({error})", "a CSV file", "Copy it from the vendor again.") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    for row in rows[1:]:
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        number = re.fullmatch(r"[A-Za-z]*0*([0-9]+)", cells.get(column, ""))
        if number and int(number[1]) == subject:
            sex, age = cells.get("gender", "")[:1].upper(), cells.get("age", "")
            return (sex if sex in ("F", "M") else None), (int(age) if re.fullmatch("[0-9]{1,3}", age) else None)
    return None, None
