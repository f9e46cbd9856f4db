"""From persons' names to numbers: MPED's folders and files are called after the people whose brains they hold.

A person's number is the rank of the SHA-256 of the folder's name. It says nothing to whoever does not have the folders,
and is the same for everybody who has all of them. A user who has only some of them, or adds them one by one, keeps the
numbers in a table of their own (:data:`KEY`), outside of everything that eegpipe writes.

No text that leaves this package - problem, note, log, table - may hold a name: people are called "subject 07".
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eegpipe.errors import DataProblem, UsageProblem

KEY = "EEGPIPE_MPED_KEY"  # environment variable: the file of the table
_HEADER = ["folder", "subject"]
_LARGEST = 2**16


class PrivatePath(str):
    """A path that holds a person's name: opens files like any other, and does not show when it is printed in a list."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<file of a person>'"


def ranked(names: Sequence[str]) -> list[str]:
    """The folders' names in the order of the people's numbers."""
    return sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).hexdigest())


def key_file(root: Path) -> Path | None:
    """The user's table of names and numbers; None if there shall be none.

    Raises
    ------
    UsageProblem
        If it lies inside the vendor's folder, which others may get to see as it is.
    """
    if not (text := os.environ.get(KEY, "").strip()):
        return None
    path = Path(text).resolve()
    if root.resolve() in (path, *path.parents):
        raise UsageProblem(
            f"{KEY} is a file inside the vendor's folder. Keep it elsewhere, where only you can read it."
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UsageProblem(f"{KEY} must name a file in a folder that exists.")
    return path


def read_key(path: Path, numbers: Sequence[int]) -> dict[str, int] | None:
    """Folder's name -> subject's number; None if the file does not exist yet.

    Raises
    ------
    UsageProblem
        If it is no such table. The line is named, what it holds is not.
    """
    try:
        if not path.exists():
            return None
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t")) or [[]]
        if header != _HEADER:
            raise ValueError(f"its first line must be '{_HEADER[0]}', a tab and '{_HEADER[1]}'")
        key: dict[str, int] = {}
        for line, row in enumerate(rows, start=2):
            if len(row) != 2 or not row[1].isdecimal() or int(row[1]) not in numbers:
                raise ValueError(f"line {line} is not a name, a tab and a number from {numbers[0]} to {numbers[-1]}")
            if row[0] in key or int(row[1]) in key.values():
                raise ValueError(f"line {line} repeats a name or a number")
            key[row[0]] = int(row[1])
    except (OSError, ValueError, csv.Error) as error:
        why = f"it cannot be read ({type(error).__name__})" if isinstance(error, OSError) else str(error)
        raise UsageProblem(f"The file that {KEY} names is not right: {why}. Correct it, or move it away.") from None
    return key


def write_key(path: Path, key: dict[str, int]) -> None:
    """Write the table, once, readable by its owner only."""
    text = io.StringIO(newline="")
    rows = sorted(key.items(), key=lambda one: one[1])
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([_HEADER, *rows])
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text.getvalue())
    except FileExistsError:  # another process was faster; it wrote the same
        return
    except OSError as error:
        raise UsageProblem(f"The file that {KEY} names cannot be written ({type(error).__name__}).") from None


@contextmanager
def nameless(where: str, files: Sequence[str]) -> Iterator[None]:
    """Let no error out whose text holds the name of a person's file, whatever went wrong."""
    try:
        yield
    except DataProblem as problem:
        if any(Path(file).name in str(problem) for file in files):
            raise _unreadable(where, "reading") from None
        raise
    except Exception as error:
        raise _unreadable(where, type(error).__name__) from None


def _unreadable(where: str, kind: str) -> DataProblem:
    return DataProblem(
        where,
        f"a file that cannot be read ({kind})",
        "the vendor's file",
        "Check that it is still there and may be read, or copy it from the vendor's archive again.",
    )
