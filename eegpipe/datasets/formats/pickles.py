"""Pickles from strangers: read numbers, run nothing.

A pickle is a program. This reader executes its opcodes with an unpickler that knows five names, all of them replaced
by functions of this file, and rebuilds arrays from checked bytes; numpy's own reconstruction code never sees the data.
It reads pickles of Python 2 (DEAP) and Python 3, written with numpy 1 (``numpy.core``) or numpy 2 (``numpy._core``).
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from eegpipe.errors import DataProblem

_CURE = "Do not open this file with other software; copy it again from the vendor's archive."


class _RefusedError(Exception):
    """What the pickle tried that numbers do not need."""


class _Dtype:
    """A numeric dtype under construction: pickles give the byte order afterwards."""

    def __init__(self, code: str) -> None:
        try:
            dtype = np.dtype(code)
        except (TypeError, ValueError):
            raise _RefusedError(f"the dtype {code!r}") from None
        if dtype.kind not in "fiub":
            raise _RefusedError(f"an array of dtype {dtype}, which does not hold plain numbers")
        self.dtype = dtype

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise _RefusedError("a dtype with an unknown state")
        if any(part is not None for part in state[2:5]):
            raise _RefusedError("an array of structured dtype")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array under construction."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _RefusedError("an array with an unknown state")
        _, shape, dtype, fortran, content = state
        if isinstance(content, str):  # bytes of a Python 2 pickle, read as latin1
            content = content.encode("latin1")
        self.value = _from_bytes(content, dtype, shape, "F" if fortran else "C")


def _from_bytes(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
        raise _RefusedError("an array whose content is not a run of numbers")
    if not isinstance(shape, tuple) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise _RefusedError(f"an array of shape {str(shape)[:80]}")
    if math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise _RefusedError(f"an array of shape {str(shape)[:80]} with {len(content)} bytes of content")
    values = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return values.astype(dtype.dtype.newbyteorder("="), copy=False)


def _build_array(subtype: Any, shape: Any, _typecode: Any) -> _Array:  # numpy.core.multiarray._reconstruct
    if subtype is not _NDARRAY or math.prod(shape) != 0:  # numpy writes (0,): never allocate what a pickle asks for
        raise _RefusedError("an array that is not built as numpy does")
    return _Array()


def _build_dtype(code: Any, *_: Any) -> _Dtype:  # numpy.dtype
    if not isinstance(code, str):
        raise _RefusedError("a dtype that is not named")
    return _Dtype(code)


def _build_scalar(dtype: Any, content: Any) -> Any:  # numpy.core.multiarray.scalar
    if isinstance(content, str):
        content = content.encode("latin1")
    return _from_bytes(content, dtype, (), "C").item()


def _build_from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:  # numpy._core.numeric._frombuffer
    array = _Array()
    array.value = _from_bytes(content, dtype, shape, order)
    return array


def _build_bytes(text: Any, encoding: Any) -> bytes:  # _codecs.encode: bytes in protocol 2 of Python 3
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("a text in an unexpected encoding")
    return text.encode("latin1")


_NDARRAY = object()  # stands for numpy.ndarray, and cannot be called

_KNOWN: dict[tuple[str, str], Callable[..., Any] | object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _build_dtype,
    ("_codecs", "encode"): _build_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _build_array
    _KNOWN[f"{_core}.multiarray", "scalar"] = _build_scalar
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _build_from_buffer


class _BoundedFile:
    """A file that refuses to be asked for more than it holds, before memory is taken for the answer."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > self._left:
            raise EOFError(f"{count} bytes wanted, {self._left} left")
        self._left -= count
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


# The unpickler written in Python: its memo is a dict, where that of the C version is an array whose length a hostile
# pickle may choose; and only here can BUILD, which sets attributes of any object, be replaced.
class _NumbersOnly(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise _RefusedError(f"the global '{module}.{name}'") from None

    def load_build(self) -> None:
        state = self.stack.pop()  # type: ignore[attr-defined]
        built = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(built, _Dtype | _Array):
            raise _RefusedError(f"attributes set on a {type(built).__name__}")
        built.set_state(state)

    dispatch[pickle.BUILD[0]] = load_build


class _ObjectDtype(_Dtype):
    """The dtype of arrays of objects."""

    def __init__(self) -> None:
        self.dtype = np.dtype("O")

    def set_state(self, state: Any) -> None:
        pass


class _Objects(_Array):
    """An array of numbers or of objects under construction."""

    items: list[Any] | None = None
    shape: Any = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _ObjectDtype):
            super().set_state(state)
            return
        shape, items = state[1], state[4]
        whole = isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape)
        if not whole or not isinstance(items, list) or math.prod(shape) != len(items):
            raise _RefusedError("an array of objects with an unknown state")
        self.shape, self.items = shape, items


def _build_objects(subtype: Any, shape: Any, typecode: Any) -> _Objects:
    _build_array(subtype, shape, typecode)  # the same checks
    return _Objects()


def _build_any_dtype(code: Any, *_: Any) -> _Dtype:
    return _ObjectDtype() if code in ("O8", "O") else _build_dtype(code)


class _NumbersAndObjects(_NumbersOnly):
    def find_class(self, module: str, name: str) -> Any:
        known = super().find_class(module, name)
        return {_build_array: _build_objects, _build_dtype: _build_any_dtype}.get(known, known)


def read_pickle(path: Path, where: str, *, largest: int) -> Any:
    """The array in a pickle, or the dict whose values are arrays or plain values.

    Parameters
    ----------
    path, where
        The file, and how to call it in a refusal.
    largest : int
        Bytes; a larger file is refused unread. No pickle can make this function take much more memory than its file.

    Raises
    ------
    DataProblem
        If the file is too large, is damaged, or asks for any name but those of numeric arrays; the name is given.
    """
    size = path.stat().st_size
    if size > largest:
        raise DataProblem(
            where, f"{size} bytes", f"at most {largest} bytes", "This is not the file that it is named as."
        )
    with path.open("rb") as file:
        return _load(file, size, where, _NumbersOnly)


def load_bytes(content: bytes, where: str, *, objects: bool = False) -> Any:
    """What :func:`read_pickle` gives, from bytes that another file holds (SEED-V's ``.npz``).

    ``objects``: also an array of objects (NumPy's ``.npy`` files), which comes back as its one object, or as a list.
    """
    return _load(io.BytesIO(content), len(content), where, _NumbersAndObjects if objects else _NumbersOnly)


def _load(file: BinaryIO, size: int, where: str, unpickler: type[_NumbersOnly]) -> Any:
    try:
        content = unpickler(_BoundedFile(file, size), encoding="latin1").load()
    except _RefusedError as refusal:
        raise DataProblem(where, str(refusal), "a pickle of numeric arrays only", _CURE) from None
    except Exception as error:  # a damaged pickle can fail in any opcode, in any way
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(where, f"a damaged pickle ({reason})", "a complete pickle file", _CURE) from None
    if isinstance(content, dict):
        return {key: _finished(value, where) for key, value in content.items()}
    return _finished(content, where)


def _finished(value: Any, where: str) -> Any:
    if isinstance(value, _Objects) and value.items is not None:
        items = [_finished(item, where) for item in value.items]
        items = [
            {k: _finished(v, where) for k, v in item.items()} if isinstance(item, dict) else item for item in items
        ]
        return items if value.shape else items[0]
    if isinstance(value, _Array):
        if value.value is None:
            raise DataProblem(where, "an array without content", "a pickle of numeric arrays only", _CURE)
        return value.value
    return value
