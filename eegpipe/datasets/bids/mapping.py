"""The mapping file ``eegpipe.yaml``: what the events and columns of somebody's BIDS folder mean.

docs/mapping-a-bids-dataset.md explains it to users. Every value is read as text, as it stands in the file: YAML's own
guesses (``no`` is false, ``1e3`` is a text, ``2024-01-01`` is a date) would surprise whoever copies cells of a table.
Every fault is named with its line and key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from eegpipe.datasets import GENERIC, MAPPING, NAMES
from eegpipe.datasets.bids import montages
from eegpipe.errors import UsageProblem, did_you_mean

T = TypeVar("T")
D = TypeVar("D")

TABLES = ("events", "beh", "participants")
TYPES = ("eeg", "eog", "ecg", "emg", "gsr", "misc")
UNITS = {"uV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3}  # microvolts
_LARGEST = 64 * 1024
_MISSING = ("", "n/a", "na", "nan", "null", "~")


def plain(cell: str) -> str:
    """A cell without stray blanks; ``40.0`` is the number 40, ``040`` is a name."""
    text = cell.strip()
    return text.split(".")[0] if re.fullmatch(r"-?(0|[1-9][0-9]*)\.0+", text) else text


def missing(cell: str) -> bool:
    """Whether a cell says that there is nothing: empty, ``n/a``, ``NaN``."""
    return cell.strip().lower() in _MISSING


@dataclass(frozen=True)
class Column:
    """A column of ``events.tsv``, ``beh.tsv`` or ``participants.tsv``."""

    table: str
    name: str

    @property
    def text(self) -> str:
        return f"{self.table}.{self.name}"


@dataclass(frozen=True)
class Rows:
    """Rows of ``events.tsv``: those with one of the values in the column, or with one that fits the pattern."""

    column: str
    values: tuple[str, ...] = ()
    pattern: str = ""

    def hold(self, cell: str) -> bool:
        return re.fullmatch(self.pattern, cell) is not None if self.pattern else plain(cell) in self.values

    @property
    def text(self) -> str:
        wanted = f"that fits '{self.pattern}'" if self.pattern else " or ".join(map(repr, self.values))
        return f"{wanted} in column '{self.column}'"


@dataclass(frozen=True)
class Stimuli:
    """Which events are stimuli, and how long they last. Times of the table in milliseconds are 1000 a second."""

    rows: Rows
    name: tuple[Column, ...]
    trial: str = ""
    per_second: float = 1.0
    end: Rows | None = None
    duration_s: float | None = None
    leave_out_beyond_end: bool = False


@dataclass(frozen=True)
class Label:
    """The class of a stimulus: what stands in the column, and which class that is (None: without class)."""

    column: Column
    words: Mapping[str, str | None]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for word in self.words.values() if word))


@dataclass(frozen=True)
class Rating:
    """One rating of the participant, in its own scale (lowest, highest)."""

    name: str
    column: Column
    scale: tuple[float, float]


@dataclass(frozen=True)
class Channels:
    """What to do with the names and types of channels."""

    rename: Mapping[str, str] = field(default_factory=dict)
    strip: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    montage: str = ""


@dataclass(frozen=True)
class Reading:
    """All of the mapping that changes what is read from a recording."""

    stimuli: Stimuli
    label: Label | None = None
    ratings: tuple[Rating, ...] = ()
    beh_join: str = "order"  # "order", "trial" or "stimulus"
    beh_column: str = ""
    channels: Channels = field(default_factory=Channels)
    unit: str = ""
    line_hz: float | None = None
    reference: str = ""
    rates_hz: tuple[float, ...] = ()
    n_stimuli: int | None = None
    n_different: int | None = None
    n_eeg: int | None = None

    def uses(self, table: str) -> bool:
        """Whether anything is taken from a table."""
        label = [self.label.column] if self.label else []
        columns = [*self.stimuli.name, *label, *(rating.column for rating in self.ratings)]
        return any(column.table == table for column in columns)


@dataclass(frozen=True)
class Files:
    """Which recordings to read; empty: all. Compared without regard to case, numbers by value."""

    task: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    acquisition: tuple[str, ...] = ()


@dataclass(frozen=True)
class MappingFile:
    """A whole ``eegpipe.yaml``."""

    name: str
    reading: Reading
    title: str = ""
    licence: str = ""
    authors: tuple[str, ...] = ()
    citation: str = ""
    url: str = ""
    folder: str = ""
    files: Files = field(default_factory=Files)
    n_subjects: int | None = None
    already_processed: bool = False


# --- from YAML --------------------------------------------------------------------------------------------------------


def load(folder: Path) -> MappingFile:
    """Read and check the mapping file of a folder.

    Raises
    ------
    UsageProblem
        With the line and the key, what was found and what is expected.
    """
    file = folder / MAPPING
    try:
        if file.stat().st_size > _LARGEST:
            raise UsageProblem(f"{MAPPING}: {file.stat().st_size} bytes, expected a small text file.")
        root = yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise UsageProblem(f"{MAPPING}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageProblem(f"{MAPPING}: not valid YAML. {' '.join(str(error).split())[:300]}") from None
    if root is None:
        raise UsageProblem(f"{MAPPING}: empty. docs/mapping-a-bids-dataset.md shows what stands in it.")
    return _mapping_file(_Table(root, "", _KEYS[""]))


_KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "name", "title", "licence", "authors", "citation", "url", "folder", "files", "stimuli", "label", "ratings",
        "scale", "beh", "channels", "unit", "line_hz", "reference", "expect", "already_processed",
    ),
    "files": ("task", "session", "run", "subject", "acquisition"),
    "stimuli": ("column", "values", "pattern", "name", "trial", "onset_unit", "end", "duration_s", "beyond_end"),
    "stimuli.end": ("column", "values", "pattern"),
    "label": ("column", "words"),
    "beh": ("join", "column"),
    "channels": ("rename", "strip", "types", "leave_out", "montage"),
    "expect": ("subjects", "stimuli", "different_stimuli", "rate_hz", "eeg_channels"),
}  # fmt: skip


class _Table:
    """A level of the file. ``known``: the keys that it may have; empty: any."""

    def __init__(self, node: yaml.Node, path: str, known: Sequence[str]) -> None:
        if not isinstance(node, yaml.MappingNode):
            _fault(node, path, _shown(node), "keys with values, such as 'name: my_set'")
        self.node, self.path = node, path
        self.entries: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _fault(key, path, _shown(key), "a plain word as key")
            name = key.value
            if name in self.entries:
                _fault(key, self.key(name), "the key a second time", "each key once")
            if known and name not in known:
                place = f"{MAPPING}, line {_line(key)}"
                raise UsageProblem(f"{place}: unknown key '{self.key(name)}'.{did_you_mean(name, known)}")
            self.entries[name] = value

    def key(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str, kind: Callable[[yaml.Node, str], T], default: D) -> T | D:
        node = self.entries.get(name)
        return default if node is None else kind(node, self.key(name))

    def need(self, name: str, kind: Callable[[yaml.Node, str], T], example: str) -> T:
        if name not in self.entries:
            place = f"{MAPPING}, line {_line(self.node)}"
            raise UsageProblem(f"{place}: the key '{self.key(name)}' is missing. Write for example:\n{example}")
        return kind(self.entries[name], self.key(name))


def _mapping_file(table: _Table) -> MappingFile:
    name = table.need("name", _name, "name: my_set")
    default_scale = table.take("scale", _scale, None)
    files = table.take("files", _files, Files())
    expect = table.take("expect", _expect, {})
    beh = table.take("beh", _beh, ("order", ""))
    stimuli = table.need("stimuli", _stimuli, "stimuli:\n  column: trial_type\n  values: [film]")
    reading = Reading(
        stimuli=stimuli,
        label=table.take("label", _label, None),
        ratings=table.take("ratings", lambda node, key: _ratings(node, key, default_scale), ()),
        beh_join=beh[0],
        beh_column=beh[1],
        channels=table.take("channels", _channels, Channels()),
        unit=table.take("unit", lambda node, key: _one_of(node, key, tuple(UNITS)), ""),
        line_hz=table.take("line_hz", lambda node, key: float(_one_of(node, key, ("50", "60"))), None),
        reference=table.take("reference", _text, ""),
        rates_hz=tuple(float(rate) for rate in expect.get("rate_hz", ())),
        n_stimuli=expect.get("stimuli"),
        n_different=expect.get("different_stimuli"),
        n_eeg=expect.get("eeg_channels"),
    )
    made = MappingFile(
        name=name,
        reading=reading,
        title=table.take("title", _text, ""),
        licence=table.take("licence", _text, ""),
        authors=table.take("authors", _texts, ()),
        citation=table.take("citation", _text, ""),
        url=table.take("url", _text, ""),
        folder=table.take("folder", _text, ""),
        files=files,
        n_subjects=expect.get("subjects"),
        already_processed=table.take(
            "already_processed", lambda node, key: _one_of(node, key, ("yes", "no", "true", "false")), "no"
        )
        in ("yes", "true"),
    )
    if any(column.table == "beh" for column in stimuli.name) and beh[0] == "stimulus":
        raise UsageProblem(
            f"{MAPPING}: stimuli.name comes from beh.tsv: found beh.join 'stimulus', expected 'trial' or 'order'."
        )
    return made


def _files(node: yaml.Node, path: str) -> Files:
    table = _Table(node, path, _KEYS[path])
    found = {key: table.take(key, _texts, ()) for key in _KEYS["files"]}
    return Files(**found)


def _stimuli(node: yaml.Node, path: str) -> Stimuli:
    table = _Table(node, path, _KEYS[path])
    rows = _rows_of(table)
    trial = table.take("trial", _column, None)
    if trial is not None and trial.table != "events":
        _fault(table.entries["trial"], table.key("trial"), trial.text, "a column of events.tsv")
    unit = table.take("onset_unit", lambda entry, key: _one_of(entry, key, ("s", "ms")), "s")
    beyond = table.take("beyond_end", lambda entry, key: _one_of(entry, key, ("refuse", "leave_out")), "refuse")
    made = Stimuli(
        rows=rows,
        name=table.take("name", _columns, (Column("events", rows.column),)),
        trial=trial.name if trial else "",
        per_second=1000.0 if unit == "ms" else 1.0,
        end=table.take("end", _end, None),
        duration_s=table.take("duration_s", _positive, None),
        leave_out_beyond_end=beyond == "leave_out",
    )
    if made.end and made.duration_s:
        _fault(node, path, "both 'end' and 'duration_s'", "one of them")
    return made


def _end(node: yaml.Node, path: str) -> Rows:
    table = _Table(node, path, _KEYS[path])
    return _rows_of(table)


def _rows_of(table: _Table) -> Rows:
    column = table.need("column", _column, f"{table.path}:\n  column: trial_type")
    if column.table != "events":
        _fault(table.entries["column"], table.key("column"), column.text, "a column of events.tsv")
    values = tuple(map(plain, table.take("values", _texts, ())))
    pattern = table.take("pattern", _pattern, "")
    if bool(values) == bool(pattern):
        _fault(table.node, table.path, "both or neither of 'values' and 'pattern'", "one of them")
    return Rows(column.name, values, pattern)


def _label(node: yaml.Node, path: str) -> Label:
    table = _Table(node, path, _KEYS[path])
    column = table.need("column", _column, "label:\n  column: emotion")
    words = table.need("words", _pairs, "label:\n  words: {1: happy, 2: sad}")
    return Label(column, {plain(cell): None if missing(word) else word for cell, word in words.items()})


def _ratings(node: yaml.Node, path: str, default: tuple[float, float] | None) -> tuple[Rating, ...]:
    table = _Table(node, path, ())
    found = []
    for name, entry in table.entries.items():
        key = table.key(name)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            _fault(entry, key, f"the name '{name}'", "a word of small letters")
        if isinstance(entry, yaml.MappingNode):
            inner = _Table(entry, key, ("column", "scale"))
            column = inner.need("column", _column, f"{path}:\n  {name}: {{column: beh.{name}, scale: [1, 9]}}")
            scale = inner.take("scale", _scale, default)
        else:
            column, scale = _column(entry, key), default
        if scale is None:
            _fault(entry, key, "no scale", "the lowest and highest mark, for all ratings: 'scale: [1, 9]'")
        found.append(Rating(name, column, scale))
    return tuple(found)


def _beh(node: yaml.Node, path: str) -> tuple[str, str]:
    table = _Table(node, path, _KEYS[path])
    join = table.need(
        "join", lambda entry, key: _one_of(entry, key, ("order", "trial", "stimulus")), f"{path}:\n  join: order"
    )
    column = table.take("column", lambda entry, key: _column(entry, key, "beh"), None)
    if column is not None and column.table != "beh":
        _fault(node, path, f"column {column.text}", "a column of beh.tsv")
    if (column is None) == (join != "order"):
        expected = "'column', with the number of the trial or the name of the stimulus; nothing for join: order"
        _fault(node, path, f"join: {join} {'without' if column is None else 'with'} 'column'", expected)
    return join, column.name if column else ""


def _channels(node: yaml.Node, path: str) -> Channels:
    table = _Table(node, path, _KEYS[path])
    return Channels(
        rename=table.take("rename", _pairs, {}),
        strip=table.take("strip", _texts, ()),
        types=table.take("types", _types, {}),
        leave_out=table.take("leave_out", _texts, ()),
        montage=table.take("montage", lambda entry, key: _one_of(entry, key, montages.NAMES), ""),
    )


def _types(node: yaml.Node, path: str) -> dict[str, str]:
    table = _Table(node, path, ())
    return {name: _one_of(entry, table.key(name), TYPES) for name, entry in table.entries.items()}


def _expect(node: yaml.Node, path: str) -> dict:
    table = _Table(node, path, _KEYS[path])
    found: dict = {key: table.take(key, _count, None) for key in _KEYS["expect"] if key != "rate_hz"}
    found["rate_hz"] = table.take("rate_hz", _rates, ())
    return found


# --- single values ----------------------------------------------------------------------------------------------------


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"'{node.value[:80]}'"
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys with values"


def _fault(node: yaml.Node, path: str, found: str, expected: str) -> NoReturn:
    raise UsageProblem(
        f"{MAPPING}, line {_line(node)}: {path or 'the whole file'}: found {found}, expected {expected}."
    )


def _text(node: yaml.Node, path: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        _fault(node, path, _shown(node), "a text")
    text = node.value.strip()
    if not text.isprintable():
        _fault(node, path, "a text with control characters", "a text on one line")
    return text


def _texts(node: yaml.Node, path: str) -> tuple[str, ...]:
    """One text, or a list of texts."""
    if isinstance(node, yaml.SequenceNode):
        if not node.value:
            _fault(node, path, "an empty list", "a text or a list of texts")
        # Not _text: a blank at the end can matter in what is stripped from names.
        return tuple(_raw(entry, path) for entry in node.value)
    return (_raw(node, path),)


def _raw(node: yaml.Node, path: str) -> str:
    _text(node, path)
    return str(node.value)


def _pairs(node: yaml.Node, path: str) -> dict[str, str]:
    table = _Table(node, path, ())
    if not table.entries:
        _fault(node, path, "nothing", "pairs such as {1: happy, 2: sad}")
    pairs = {}
    for name, entry in table.entries.items():
        if not isinstance(entry, yaml.ScalarNode):
            _fault(entry, table.key(name), _shown(entry), "a text")
        pairs[name] = entry.value.strip()
    return pairs


def _name(node: yaml.Node, path: str) -> str:
    name = _text(node, path)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        _fault(node, path, f"'{name}'", "small letters, digits and '_', beginning with a letter")
    if name in NAMES and name != GENERIC:
        _fault(node, path, f"'{name}'", f"a name of your own: eegpipe has a reader for the original files of {name}")
    return name


def _column(node: yaml.Node, path: str, default: str = "events") -> Column:
    """``beh.valence``, or a name alone, which is a column of the default table."""
    table, dot, name = _text(node, path).partition(".")
    return Column(table, name.strip()) if dot and table in TABLES else Column(default, _text(node, path))


def _columns(node: yaml.Node, path: str) -> tuple[Column, ...]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not nodes:
        _fault(node, path, "an empty list", "a column or a list of columns")
    return tuple(_column(entry, path) for entry in nodes)


def _one_of(node: yaml.Node, path: str, known: Sequence[str]) -> str:
    text = _text(node, path)
    if text not in known:
        place = f"{MAPPING}, line {_line(node)}: {path}"
        raise UsageProblem(f"{place}: found '{text}', expected {' or '.join(known)}.{did_you_mean(text, known)}")
    return text


def _float(node: yaml.Node, path: str) -> float:
    try:
        value = float(_text(node, path))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        _fault(node, path, _shown(node), "a number")
    return value


def _positive(node: yaml.Node, path: str) -> float:
    value = _float(node, path)
    if value <= 0:
        _fault(node, path, _shown(node), "a number above 0")
    return value


def _count(node: yaml.Node, path: str) -> int | None:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", _text(node, path)):
        _fault(node, path, _shown(node), "a whole number from 1 on")
    return int(_text(node, path))


def _rates(node: yaml.Node, path: str) -> tuple[float, ...]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return tuple(_positive(entry, path) for entry in nodes)


def _scale(node: yaml.Node, path: str) -> tuple[float, float] | None:
    if not isinstance(node, yaml.SequenceNode) or len(node.value) != 2:
        _fault(node, path, _shown(node), "the lowest and the highest mark, such as [1, 9]")
    low, high = (_float(entry, path) for entry in node.value)
    if low >= high:
        _fault(node, path, f"[{low:g}, {high:g}]", "the lowest mark first, such as [1, 9]")
    return low, high


def _pattern(node: yaml.Node, path: str) -> str:
    text = _text(node, path)
    try:
        re.compile(text)
    except re.error as error:
        _fault(node, path, f"'{text}' ({error})", "a regular expression that fits the whole cell, such as film_[0-9]+")
    return text
