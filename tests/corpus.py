"""Damaged, changed and hostile vendor files: made from simulated trees by a seeded generator, and judged.

Each case takes the simulated tree of one variant of one data set, changes one thing, and converts it to BIDS in a
process of its own. What may come out of it: every recording either is refused with one clear message, or is what the
files say. Never a traceback, a crash, a hang, memory beyond a few times the file, a program that ran, or anything
half-written.

    python tests/corpus.py --cases 2000 --seed 1    # the long run; prints what went wrong, then the exit code is 1

Bytes inside numbers that carry no checksum (pickles, CNT, EDF, plain MATLAB) can change without any reader seeing
it. So after a change of bytes only the structure must be right (stimuli, labels, channels); after a change of meaning
(another shape, unit, order, key) the signal must be the planted one too.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LONGEST_S = 30
# Memory beyond what the process had: 4 times the files of a recording, and what the libraries need for any file at all.
MEMORY_PER_BYTE, MEMORY_ALLOWANCE = 4, 64 * 2**20
UNTOUCHED = "untouched"
RAN = "a-program-ran"  # the file that a hostile pickle would make
MARKER = "eegpipe-simulated.json"

# A message names what was found and what was expected, and is a sentence; nothing of Python shows in it.
CLEAR = re.compile(r"(?s).+: found .+, expected .+\.")
UNCLEAR = re.compile(r"Traceback|\(at eegpipe\.|\(at [a-z_.]+:\d+\)|object at 0x|KilledWorker")


# --- changes of bytes -------------------------------------------------------------------------------------------------


def truncated(dice: random.Random, content: bytes) -> bytes:
    ends = (0, 1, 7, 127, 128, 129, 256, 900, len(content) - 1, len(content) - 2, len(content) // 2)
    return content[: dice.choice([dice.randrange(len(content) + 1), *ends])]


def flipped(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    reach = dice.choice([min(len(content), 512), min(len(content), 8192), len(content)])
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        changed[dice.randrange(reach)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def overwritten(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    length = dice.choice([1, 2, 4, 8, 64, 1000])
    at = dice.randrange(min(len(content), dice.choice([300, 9000, len(content)])))
    filler = dice.choice([b"\x00", b"\xff", b"\x7f", b" ", b"9", None])
    piece = bytes(dice.randrange(256) for _ in range(length)) if filler is None else filler * length
    changed[at : at + length] = piece[: len(content) - at]
    return bytes(changed)


def shifted(dice: random.Random, content: bytes) -> bytes:
    at, length = dice.randrange(len(content)), dice.choice([1, 2, 3, 8, 500])
    if dice.random() < 0.5:
        return content[:at] + content[at + length :]
    return content[:at] + bytes(dice.randrange(256) for _ in range(length)) + content[at:]


def lengthened(dice: random.Random, content: bytes) -> bytes:
    return content + dice.choice([b"\x00", b"\x00" * 1000, content[-512:], b"garbage" * 99])


def rearranged(dice: random.Random, content: bytes) -> bytes:
    length = min(len(content) // 3, dice.choice([16, 256, 4096]))
    first, second = sorted(dice.sample(range(0, len(content) - length + 1), 2)) if len(content) > length + 2 else (0, 0)
    if second - first < length:
        return content[::-1]
    parts = content[first : first + length], content[second : second + length]
    middle = content[first + length : second]
    return content[:first] + parts[1] + middle + parts[0] + content[second + length :]


def something_else(dice: random.Random, _: bytes) -> bytes:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    zip_bomb = io.BytesIO()
    with zipfile.ZipFile(zip_bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", b"\0" * 30_000_000)
    return dice.choice(
        [page, b"", b"\x89HDF\r\n\x1a\n" + b"\0" * 2000, zip_bomb.getvalue(), b"version https://git-lfs"]
    )


BYTES = (truncated, flipped, overwritten, shifted, lengthened, rearranged, something_else)


# --- changes of arrays ------------------------------------------------------------------------------------------------


def _swap(array: np.ndarray, dice: random.Random) -> np.ndarray:
    axes = dice.sample(range(array.ndim), 2) if array.ndim > 1 else (0, 0)
    return np.swapaxes(array, *axes)


def _numbers(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu"


def _one_value(value: float) -> Callable[[np.ndarray, random.Random], np.ndarray]:
    def change(array: np.ndarray, dice: random.Random) -> np.ndarray:
        changed = array.astype(np.float64)
        if changed.size:
            changed.flat[dice.randrange(changed.size)] = value
        return changed

    return change


ARRAYS: dict[str, Callable[[np.ndarray, random.Random], Any]] = {
    "axes swapped": _swap,
    "one row less": lambda array, _: array[:-1],
    "one column less": lambda array, _: array[..., :-1],
    "one row more": lambda array, _: np.concatenate([array, array[:1]]) if array.ndim else array,
    "in volts": lambda array, _: array * 1e-6,
    "in millivolts": lambda array, _: array * 1e-3,
    "in nanovolts": lambda array, _: array * 1e3,
    "single": lambda array, _: array.astype(np.float32),
    "whole numbers": lambda array, _: array.astype(np.int16),
    "texts": lambda array, _: array.astype("U8") if array.size < 10_000 else np.array(["a", "b"]),
    "complex": lambda array, _: array + 1j,
    "truth values": lambda array, _: array > 0,
    "objects": lambda array, _: array.astype(object) if 0 < array.size < 10_000 else np.array([1.0, "a"], object),
    "nothing": lambda *_: np.empty((0, 0)),
    "one number": lambda *_: np.float64(3.0),
    "NaN": _one_value(np.nan),
    "infinity": _one_value(np.inf),
    "huge": _one_value(1e30),
    "all NaN": lambda array, _: np.full(array.shape, np.nan),
    "all zero": lambda array, _: np.zeros_like(array),
    "flattened": lambda array, _: array.ravel(),
    "one more axis": lambda array, _: array[None],
    # Of a signal no reader can tell that it was rectified.
    "negative": lambda array, _: -np.abs(array.astype(np.float64)) - 1 if array.size < 500 else array[::-1][1:],
}


class Hostile:
    """Unpickled by Python's own loader, it makes a file."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.place, "w"))


def hostile_pickles(place: Path) -> list[bytes]:
    """Pickles that would run something, name something, or take memory or time."""
    name = str(place).encode()
    return [
        pickle.dumps(Hostile(str(place)), protocol=2),
        pickle.dumps({"data": Hostile(str(place)), "labels": 1}, protocol=4),
        b"cos\nsystem\n(S'touch " + name + b"'\ntR.",
        b"cbuiltins\neval\n(S'open(\"" + name + b'","w")' + b"'\ntR.",
        b"c__builtin__\nexecfile\n(S'" + name + b"'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(I0\ntS'b'\ntR.",
        b"cnumpy\nfromfile\n(S'/etc/hostname'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I4000000000\ntS'b'\ntR.",
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.",  # a bytes object of 4 EiB
        b"\x80\x04\x96" + (2**40).to_bytes(8, "little") + b"x.",
        b"\x80\x02r" + (2**32 - 1).to_bytes(4, "little") + b".",  # a memo of four thousand million places
        b"(" * 100_000 + b".",
        b"]" + b"]a" * 50_000 + b".",
        b"cpathlib\nPath\n(S'" + name + b"'\ntR(dS'x'\nS'y'\nsb.",
        b"\x80\x02csubprocess\nPopen\n(](U\x05touchU" + bytes([min(len(name), 255)]) + name[:255] + b"etR.",
        b"Vx\n" * 1000 + b".",
    ]


# --- files that are opened, changed in meaning and written again ------------------------------------------------------


def _leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, np.ndarray]]:
    """Every array of numbers inside what scipy or pickle gives, with the way to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not str(key).startswith("__"):
                yield from _leaves(inner, (*path, key))
    elif isinstance(value, np.ndarray) and value.dtype.names:
        for index in np.ndindex(value.shape):
            for name in value.dtype.names:
                yield from _leaves(value[index][name], (*path, index, name))
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for index in np.ndindex(value.shape):
            yield from _leaves(value[index], (*path, index))
    elif isinstance(value, np.ndarray):
        yield path, value


def _put(value: Any, path: tuple, new: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def changed_array(dice: random.Random, content: Any) -> tuple[str, Any]:
    """(what was changed, the content with one of its arrays changed)."""
    leaves = list(_leaves(content))
    large = [leaf for leaf in leaves if leaf[1].size > 500]
    path, array = dice.choice(large if large and dice.random() < 0.6 else leaves)
    names = list(ARRAYS) if _numbers(array) else ["nothing", "flattened", "one number"]
    name = dice.choice(names)
    with np.errstate(all="ignore"):
        new = ARRAYS[name](array, dice)
    if not path:
        return name, new
    _put(content, path, new)
    return f"{name} at {'/'.join(map(str, path))}", content


def changed_keys(dice: random.Random, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    keys = [key for key in content if not key.startswith("__")]
    key, other = dice.choice(keys), dice.choice(keys)
    what = dice.choice(["missing", "renamed", "exchanged", "additional", "upper case", "copied"])
    changed = dict(content)
    if what == "missing":
        del changed[key]
    elif what == "renamed":
        changed[f"{key[:-1]}x"] = changed.pop(key)
    elif what == "exchanged":
        changed[key], changed[other] = changed[other], changed[key]
    elif what == "additional":
        changed["extra"] = np.arange(6.0)
    elif what == "upper case":
        changed[key.swapcase()] = changed.pop(key)
    else:
        changed[other] = changed[key]
    return f"key {what}: {key}, {other}", changed


def mat_changed(dice: random.Random, path: Path) -> str:
    from scipy.io import loadmat, savemat

    content = {key: value for key, value in loadmat(path, appendmat=False).items() if not key.startswith("__")}
    what, content = (changed_keys if dice.random() < 0.3 else changed_array)(dice, content)
    savemat(path, content, do_compression=dice.random() < 0.7, appendmat=False)
    return what


def pickle_changed(dice: random.Random, path: Path) -> str:
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    if isinstance(content, dict) and dice.random() < 0.3:
        what, content = changed_keys(dice, content)
    elif dice.random() < 0.1:
        what, content = "a list", [content]
    else:
        what, content = changed_array(dice, content)
    path.write_bytes(pickle.dumps(content, protocol=dice.choice([2, 4, 5])))
    return what


def hostile(dice: random.Random, path: Path) -> str:
    programs = hostile_pickles(path.parents[0] / RAN)
    number = dice.randrange(len(programs))
    content = programs[number]
    if path.suffix == ".npy":
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117) + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
    path.write_bytes(content)
    return f"hostile pickle {number}"


def npy_changed(dice: random.Random, path: Path) -> str:
    array = np.load(path)
    what, array = changed_array(dice, array)
    np.save(path, array, allow_pickle=True)
    return what


def edf_changed(dice: random.Random, path: Path) -> str:
    """One field of an EDF or BDF header: another text, or two of them exchanged."""
    content = bytearray(path.read_bytes())
    signals = int(content[252:256])
    widths = {"label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8, "pre": 80, "n": 8}
    main = {"bytes": (184, 8), "records": (236, 8), "record_s": (244, 8), "signals": (252, 4), "version": (0, 8)}
    texts = ["", "0", "-1", "1", "99999999", "1e999", "nan", "x", "uV", "mV", "V", "Cz", "Status", "8388607", "2.5"]
    if dice.random() < 0.25:
        name, (at, width) = dice.choice(list(main.items()))
        new = dice.choice(texts)
        content[at : at + width] = new[:width].ljust(width).encode("latin1")
        path.write_bytes(bytes(content))
        return f"{name} = {new!r}"
    name = dice.choice(list(widths))
    start = 256 + signals * sum(list(widths.values())[: list(widths).index(name)])
    width = widths[name]
    first, second = dice.randrange(signals), dice.randrange(signals)
    one, two = (slice(start + index * width, start + (index + 1) * width) for index in (first, second))
    if dice.random() < 0.4:
        content[one], content[two] = content[two], content[one]
        what = f"{name} of signals {first} and {second} exchanged"
    else:
        new = dice.choice(texts)
        content[one] = new[:width].ljust(width).encode("latin1")
        what = f"{name} of signal {first} = {new!r}"
    path.write_bytes(bytes(content))
    return what


def cnt_changed(dice: random.Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    channels = int.from_bytes(content[370:372], "little")
    if dice.random() < 0.5:
        at, width = dice.choice([(370, 2), (376, 2), (864, 4), (886, 4), (894, 4)])
        value = dice.choice([0, 1, 62, 200, 500, 2**15, 2 ** (8 * width) - 1, dice.randrange(2 ** (8 * width))])
        content[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
        what = f"header field at {at} = {value}"
    else:
        first, second = (900 + 75 * dice.randrange(channels) for _ in range(2))
        part = dice.choice([slice(0, 10), slice(47, 49), slice(59, 63), slice(71, 75)])
        one, two = (slice(start + part.start, start + part.stop) for start in (first, second))
        if dice.random() < 0.5:
            content[one], content[two] = content[two], content[one]
            what = f"{part} of channels exchanged"
        else:
            content[one] = dice.choice([b"\0", b"\xff", b"X"]) * (part.stop - part.start)
            what = f"{part} of a channel overwritten"
    path.write_bytes(bytes(content))
    return what


def text_changed(dice: random.Random, path: Path) -> str:
    """A line or a cell of a text file."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    at = dice.randrange(len(lines))
    what = dice.choice(["line missing", "line twice", "cell", "cell", "cell", "encoding", "empty", "order", "quote"])
    if what == "line missing":
        del lines[at]
    elif what == "line twice":
        lines.insert(at, lines[at])
    elif what == "order":
        dice.shuffle(lines)
    elif what == "empty":
        lines = [""]
    elif what == "quote":
        lines[at] = '"' + lines[at]
    elif what == "cell":
        cells = re.split(r"([\t,;:\[\]<>=\" ])", lines[at])
        texts = [
            "",
            "n/a",
            "NaN",
            "-1",
            "1e400",
            "99999999999",
            "0",
            "x" * 5000,
            "&lol;",
            "../../etc/passwd",
            "\0",
            "7.5",
        ]
        cells[2 * dice.randrange((len(cells) + 1) // 2)] = dice.choice(texts)
        lines[at] = "".join(cells)
    text = "\n".join(lines)
    encoding = dice.choice(["utf-16", "latin1"]) if what == "encoding" else "utf-8"
    path.write_bytes(text.encode(encoding, errors="replace" if encoding != "utf-8" else "surrogateescape"))
    return what


def xlsx_changed(dice: random.Random, path: Path) -> str:
    """A cell of a workbook, or a row of it."""
    from openpyxl import load_workbook

    book = load_workbook(path)
    sheet = dice.choice(book.worksheets)
    row, column = dice.randint(1, max(1, sheet.max_row)), dice.randint(1, max(1, sheet.max_column))
    what = dice.choice(["cell", "cell", "cell", "row missing", "row twice", "column missing", "sheet renamed"])
    if what == "cell":
        sheet.cell(row, column).value = dice.choice(["", "n/a", -1, 1e300, "=1/0", "x" * 5000, "7,5", 5.5])
    elif what == "row missing":
        sheet.delete_rows(row)
    elif what == "row twice":
        for at, cell in enumerate(list(sheet[row]), start=1):
            sheet.cell(sheet.max_row + (at == 1), at).value = cell.value
    elif what == "column missing":
        sheet.delete_cols(column)
    else:
        sheet.title = "Other"
    book.save(path)
    return what


MEANING: dict[str, Callable[[random.Random, Path], str]] = {
    ".mat": mat_changed, ".set": mat_changed, ".pkl": pickle_changed, ".dat": pickle_changed, ".npy": npy_changed,
    ".bdf": edf_changed, ".edf": edf_changed, ".cnt": cnt_changed, ".xlsx": xlsx_changed, ".csv": text_changed,
    ".tsv": text_changed, ".txt": text_changed, ".json": text_changed, ".xml": text_changed, ".yaml": text_changed,
    ".vhdr": text_changed, ".vmrk": text_changed,
}  # fmt: skip
ONES_OWN = ("label", "low", "high", "least", "most")  # fields of an EDF header that each signal has for itself
PICKLES = (".pkl", ".dat", ".npy", ".npz")
# A number that somebody changes in a table is a number; only in signal files does it show in the signal.
TABLES = (".csv", ".tsv", ".txt", ".json", ".xml", ".yaml", ".xlsx")


# --- changes of the tree ----------------------------------------------------------------------------------------------


def tree_changed(dice: random.Random, tree: Path, files: list[Path]) -> str:
    file = dice.choice(files)
    alike = [other for other in files if other.suffix == file.suffix and other != file]
    what = dice.choice(
        ["missing", "duplicated", "additional", "a folder", "exchanged", "no access", "a link", "a pipe"]
    )
    if what == "missing":
        file.unlink()
    elif what == "duplicated" and alike:
        replace_file(dice.choice(alike), file.read_bytes())
    elif what == "exchanged" and alike:
        other = dice.choice(alike)
        mine, theirs = file.read_bytes(), other.read_bytes()
        replace_file(file, theirs)
        replace_file(other, mine)
    elif what == "a folder":
        file.unlink()
        file.mkdir()
    elif what == "a link":
        file.unlink()
        file.symlink_to(file.with_name("nowhere"))
    elif what == "a pipe":
        file.unlink()
        os.mkfifo(file)
    else:
        shutil.copy(file, file.with_name(dice.choice([f"copy of {file.name}", f"99_{file.name}", f"._{file.name}"])))
        what = "additional"
    return f"{what}: {file.relative_to(tree).as_posix()}"


def replace_file(file: Path, content: bytes) -> None:
    """Trees are made of hard links: never write into one."""
    file.unlink()
    file.write_bytes(content)


# --- cases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """A simulated tree and its truth. ``folder`` holds ``raw`` and ``truth``; ``largest`` bytes make one recording."""

    dataset: str
    variant: str
    folder: Path
    largest: int


@dataclass(frozen=True)
class Case:
    base: Base
    seed: str

    def apply(self, tree: Path) -> tuple[str, str]:
        """Change the tree; (kind of change: bytes, meaning or tree, what was changed)."""
        if self.seed == UNTOUCHED:
            return "meaning", "nothing"
        dice = random.Random(self.seed)
        files = sorted(path for path in tree.rglob("*") if path.is_file() and path.name != MARKER)
        # By size too: a large signal file deserves more than one of many small tables.
        file = dice.choice(files) if dice.random() < 0.5 else max(dice.sample(files, min(3, len(files))), key=size_of)
        name = file.relative_to(tree).as_posix()
        roll = dice.random()
        if roll < 0.08:
            return "tree", tree_changed(dice, tree, files)
        if roll < 0.2 and (pickled := [one for one in files if one.suffix in PICKLES]):
            file = dice.choice(pickled)
            replace_file(file, b"")
            return "bytes", f"{hostile(dice, file)}: {file.relative_to(tree).as_posix()}"
        if roll < 0.6 and file.suffix in MEANING and size_of(file):
            content = file.read_bytes()
            replace_file(file, content)
            what = MEANING[file.suffix](dice, file)
            # Trials of one shape may be exchanged or copied, a channel may have another name or scale: no reader can
            # tell whether it was always so.
            own = (f"{name} of signal" for name in ONES_OWN)
            # Numbers may be stored as whole numbers; how long a baseline was is not known of a shortened tree.
            alike = (
                what.startswith(("key exchanged", "key copied", "slice", "whole numbers", *own)) or "/baseline/" in what
            )
            return ("bytes" if alike or file.suffix in TABLES else "meaning"), f"{what}: {name}"
        change = dice.choice(BYTES)
        content = file.read_bytes()
        replace_file(file, change(dice, content) if content or change is something_else else b"x")
        return "bytes", f"{change.__name__}: {name}"


def size_of(path: Path) -> int:
    return path.stat().st_size


def bases(root: Path, *, seed: int, names: list[str] | None = None) -> list[Base]:
    """A small simulated tree for every variant of every data set that has a simulator."""
    from eegpipe import datasets
    from eegpipe.simulate import SimulateSettings, simulate

    made = []
    for dataset in map(datasets.get, datasets.NAMES):
        for variant in dataset.variants:
            if variant.simulator is None or (names and dataset.name not in names):
                continue
            folder = root / f"{dataset.name}-{variant.name}"
            people = min(2, len(variant.simulator.design.people))
            settings = SimulateSettings(variant=variant.name, subjects=people, sessions=1, trial_s=4, seed=seed)
            simulate(dataset.name, folder / "raw", settings, truth=folder / "truth")
            found = (dataset.at(folder / "raw").variants[0] if dataset.at else variant).discover(folder / "raw")
            largest = max(sum(size_of(found.root / file) for file in entry.files) for entry in found.entries)
            made.append(Base(dataset.name, variant.name, folder, largest))
    return made


def cases(made: list[Base], count: int, *, seed: int) -> list[Case]:
    """``count`` cases, spread evenly over the trees, after one for each tree in which nothing is changed."""
    return [Case(base, UNTOUCHED) for base in made] + [
        Case(made[number % len(made)], f"{seed}/{number}") for number in range(count)
    ]


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    case: Case
    what: str
    result: str  # "refused", "right", or what was wrong
    fault: str = ""
    seconds: float = 0.0
    memory: int = 0


def run_case(case: Case) -> Verdict:
    """Run a case in a process of its own and judge what comes out of it."""
    begin = time.monotonic()
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="eegpipe-corpus-") as folder:
        child = os.fork()
        if child == 0:  # pragma: no cover
            _in_child(case, Path(folder), writing)
        os.close(writing)
        try:
            with os.fdopen(reading, "rb") as pipe:
                answer = _read_for(pipe, LONGEST_S + 5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - begin
        if not answer:
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            hung = seconds > LONGEST_S
            return Verdict(case, "?", "hang" if hung else "crash", f"signal {number} after {seconds:.1f} s", seconds)
        told = json.loads(answer)
        if case.seed == UNTOUCHED and told["result"] == "refused":
            told["result"] = "refused although nothing was changed"
        return Verdict(case, told["what"], told["result"], told["fault"], seconds, told["memory"])


def _read_for(pipe: Any, seconds: float) -> bytes:
    import select

    content, end = b"", time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return b""
        piece = os.read(pipe.fileno(), 65536)
        if not piece:
            return content
        content += piece


def _in_child(case: Case, folder: Path, writing: int) -> None:  # pragma: no cover
    what = "?"
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # without the parent's handler: ends at once
        signal.alarm(LONGEST_S)
        shutil.copytree(case.base.folder / "raw", folder / "raw", copy_function=os.link)
        kind, what = case.apply(folder / "raw")
        before = _peak_memory()
        result, fault = _convert_and_judge(case.base, folder, kind)
        memory = _peak_memory() - before
        allowed = MEMORY_PER_BYTE * case.base.largest + MEMORY_ALLOWANCE
        if memory > allowed and result in ("right", "refused"):
            result, fault = "memory", f"{memory >> 20} MiB for {case.base.largest} bytes"
    except BaseException:
        result, fault, memory = "exception", traceback.format_exc()[-1500:], 0
    os.write(writing, json.dumps({"what": what, "result": result, "fault": fault, "memory": memory}).encode())
    os._exit(0)


def _peak_memory() -> int:
    """Bytes; of this process since it was forked."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]


def _convert_and_judge(base: Base, folder: Path, kind: str) -> tuple[str, str]:
    from eegpipe import datasets
    from eegpipe.bids import convert
    from eegpipe.errors import DataProblem, UsageProblem

    raw, out = folder / "raw", folder / "bids"
    try:
        dataset = datasets.get(base.dataset)
        outcomes = convert(dataset, raw, out, variant=base.variant if dataset.at is None else None, workers=1)
    except (DataProblem, UsageProblem) as problem:
        fault = _unclear(str(problem), isinstance(problem, DataProblem), folder)
        return ("unclear", fault) if fault else ("refused", "")
    if list(folder.rglob(RAN)):
        return "a program ran", ""
    truth = planted(base.folder / "truth")
    failed, faults = 0, []
    for outcome in outcomes:
        if outcome.status == "failed":
            failed += 1
            if fault := _unclear(outcome.problem, True, folder):
                return "unclear", fault
        elif fault := _wrong(base, out, outcome.key, truth, kind, bool(outcome.row["notes"])):
            faults.append(fault)
    # What is missing may cost a trial, if somebody says so.
    if faults and not (kind == "tree" and failed):
        return "wrong", faults[0]
    if left := [path for path in out.rglob(".*") if path.name != ".bidsignore"]:
        return "left behind", str(left[0])
    for row in csv.DictReader((out / "quality.tsv").open(encoding="utf-8", newline=""), delimiter="\t"):
        stem = row["recording"]
        if row["status"] == "failed" and any(out.rglob(f"{stem}_eeg.*")):
            return "half-written", stem
    return ("refused" if failed else "right"), ""


def _unclear(text: str, is_data: bool, folder: Path) -> str:
    if UNCLEAR.search(text) or (is_data and not CLEAR.match(text)) or len(text) > 3000 or str(folder) in text:
        return text[:1500]
    return ""


def planted(truth: Path) -> dict[str, list[dict[str, str]]]:
    rows: dict[str, list[dict[str, str]]] = {}
    with (truth / "trials.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            rows.setdefault(row["recording"], []).append(row)
    return rows


def _wrong(
    base: Base, out: Path, stem: str, truth: dict[str, list[dict[str, str]]], kind: str, notes: bool = False
) -> str:
    """What a converted recording says that the files do not; empty: nothing."""
    if stem not in truth:
        return f"a recording {stem} that was never made"
    [events] = list(out.rglob(f"{stem}_events.tsv"))
    with events.open(encoding="utf-8", newline="") as lines:
        found = [row for row in csv.DictReader(lines, delimiter="\t") if row["trial_type"] == "stimulus"]
    expected = sorted(truth[stem], key=lambda row: int(row["onset_sample"]))
    if kind == "tree":  # files of two people may have been exchanged, which no name can tell
        return "" if len(found) == len(expected) else f"{stem}: {len(found)} stimuli"
    said, right = ([(row["stimulus"], row["label"], row["trial"]) for row in rows] for rows in (found, expected))
    if said != right and not set(said) <= set(right):
        return f"{stem}: stimuli and labels {sorted(set(said) - set(right))[:4]}"
    with np.load(base.folder / f"truth/{stem}.npz") as exact:
        [table] = list(out.rglob(f"{stem}_channels.tsv"))
        with table.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        names = [row["name"] for row in rows if row["type"] == "EEG"]
        if names != list(exact["signal_channels"]):
            return f"{stem}: channels {names}"
        if kind == "meaning" and len(said) == len(right):
            [file] = list(out.rglob(f"{stem}_eeg.eeg"))
            values = np.fromfile(file, "<f4").reshape(-1, len(rows)).T
            picks = [index for index, row in enumerate(rows) if row["type"] == "EEG"]
            digests = [hashlib.sha256(np.ascontiguousarray(values[index]).tobytes()).hexdigest() for index in picks]
            differ = [
                name for name, one, other in zip(names, digests, exact["signal_sha256"], strict=True) if one != other
            ]
            if differ and not notes:  # a length that differs is said in the notes
                return f"{stem}: another signal in {differ[:5]}"
    return ""


def run(made: list[Base], count: int, *, seed: int, processes: int = 2) -> list[Verdict]:
    """Run ``count`` cases, a few side by side."""
    import multiprocessing
    from importlib import import_module

    from eegpipe.progress import bar

    for module in ("mne", "scipy.io", "scipy.signal", "eegpipe.bids", "eegpipe.parallel"):
        import_module(module)  # once, before the forks
    waiting, verdicts = cases(made, count, seed=seed), []
    with multiprocessing.get_context("fork").Pool(processes) as pool, bar("Corpus", len(waiting)) as advance:
        for verdict in pool.imap(run_case, waiting):
            verdicts.append(verdict)
            advance()
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-sets", nargs="*", default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", type=int, default=40, help="how many faults are printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eegpipe-bases-") as root:
        made = bases(Path(root), seed=options.seed, names=options.data_sets)
        verdicts = run(made, options.cases, seed=options.seed, processes=options.processes)
    good = ("refused", "right")
    table = Counter((one.case.base.dataset, one.case.base.variant, one.result) for one in verdicts)
    for (dataset, variant, result), number in sorted(table.items()):
        print(f"{dataset:12} {variant:14} {result:14} {number}")
    faults = [one for one in verdicts if one.result not in good]
    for one in faults[: options.show]:
        print(
            f"\n{one.result}: {one.case.base.dataset}-{one.case.base.variant} {one.case.seed} {one.what}\n  {one.fault}"
        )
    print(
        f"\n{len(verdicts)} cases, {len(faults)} faults; longest {max(one.seconds for one in verdicts):.1f} s, "
        f"most memory {max(one.memory for one in verdicts) >> 20} MiB"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
