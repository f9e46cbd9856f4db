"""NumPy's own files from strangers: ``.npy`` and ``.npz`` read as numbers, nothing in them is run.

``numpy.load`` evaluates the header as Python and unpickles object arrays. Here the header must match one pattern, its
size is compared with the file's before memory is taken, and objects go through the numbers-only reader of
:mod:`eegpipe.datasets.formats.pickles`, which also stops a zip archive that unpacks to more than it says.

Format: NumPy enhancement proposal 1 (versions 1.0, 2.0 and 3.0).
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from eegpipe.datasets.formats import pickles
from eegpipe.errors import DataProblem

_CURE = "Do not open this file with other software; copy it again from the vendor's archive."
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 2**16
_MOST_AXES, _MOST_MEMBERS = 8, 64
_HEADER = re.compile(
    r"\{\s*'descr':\s*'([<>|=])([fiubSO])([0-9]{0,9})',\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(((?:[0-9]{1,12}(?:,\s*|(?=\))))*)\),?\s*\}\s*"
)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class NpyHeader:
    """``kind`` and ``item_bytes``: NumPy's letter (f, i, u, b, S for bytes, O for objects) and bytes of an element."""

    order: str
    kind: str
    item_bytes: int
    fortran: bool
    shape: tuple[int, ...]
    header_bytes: int


def read_npy_header(path: Path, where: str) -> NpyHeader:
    """Shape and type of an array, without its numbers; a :class:`DataProblem` if the file is of another size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return _header(file, size, where)


def read_npy(path: Path, where: str, *, largest: int) -> Any:
    """The array of a ``.npy`` file, or the object that it holds.

    Parameters
    ----------
    path, where
        The file, and how to call it in a refusal.
    largest : int
        Bytes; a larger file is refused unread.

    Returns
    -------
    numpy.ndarray
        Numbers in the machine's byte order. A single byte string (``S``) comes back as ``bytes``, unread: see
        :func:`eegpipe.datasets.formats.pickles.load_bytes`. An array of objects (``O``) comes back as its one object
        or as the list of its objects, each of them an array, a dict of arrays or plain values.

    Raises
    ------
    DataProblem
        If the file is too large, damaged, shorter or longer than its header says, or holds more than numbers.
    """
    size = path.stat().st_size
    _check_size(size, largest, where)
    with path.open("rb") as file:
        return _array(file, size, where)


def read_npz(path: Path, where: str, *, largest: int) -> dict[str, Any]:
    """The arrays of a ``.npz`` archive by name, each as :func:`read_npy` gives it.

    ``largest`` bounds the file and also what all its members unpack to.
    """
    _check_size(path.stat().st_size, largest, where)
    content: dict[str, Any] = {}
    left = largest
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DataProblem(where, f"{len(members)} members", f"at most {_MOST_MEMBERS} arrays", _CURE)
            for member in members:
                name = member.filename.removesuffix(".npy")
                label = f"{where}: {name[:80]}"
                if name == member.filename or name in content:
                    raise DataProblem(label, "a member that is no array, or there twice", "arrays only", _CURE)
                if member.flag_bits & 1 or member.compress_type not in _PACKED:
                    raise DataProblem(label, "an encrypted or strangely packed member", "a plain .npz file", _CURE)
                _check_size(member.file_size, left, label)
                with archive.open(member) as packed:  # stops at the size that the archive claims
                    unpacked = packed.read(member.file_size + 1)
                _check_size(len(unpacked), member.file_size, label)
                left -= len(unpacked)
                content[name] = _array(io.BytesIO(unpacked), len(unpacked), label)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(where, f"a damaged archive ({reason})", "a complete .npz file", _CURE) from None
    return content


def _check_size(size: int, largest: int, where: str) -> None:
    if size > largest:
        cure = "This is not the file that it is named as."
        raise DataProblem(where, f"{size} bytes", f"at most {largest} bytes", cure)


def _header(file: BinaryIO, size: int, where: str) -> NpyHeader:
    start = file.read(8)
    version = tuple(start[6:8])
    if start[:6] != _MAGIC or version not in ((1, 0), (2, 0), (3, 0)):
        raise DataProblem(where, "no NumPy header", "an .npy file", _CURE)
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    if not 0 < length <= min(_LONGEST_HEADER, size):
        raise DataProblem(where, f"a header of {length} bytes", "an .npy file", _CURE)
    text = file.read(length).decode("utf-8", errors="replace")
    match = _HEADER.fullmatch(text)
    if match is None:
        raise DataProblem(where, f"the header {text[:80]!r}", "an array of plain numbers", _CURE)
    order, kind, item, fortran, axes = match.groups()
    shape = tuple(int(axis) for axis in re.findall("[0-9]+", axes))
    item_bytes = int(item or 0)
    sizes = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
    if len(shape) > _MOST_AXES or (kind in sizes and item_bytes not in sizes[kind]) or (kind == "S" and shape):
        raise DataProblem(where, f"the header {text[:80]!r}", "an array of plain numbers", _CURE)
    header = NpyHeader(order, kind, item_bytes, fortran == "True", shape, 8 + width + length)
    expected = header.header_bytes + math.prod(shape) * item_bytes
    if kind != "O" and size != expected:
        raise DataProblem(where, f"{size} bytes", f"{expected} bytes by the file's own header", _CURE)
    return header


def _array(file: BinaryIO, size: int, where: str) -> Any:
    header = _header(file, size, where)
    content = file.read(size - header.header_bytes)
    if header.kind == "O":
        return pickles.load_bytes(content, where, objects=True)
    if header.kind == "S":
        return content
    dtype = np.dtype(f"{header.order}{header.kind}{header.item_bytes}")
    values = np.frombuffer(content, dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)
