"""MATLAB version 5 files (``-v6``, ``-v7``): the part of the format that vendors use, read so that no file can do harm.

Why not scipy: its compiled reader trusts the sizes in a file, and a few changed bytes end the whole process with a
segmentation fault instead of an error (found by changing bytes of a good file at random, scipy 1.17). Here every size
is checked against the element around it before anything is read, and unwanted variables and fields are skipped.

Numeric arrays, text, cells and structs are understood; anything else (functions, objects, sparse and complex arrays)
comes back as :class:`Other`, unread. Format: "MAT-File Format", The MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_TEXTS = {1: "utf-8", 2: "utf-8", 16: "utf-8", 4: "utf-16-le", 17: "utf-16-le", 18: "utf-32-le"}
_CLASSES = (
    "", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16", "int32",
    "uint32", "int64", "uint64", "function", "opaque",
)  # fmt: skip
_NUMERIC = frozenset(_CLASSES[6:16])
_COMPLEX = 0x0800
_DEEPEST = 24
_CHUNK = 1 << 18


class DamagedError(Exception):
    """The bytes are no MAT version 5 file."""


@dataclass(frozen=True)
class Cell:
    """A cell array: its elements in column order."""

    shape: tuple[int, ...]
    elements: list[Any]


@dataclass(frozen=True)
class Struct:
    """A struct array: field name -> value for every element, in column order."""

    shape: tuple[int, ...]
    elements: list[dict[str, Any]]


@dataclass(frozen=True)
class Other:
    """Something that is not read: a function, an object, a field that was to be skipped."""

    kind: str


@dataclass(frozen=True)
class Variable:
    """The head of a variable. ``kind`` is MATLAB's class; ``size`` the bytes of its element, after decompression."""

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int


class _Source(Protocol):
    at: int  # bytes read so far

    def read(self, count: int) -> bytes | bytearray: ...


class _Plain:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self.at = file, 0

    def read(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) != count:
            raise DamagedError("the file ends in the middle of a variable")
        self.at += count
        return content


class _Inflated:
    """The content of a compressed element. Memory grows with what really is there, not with what a size claims."""

    def __init__(self, file: BinaryIO, packed: int) -> None:
        self._file, self._left, self._zlib, self.at = file, packed, zlib.decompressobj(), 0

    def read(self, count: int) -> bytearray:
        content = bytearray()
        while len(content) < count:
            piece = self._zlib.decompress(self._next(), min(count - len(content), _CHUNK))
            if not piece and (self._zlib.eof or (not self._left and not self._zlib.unconsumed_tail)):
                raise DamagedError("compressed content ends in the middle of a variable")
            content += piece
        self.at += count
        return content

    def _next(self) -> bytes:
        if self._zlib.unconsumed_tail:
            return self._zlib.unconsumed_tail
        packed = self._file.read(min(self._left, _CHUNK))
        self._left = self._left - len(packed) if packed else 0
        return packed

    def verify(self) -> None:
        """Read to the checksum, if it is there: some of SEED's files carry bytes more than the variable needs."""
        for _ in range(64):
            if self._zlib.eof or (not self._left and not self._zlib.unconsumed_tail):
                return
            self._zlib.decompress(self._next(), _CHUNK)


class _Element:
    """The bytes of one element; nothing reads beyond them."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source, self.left = source, size

    def read(self, count: int) -> bytes | bytearray:
        if count > self.left:
            raise DamagedError("an element is larger than the one around it")
        self.left -= count
        return self._source.read(count)

    def skip(self, count: int) -> None:
        while count:
            count -= len(self.read(min(count, _CHUNK)))

    def tag(self) -> tuple[int, int, bytes | None]:
        """(type, bytes, content if it is packed into the tag)."""
        start = bytes(self.read(8))
        kind, size = struct.unpack("<II", start)
        if kind >> 16:  # a small element: up to four bytes behind a short tag
            if kind >> 16 > 4:
                raise DamagedError("a small element of more than four bytes")
            return kind & 0xFFFF, kind >> 16, start[4 : 4 + (kind >> 16)]
        return kind, size, None

    def data(self) -> tuple[int, bytes | bytearray]:
        """(type, content) of the next element, its padding to eight bytes taken away."""
        kind, size, packed = self.tag()
        if packed is not None:
            return kind, packed
        content = self.read(size)
        self.read(min(-size % 8, self.left))
        return kind, content

    def integers(self) -> tuple[int, ...]:
        kind, content = self.data()
        if kind not in (5, 6) or len(content) % 4:
            raise DamagedError("a field of the head is missing")
        return tuple(np.frombuffer(content, "<i4" if kind == 5 else "<u4").tolist())

    def text(self) -> str:
        kind, content = self.data()
        if kind not in (1, 2, 16) or len(content) > 4096:
            raise DamagedError("a name is missing")
        return bytes(content).decode("utf-8", errors="replace")


def list_variables(path: Path) -> list[Variable]:
    """The heads of all variables, in file order."""
    with path.open("rb") as file:
        return [head for head, _ in _variables(file)]


def read_variable(path: Path, name: str, *, largest: int, skip: Collection[str] = ()) -> Any:
    """The value of a variable: an array of numbers in its stored type, text, :class:`Cell`, :class:`Struct`.

    Parameters
    ----------
    largest
        Bytes that the variable may hold; more is refused unread.
    skip
        Struct fields that are not wanted, at any depth.

    Raises
    ------
    KeyError
        If there is no such variable.
    DamagedError, zlib.error
        If the file is damaged.
    """
    with path.open("rb") as file:
        for head, source in _variables(file):
            if head.name == name:
                if head.size > largest:
                    raise DamagedError(f"variable '{name}' holds {head.size} bytes, at most {largest} are right")
                value = _value(source.element, source.flags, head, skip, 0)
                if isinstance(source.stream, _Inflated):
                    source.stream.verify()
                return value
    raise KeyError(name)


@dataclass(frozen=True)
class Part:
    """One part of a variable that is walked through.

    field, place
        The struct's field ("" in a variable that is a cell array), and the element's place (0 is the first) in the cell
        array that is walked; None: the field as a whole.
    value
        The value; a :class:`Variable` for what was not wanted; a :class:`DamagedError` for an element that cannot be
        read although its neighbours can.
    """

    field: str
    place: int | None
    value: Any


def walk(
    path: Path, name: str, *, field: str = "", wanted: Callable[[int], bool], largest: int, skip: Collection[str] = ()
) -> Iterator[Part]:
    """The elements of a cell array in file order, one in memory at a time; of others only the head is read.

    Parameters
    ----------
    field
        The variable is a 1 x 1 struct, and this field of it is the cell array; the others come whole, where they stand.
        Empty: the variable itself is the cell array.
    wanted
        Whether the element at a place (0 is the first) is to be read.
    largest
        Bytes that one element, or one of the other fields, may hold.
    skip
        Struct fields that are not wanted, at any depth.

    Yields
    ------
    Part
        A cell array begins with its own head: a Part without place whose value is a :class:`Variable`. If what should
        be the cell array is none, that head is all there is of it.

    Raises
    ------
    KeyError, DamagedError, zlib.error
        As :func:`read_variable`, on the way. The checksum behind the last element is read too.
    """
    with path.open("rb") as file:
        for head, source in _variables(file):
            if head.name != name:
                continue
            element = source.element
            if not field:
                yield from _cell_parts("", head, element, wanted, largest, skip)
            elif head.kind != "struct" or math.prod(head.shape) != 1:
                yield Part("", None, head)
                return
            else:
                names = _field_names(element)
                if len(set(names)) != len(names):
                    raise DamagedError("a struct with two fields of one name")
                for one in names:
                    yield from _field_parts(one, one == field, element, wanted, largest, skip)
            if isinstance(source.stream, _Inflated):
                source.stream.verify()
            return
    raise KeyError(name)


def _field_parts(
    name: str, walked: bool, parent: _Element, wanted: Callable[[int], bool], largest: int, skip: Collection[str]
) -> Iterator[Part]:
    """One field of a struct: whole, or element by element."""
    if not walked:
        yield Part(name, None, _bounded(parent, largest, skip, 1))
        return
    opened = _open(parent)
    if opened is None:
        yield Part(name, None, np.empty((0, 0)))
        return
    element, flags, head = opened
    if head.kind == "cell":
        yield from _cell_parts(name, head, element, wanted, largest, skip)
    elif head.size <= largest:
        yield Part(name, None, _value(element, flags, head, skip, 1))
    else:
        yield Part(name, None, head)
    element.skip(element.left)


def _cell_parts(
    field: str,
    head: Variable,
    element: _Element,
    wanted: Callable[[int], bool],
    largest: int,
    skip: Collection[str],
) -> Iterator[Part]:
    yield Part(field, None, head)
    if head.kind != "cell":
        return
    count = math.prod(head.shape)
    _check_room(count, element)
    for place in range(count):
        yield Part(field, place, _bounded(element, largest, skip, 2, head_only=not wanted(place)))


def _bounded(
    parent: _Element, largest: int, skip: Collection[str], depth: int, *, head_only: bool = False
) -> np.ndarray | str | Cell | Struct | Other | Variable | DamagedError:
    """The next element, or only its head, or why it cannot be read; the one after it can then still be read."""
    kind, size, packed = parent.tag()
    if kind != _MATRIX or packed is not None or size > parent.left:
        raise DamagedError("something else where an array should be")
    if size == 0:
        return Variable("", (0, 0), "double", 0) if head_only else np.empty((0, 0))
    parent.left -= size
    source = parent._source
    end = source.at + size
    value: Any
    try:
        element = _Element(source, size)
        flags, shape, name = _head(element)
        value = head = Variable(name, shape, _kind(flags), size)
        if not head_only:
            if size > largest:
                raise DamagedError(f"an array of {size} bytes, at most {largest} are right")
            value = _value(element, flags, head, skip, depth)
    except DamagedError as error:
        value = error
    _Element(source, end - source.at).skip(end - source.at)
    return value


def _open(parent: _Element) -> tuple[_Element, int, Variable] | None:
    """The next element of ``parent``, which must be a matrix, with its head read; None for MATLAB's ``[]``."""
    kind, size, packed = parent.tag()
    if kind != _MATRIX or packed is not None or size > parent.left:
        raise DamagedError("something else where an array should be")
    if size == 0:
        return None
    parent.left -= size
    element = _Element(parent._source, size)
    flags, shape, name = _head(element)
    return element, flags, Variable(name, shape, _kind(flags), size)


@dataclass(frozen=True)
class _Open:
    """A variable of which the head is read."""

    stream: _Plain | _Inflated
    element: _Element
    flags: int


def _variables(file: BinaryIO) -> Iterator[tuple[Variable, _Open]]:
    size = file.seek(0, 2)
    file.seek(0)
    header = file.read(HEADER_BYTES)
    if header[124:128] != b"\x00\x01IM":
        raise DamagedError("no header of a little-endian MAT version 5 file")
    at = HEADER_BYTES
    while at < size:
        file.seek(at)
        kind, count = struct.unpack("<II", _Plain(file).read(8))
        at += 8 + count
        if at > size:
            raise DamagedError("the file is shorter than its variables")
        stream: _Plain | _Inflated = _Plain(file)
        if kind == _COMPRESSED:
            stream = _Inflated(file, count)
            kind, count = struct.unpack("<II", stream.read(8))
        if kind != _MATRIX:
            raise DamagedError(f"an element of type {kind} where a variable should be")
        element = _Element(stream, count)
        flags, shape, name = _head(element)
        yield Variable(name, shape, _kind(flags), count), _Open(stream, element, flags)


def _head(element: _Element) -> tuple[int, tuple[int, ...], str]:
    flags = element.integers()
    if len(flags) != 2:
        raise DamagedError("a variable without flags")
    if _kind(flags[0]) == "opaque":  # its head has no dimensions
        return flags[0], (), element.text()
    shape = element.integers()
    if not 2 <= len(shape) <= 32 or any(not 0 <= length < 2**31 for length in shape):
        raise DamagedError(f"an array of {len(shape)} dimensions, or of negative size")
    return flags[0], shape, element.text()


def _kind(flags: int) -> str:
    number = flags & 0xFF
    if not 0 < number < len(_CLASSES):
        raise DamagedError(f"an array of unknown class {number}")
    return _CLASSES[number]


def _matrix(parent: _Element, skip: Collection[str], depth: int) -> Any:
    """The next element of ``parent``, which must be a matrix."""
    opened = _open(parent)
    if opened is None:
        return np.empty((0, 0))
    element, flags, head = opened
    value = _value(element, flags, head, skip, depth)
    element.skip(element.left)
    return value


def _value(element: _Element, flags: int, head: Variable, skip: Collection[str], depth: int) -> Any:
    if depth > _DEEPEST:
        raise DamagedError(f"more than {_DEEPEST} levels of cells and structs")
    count = math.prod(head.shape)
    if head.kind in _NUMERIC and not flags & _COMPLEX:
        kind, content = element.data()
        if kind not in _NUMBERS or len(content) != count * np.dtype(_NUMBERS[kind]).itemsize:
            raise DamagedError(f"an array of shape {head.shape} with {len(content)} bytes of content")
        values = np.frombuffer(content, _NUMBERS[kind])
        return values.reshape(head.shape, order="F")
    if head.kind == "char" and math.prod(head.shape[:1]) <= 1:
        kind, content = element.data()
        if kind not in _TEXTS:
            raise DamagedError("a text in an unknown encoding")
        return bytes(content).decode(_TEXTS[kind], errors="replace")
    if head.kind == "cell":
        _check_room(count, element)
        return Cell(head.shape, [_matrix(element, skip, depth + 1) for _ in range(count)])
    if head.kind == "struct":
        names = _field_names(element)
        _check_room(count * len(names), element)
        return Struct(head.shape, [_fields(element, names, skip, depth) for _ in range(count)])
    return Other("complex array" if head.kind in _NUMERIC else head.kind)


def _field_names(element: _Element) -> list[str]:
    width = element.integers()
    kind, content = element.data()
    if len(width) != 1 or not 0 < width[0] <= 256 or kind not in (1, 2) or len(content) % width[0]:
        raise DamagedError("a struct without field names")
    parts = (bytes(content[start : start + width[0]]) for start in range(0, len(content), width[0]))
    return [part.split(b"\0")[0].decode("utf-8", errors="replace") for part in parts]


def _fields(element: _Element, names: list[str], skip: Collection[str], depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in names:
        if name in skip:
            _, size, packed = element.tag()
            element.skip(0 if packed is not None else size)
            fields[name] = Other("skipped")
        else:
            fields[name] = _matrix(element, skip, depth + 1)
    return fields


def _check_room(arrays: int, element: _Element) -> None:
    """Each array takes a tag of eight bytes at least: refuse a count that cannot be true before making a list of it."""
    if arrays * 8 > element.left:
        raise DamagedError(f"{arrays} arrays in {element.left} bytes")
