"""Finding vendor files by name: folders that unpacked one level too deep, numbers that sort as numbers, stray files.

Nothing here opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``_eeg2`` before ``_eeg10`` and subject 9 before subject 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name) if part]


def find_folder(root: Path, pattern: re.Pattern[str], names: Collection[str], *, depth: int = 4) -> Path | None:
    """The folder that holds entries matching ``pattern``: ``root``, or one below it reached through known names only.

    Archives unpack to doubled folders (``data_preprocessed_python/data_preprocessed_python``); users name either end.
    Only folders called one of ``names`` (lower case; any case on disk) are entered, so a large tree is never walked.
    The folder nearest to the root wins; of two equally near, the first in the order of ``names``.
    """
    if not root.is_dir():
        return None
    level = [root]
    for _ in range(depth + 1):
        below = []
        for folder in level:
            children = sorted(folder.iterdir(), key=lambda child: natural_key(child.name))
            if any(pattern.fullmatch(child.name) for child in children):
                return folder
            below += [child for child in children if child.name.lower() in names and child.is_dir()]
        order = list(names)
        level = sorted(below, key=lambda child: order.index(child.name.lower()))
    return None


def matching(folder: Path, pattern: re.Pattern[str]) -> list[tuple[re.Match[str], Path]]:
    """The files of ``folder`` whose whole name matches, in natural order, each with its match."""
    files = sorted(folder.iterdir(), key=lambda child: natural_key(child.name))
    pairs = ((pattern.fullmatch(file.name), file) for file in files)
    return [(match, file) for match, file in pairs if match and file.is_file()]


def relative(file: Path, root: Path) -> str:
    """The file as the user sees it from the folder that was named: ``data_preprocessed_python/s01.dat``."""
    return file.relative_to(root).as_posix()


def numbers_text(numbers: Iterable[int | str]) -> str:
    """``"3, 7, 12"``, cut after ten with the count of the rest."""
    words = [str(number) for number in numbers]
    rest = f" and {len(words) - 10} more" if len(words) > 10 else ""
    return ", ".join(words[:10]) + rest


def stray_note(folder: Path, root: Path, known: Iterable[re.Pattern[str]]) -> list[str]:
    """One note that names the files of ``folder`` which no known pattern covers; empty if there are none."""
    patterns = list(known)
    stray = [
        relative(child, root)
        for child in sorted(folder.iterdir(), key=lambda child: natural_key(child.name))
        if child.is_file() and not any(pattern.fullmatch(child.name) for pattern in patterns)
    ]
    return [f"Not read: {numbers_text(stray)}."] if stray else []
