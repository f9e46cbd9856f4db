"""Excel workbooks (``.xlsx``) of vendors: the cells of its sheets, read so that no file can do harm.

A workbook is a zip archive of XML. What unpacks to too much, declares entities, or is no workbook is refused before it
is parsed; formulas are never evaluated (their stored values are read), links to other files are not followed.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from eegpipe.errors import DataProblem

# The tables of the data sets have at most some thousand rows. Of XML that is a few megabytes.
_LARGEST, _LARGEST_UNPACKED, _MEMBERS = 32 * 2**20, 32 * 2**20, 500
_ROWS, _COLUMNS = 50_000, 256
_CURE = "Copy the file from the vendor's archive again."
_DECLARATION = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
# In any other encoding a declaration could hide.
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)""")
_ENCODINGS = (b"utf-8", b"us-ascii", b"utf-16")

Cell = str | float | None


def read_sheets(path: Path, where: str) -> dict[str, list[list[Cell]]]:
    """Name of the sheet -> its rows: texts without blanks around them, numbers as float, None for empty.

    Empty rows, and empty cells at the end of a row, are left out.

    Parameters
    ----------
    path, where
        The file, and how to call it in a refusal.

    Raises
    ------
    DataProblem
        If the file is no workbook, or would take too much memory.
    """
    import openpyxl  # a third of a second, for the few data sets that need it

    _check_archive(path, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are not read
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                sheets = {sheet.title: _rows(sheet, where) for sheet in book.worksheets}
            finally:
                book.close()
    except DataProblem:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(where, f"a workbook that cannot be read ({reason})", "an Excel workbook", _CURE) from None
    return sheets


def read_table(path: Path, where: str, *, needed: Collection[str]) -> list[dict[str, Cell]]:
    """The rows of every sheet that has the needed columns, by :func:`column_name`.

    Of columns that share a name the first one counts. The header is the first row that holds all ``needed`` names
    (a title may stand above it); sheets without such a row are not read.

    Raises
    ------
    DataProblem
        As :func:`read_sheets`, and if no sheet has the needed columns.
    """
    sheets = read_sheets(path, where)
    tables = [table for rows in sheets.values() if (table := _table(rows, needed)) is not None]
    if not tables:
        first = next((row for rows in sheets.values() for row in rows), [])
        found = ", ".join(str(value) for value in first if value is not None)[:200] or "nothing"
        raise DataProblem(where, f"a first line of {found}", f"the columns {', '.join(needed)}", _CURE)
    return [row for table in tables for row in table]


def _table(rows: list[list[Cell]], needed: Collection[str]) -> list[dict[str, Cell]] | None:
    for number, row in enumerate(rows):
        names = [column_name(value) for value in row]
        if set(needed) <= set(names):
            order = [index for index in reversed(range(len(names))) if names[index]]
            below = [[*line, *[None] * (len(names) - len(line))] for line in rows[number + 1 :]]
            return [{names[index]: line[index] for index in order} for line in below]
    return None


def _rows(sheet: Any, where: str) -> list[list[Cell]]:
    rows = []
    lines = sheet.iter_rows(max_row=_ROWS + 1, max_col=_COLUMNS, values_only=True)
    for number, line in enumerate(lines, start=1):
        if number > _ROWS:
            raise DataProblem(f"{where}: {sheet.title}", f"more than {_ROWS} rows", "some thousand rows", _CURE)
        if line.count(None) == len(line):
            continue
        row = [_cell(value) for value in line]
        while row and row[-1] is None:
            row.pop()
        if row:
            rows.append(row)
    return rows


def column_name(value: Cell) -> str:
    """How a header is compared: ``"Video ID"``, ``"VideoID"`` and ``"video_id"`` are the same column."""
    return re.sub(r"[\s_]+", "", value).lower() if isinstance(value, str) else ""


def _check_archive(path: Path, where: str) -> None:
    """Refuse what is no zip archive, unpacks to too much, or declares a document type (the way to entity bombs)."""
    size = path.stat().st_size
    if size > _LARGEST:
        raise DataProblem(where, f"{size} bytes", "a small table", _CURE)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS:
                raise DataProblem(where, f"an archive of {len(members)} parts", "an Excel workbook", _CURE)
            # zipfile never unpacks more of a part than its declared size.
            unpacked = sum(member.file_size for member in members)
            if unpacked > _LARGEST_UNPACKED:
                raise DataProblem(where, f"an archive that unpacks to {unpacked} bytes", "a small table", _CURE)
            for member in members:  # whatever its name: the workbook itself says which part is what
                # Without the zero bytes a declaration in UTF-16 is found too.
                content = archive.read(member).replace(b"\0", b"")
                encoding = _ENCODING.search(content[:200])
                if _DECLARATION.search(content) or (encoding and encoding[1].lower() not in _ENCODINGS):
                    part = member.filename[:80]
                    raise DataProblem(where, f"a document type or an encoding declared in {part}", "plain XML", _CURE)
    except DataProblem:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(where, f"no zip archive ({reason})", "an Excel workbook (.xlsx)", _CURE) from None


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            return str(value)[:50]
        return None if math.isnan(number) else number
    return None if value is None else str(value)
