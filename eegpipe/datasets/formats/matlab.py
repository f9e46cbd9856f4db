"""MATLAB files for the readers: only the wanted variables, plain values, and one clear refusal for anything else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.datasets.formats import mat5
from eegpipe.errors import DataProblem

_COPY_AGAIN = "Copy the file from the vendor's archive again."
_MIB = 2**20


@contextmanager
def _refusing(path: Path, where: str) -> Iterator[None]:
    """Turn whatever a damaged file leads to into one refusal."""
    with path.open("rb") as file:
        start = file.read(mat5.HEADER_BYTES)
    if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise DataProblem(
            where,
            "a MATLAB 7.3 (HDF5) file",
            "the vendor's version 5 file",
            "It was saved again by somebody: take the original, or save it in MATLAB with the option -v7.",
        )
    try:
        yield
    except DataProblem:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, mat5.DamagedError) else f"{type(error).__name__}: {error}"
        found = f"a file that cannot be read ({reason[:200]})"
        raise DataProblem(where, found, "a complete MATLAB file", _COPY_AGAIN) from None


def list_variables(path: Path, where: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, MATLAB class) of every variable; reads headers only."""
    with _refusing(path, where):
        return {head.name: (head.shape, head.kind) for head in mat5.list_variables(path)}


def read_variable(path: Path, where: str, name: str, *, largest: int = _MIB, skip: Collection[str] = ()) -> Any:
    """One variable; the others are skipped.

    Parameters
    ----------
    path, where
        The file, and how to call it in a refusal.
    largest
        Bytes that the variable may hold.
    skip
        Struct fields that are not wanted.
    """
    with _refusing(path, where):
        try:
            return mat5.read_variable(path, name, largest=largest, skip=skip)
        except KeyError:
            known = [head.name for head in mat5.list_variables(path)]
            raise DataProblem(where, _found_names(name, known), f"a variable '{name}'", _COPY_AGAIN) from None


def walk(
    path: Path,
    where: str,
    name: str,
    *,
    field: str = "",
    wanted: Callable[[int], bool],
    largest: int,
    skip: Collection[str] = (),
) -> Iterator[mat5.Part]:
    """The elements of a large cell array, one in memory at a time: :func:`mat5.walk` with refusals.

    A damaged element comes as a :class:`DataProblem` in its place, the others follow.
    """
    with _refusing(path, where):
        try:
            for part in mat5.walk(path, name, field=field, wanted=wanted, largest=largest, skip=skip):
                if not isinstance(part.value, mat5.DamagedError):
                    yield part
                    del part  # before the next one is read
                    continue
                at = f"{where}: {part.field or name}" + ("" if part.place is None else f"{{{part.place + 1}}}")
                found = f"an array that cannot be read ({part.value})"
                problem = DataProblem(at, found, "a complete MATLAB array", _COPY_AGAIN)
                if part.place is None:
                    raise problem
                yield mat5.Part(part.field, part.place, problem)
        except KeyError:
            known = [head.name for head in mat5.list_variables(path)]
            raise DataProblem(where, _found_names(name, known), f"a variable '{name}'", _COPY_AGAIN) from None


def numbers(value: Any, where: str) -> np.ndarray:
    """The value as an array of float64. Functions, objects, text, cells and structs are refused.

    The cast matters: MATLAB stores small whole numbers as uint8, where 1 - 3 is 254.
    """
    if not isinstance(value, np.ndarray):
        raise DataProblem(where, _kind(value), "an array of numbers", _COPY_AGAIN)
    return value.astype(np.float64, copy=False)


def structs(value: Any, where: str) -> list[dict[str, Any]]:
    """The elements of a struct array, each a dict of its fields."""
    if not isinstance(value, mat5.Struct):
        raise DataProblem(where, _kind(value), "a struct", _COPY_AGAIN)
    return value.elements


def struct_field(value: Any, name: str, where: str) -> Any:
    """The field of a 1 x 1 struct, or of one element of :func:`structs`."""
    elements = [value] if isinstance(value, dict) else structs(value, where)
    if len(elements) != 1:
        raise DataProblem(where, f"{len(elements)} structs", "one", _COPY_AGAIN)
    if name not in elements[0]:
        raise DataProblem(where, _found_names(name, elements[0]), f"a field '{name}'", _COPY_AGAIN)
    return elements[0][name]


def cell(value: Any, where: str) -> list[Any]:
    """The elements of a cell array in its order. The list is the value's own: what is taken out of it is freed."""
    if not isinstance(value, mat5.Cell):
        raise DataProblem(where, _kind(value), "a cell array", _COPY_AGAIN)
    return value.elements


def text(value: Any) -> str | None:
    """A text, or the single number of an array, as text; None for anything else."""
    if isinstance(value, mat5.Cell) and len(value.elements) == 1:
        value = value.elements[0]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = f"{value.flat[0]:g}"
    return value.strip() or None if isinstance(value, str) else None


def _kind(value: Any) -> str:
    if isinstance(value, mat5.Other):
        return f"a MATLAB {value.kind}"
    if isinstance(value, np.ndarray):
        return f"numbers of shape {value.shape}"
    return {mat5.Cell: "a cell array", mat5.Struct: "a struct", str: "a text"}.get(type(value), "something else")


def _found_names(wanted: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.4)
    if near:
        return f"no such name, nearest {', '.join(near)}"
    return f"the names {', '.join(sorted(known)[:8]) or '(none)'}"
