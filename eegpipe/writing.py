"""Small files as a whole or not at all, and tables as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_file(path: Path, content: bytes) -> None:
    """Write beside, then rename; an error leaves nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def table_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Comma-separated values with one line of names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
