"""The README of EmoEEG-MC, which alone says what the event codes mean and what was shown to whom in which order.

Lines that are read, among much other text::

    sub-06: ima-23 fade-21 rating-22 vid-24
    6. `['joy8', 'ins5', ...]`                                       both contexts of subject 6, 21 stimuli
    - **sub54 Imagery sequence**:                                    and the list on the next line
    - **sub55**: Missing 3 imagery trials (Trials 19-21) and 3 video trials (Trials 40-42).

Two tables beside the data set replace it, subject by subject: ``eegpipe-emoeeg_mc-codes.tsv`` with the columns
``subject fade rating ima vid``, and ``eegpipe-emoeeg_mc-order.tsv`` with ``subject block trial stimulus``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from eegpipe.datasets.emoeeg_mc.facts import CONTEXTS, CURE, IMAGERY, STIMULI, VIDEO, readme
from eegpipe.datasets.formats.tables import read_table
from eegpipe.errors import DataProblem

CODES_TABLE, ORDER_TABLE = "eegpipe-emoeeg_mc-codes.tsv", "eegpipe-emoeeg_mc-order.tsv"
_LARGEST = 2**20
_KINDS = ("fade", "rating", IMAGERY, VIDEO)

_CODE_LINE = re.compile(r"\s*sub-?([0-9]{2})\s*:\s*(.*)")
_CODE = re.compile(r"(vid|rating|ima|f[ae]de)\s*-\s*([0-9]{1,3})")  # one subject's line says "fede"
_NUMBERED = re.compile(r"\s*([0-9]{1,2})\.\s+`?\[(.*)\]`?\s*")
_LIST = re.compile(r"\s*`?\[(.*)\]`?\s*")
_SUBJECT = re.compile(r"\s*-\s+\*\*sub-?([0-9]{2})\b(.*)")
_MISSING = re.compile(r"(imagery|video) trials? \(Trials? ([^)]*)\)")


@dataclass
class Guide:
    """Per subject: code -> kind of mark; context -> stimuli in order; context -> places (1 to 21) that are missing."""

    codes: dict[int, dict[int, str]] = field(default_factory=dict)
    orders: dict[int, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    missing: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)

    def codes_of(self, subject: int) -> dict[int, str]:
        if subject not in self.codes:
            cure = f"Copy the data set's README.md beside the subjects' folders, or write {CODES_TABLE} there."
            raise DataProblem(
                f"README.md: event codes of sub-{subject:02d}", "none", "a line like 'sub-06: ima-23'", cure
            )
        return self.codes[subject]

    def order_of(self, subject: int, context: str) -> tuple[str, ...]:
        if context not in self.orders.get(subject, {}):
            where = f"README.md: {CONTEXTS[context]} sequence of sub-{subject:02d}"
            cure = f"Copy the data set's README.md beside the subjects' folders, or write {ORDER_TABLE} there."
            raise DataProblem(where, "none", "the stimuli in the order in which they were shown", cure)
        return self.orders[subject][context]

    def missing_of(self, subject: int, context: str) -> tuple[int, ...]:
        return self.missing.get(subject, {}).get(context, ())


def files(root: Path) -> list[str]:
    """The texts that :func:`read_guide` reads, as far as they are there."""
    tables = [name for name in (CODES_TABLE, ORDER_TABLE) if (root / name).is_file()]
    found = readme(root)
    return [*([found] if found else []), *tables]


def read_guide(root: Path) -> Guide:
    """Everything that the texts say; what they do not say is refused by whoever asks for it."""
    guide = Guide()
    name = readme(root)
    if name is not None:
        path = root / name
        if path.stat().st_size > _LARGEST:
            raise DataProblem(name, f"{path.stat().st_size} bytes", "a small text file", CURE)
        _read_text(path.read_text(encoding="utf-8", errors="replace"), name, guide)
    if (root / CODES_TABLE).is_file():
        for row in _rows(root / CODES_TABLE, ("subject", *_KINDS)):
            _add_codes(guide, int(row["subject"]), [(kind, int(row[kind])) for kind in _KINDS], CODES_TABLE)
    if (root / ORDER_TABLE).is_file():
        _read_order(root / ORDER_TABLE, guide)
    return guide


def _read_text(text: str, where: str, guide: Guide) -> None:
    subject: int | None = None
    contexts: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"{where}: line {number}"
        if (codes := _CODE_LINE.fullmatch(line)) and _CODE.search(codes[2]):
            found = [(kind.replace("fede", "fade"), int(code)) for kind, code in _CODE.findall(codes[2])]
            _add_codes(guide, int(codes[1]), found, place)
            continue
        if listed := _NUMBERED.fullmatch(line):
            stimuli = _stimuli(listed[2], place)
            guide.orders[int(listed[1])] = {IMAGERY: stimuli, VIDEO: stimuli}
            continue
        if line.startswith("#"):
            subject, contexts = None, ()
        if named := _SUBJECT.fullmatch(line):
            subject, contexts = int(named[1]), ()
            if "Missing" in line:
                for kind, trials in _MISSING.findall(line):
                    context, before = (IMAGERY, 0) if kind == "imagery" else (VIDEO, len(STIMULI))
                    places = tuple(trial - before for trial in _numbers(trials))
                    guide.missing.setdefault(subject, {})[context] = places
                subject = None
        if subject is None:
            continue
        if listed := _LIST.fullmatch(line):
            stimuli = _stimuli(listed[1], place)
            guide.orders.setdefault(subject, {}).update(dict.fromkeys(contexts, stimuli))
        elif "imagery and video" in line:
            contexts = (IMAGERY, VIDEO)
        elif "Imagery" in line or "Video" in line:
            contexts = (IMAGERY,) if "Imagery" in line else (VIDEO,)


def _add_codes(guide: Guide, subject: int, found: list[tuple[str, int]], where: str) -> None:
    codes = {code: kind for kind, code in found}
    if sorted(kind for kind, _ in found) != sorted(_KINDS) or len(codes) != len(_KINDS):
        text = ", ".join(f"{kind} {code}" for kind, code in found)
        raise DataProblem(where, text, "one code each for fade, rating, ima and vid", CURE)
    guide.codes[subject] = codes


def _stimuli(text: str, where: str) -> tuple[str, ...]:
    names = tuple(re.findall(r"[A-Za-z0-9]+", text))
    if unknown := [name for name in names if name not in STIMULI]:
        raise DataProblem(where, f"the stimulus '{unknown[0]}'", f"stimuli {', '.join(STIMULI)}", CURE)
    if len(set(names)) != len(names):
        raise DataProblem(where, "a stimulus twice", "each stimulus once", CURE)
    return names


def _numbers(text: str) -> list[int]:
    """``"6, 8, 13, and 21"`` and ``"8-21"``."""
    numbers: list[int] = []
    for first, last in re.findall(r"([0-9]{1,2})(?:\s*-\s*([0-9]{1,2}))?", text):
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    wanted = tuple(columns)
    rows = read_table(path, path.name, delimiter="\t")
    numbers = [name for name in wanted if name not in ("block", "stimulus")]
    for number, row in enumerate(rows, start=2):
        row["subject"] = row.get("subject", "").removeprefix("sub-")
        if wrong := [name for name in numbers if not re.fullmatch("[0-9]{1,3}", row.get(name, ""))]:
            where = f"{path.name}: line {number}, {wrong[0]}"
            expected = f"a whole number, in a table with the columns {' '.join(wanted)}"
            raise DataProblem(where, repr(row.get(wrong[0], "")[:40]), expected, "Correct the table.")
    return rows


def _read_order(path: Path, guide: Guide) -> None:
    places: dict[tuple[int, str], dict[int, str]] = {}
    for row in _rows(path, ("subject", "block", "trial", "stimulus")):
        if row["block"] not in CONTEXTS:
            raise DataProblem(f"{path.name}: block", repr(row["block"][:40]), "ima or vid", "Correct the table.")
        places.setdefault((int(row["subject"]), row["block"]), {})[int(row["trial"])] = row["stimulus"]
    for (subject, context), shown in places.items():
        where = f"{path.name}: sub-{subject:02d} {context}"
        stimuli = _stimuli(" ".join(shown[trial] for trial in sorted(shown)), where)
        guide.orders.setdefault(subject, {})[context] = stimuli
        absent = tuple(trial for trial in range(1, len(STIMULI) + 1) if trial not in shown)
        guide.missing.setdefault(subject, {})[context] = absent
