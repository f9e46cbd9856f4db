"""MATLAB files through scipy: only the wanted variables, plain numbers, and one clear refusal for anything else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.errors import DataProblem

_COPY_AGAIN = "Copy the file from the vendor's archive again."


@contextmanager
def _refusing(path: Path, where: str) -> Iterator[None]:
    """Turn whatever scipy makes of a damaged file into one refusal. Its parser fails in many ways, none documented."""
    with path.open("rb") as file:
        start = file.read(128)
    if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise DataProblem(
            where,
            "a MATLAB 7.3 (HDF5) file",
            "the vendor's version 5 file",
            "It was saved again by somebody: take the original, or save it in MATLAB with the option -v7.",
        )
    if len(start) < 128:
        raise DataProblem(where, f"{len(start)} bytes", "a MATLAB file", _COPY_AGAIN)
    try:
        yield
    except DataProblem:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise DataProblem(
            where, f"a file that cannot be read ({reason})", "a complete MATLAB file", _COPY_AGAIN
        ) from None


def list_variables(path: Path, where: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, MATLAB class) of every variable; reads headers only."""
    from scipy.io import whosmat

    with _refusing(path, where):
        return {name: (tuple(shape), kind) for name, shape, kind in whosmat(path, appendmat=False)}


def read_variable(path: Path, where: str, name: str) -> Any:
    """One variable as scipy gives it; the others are skipped.

    ``verify_compressed_data_integrity`` is off, because some vendor files are known to carry bytes after the compressed
    content, which scipy takes for damage. What comes out is checked by its shape and values instead.
    """
    from scipy.io import loadmat

    with _refusing(path, where):
        content = loadmat(path, appendmat=False, variable_names=[name], verify_compressed_data_integrity=False)
        known = [key for key in content if not key.startswith("__")]
        if name not in known:
            known = list(list_variables(path, where))
            raise DataProblem(where, _found_names(name, known), f"a variable '{name}'", _COPY_AGAIN)
        return content[name]


def numbers(value: Any, where: str) -> np.ndarray:
    """The value as an array of float64. Functions, objects, text and cells are refused.

    The cast matters: scipy keeps the stored type, and MATLAB stores small whole numbers as uint8, where 1 - 3 is 254.
    """
    plain = type(value) is np.ndarray and value.dtype.names is None
    if not plain or value.dtype.kind not in "fiub":
        kind = type(value).__name__ if not plain else f"an array of {value.dtype}"
        raise DataProblem(where, kind, "an array of numbers", _COPY_AGAIN)
    return value.astype(np.float64, copy=False)


def struct_field(value: Any, name: str, where: str) -> Any:
    """The field of a 1 x 1 MATLAB struct."""
    names = value.dtype.names if isinstance(value, np.ndarray) and value.size == 1 else None
    if not names and isinstance(value, np.void):
        names = value.dtype.names
    if not names:
        raise DataProblem(where, "no struct", f"a struct with the field '{name}'", _COPY_AGAIN)
    if name not in names:
        raise DataProblem(where, _found_names(name, names), f"a field '{name}'", _COPY_AGAIN)
    return value.flat[0][name] if isinstance(value, np.ndarray) else value[name]


def cell(value: Any, where: str) -> list[Any]:
    """The elements of a MATLAB cell array in its order."""
    if type(value) is not np.ndarray or value.dtype != object:
        raise DataProblem(where, type(value).__name__, "a cell array", _COPY_AGAIN)
    return list(value.flat)


def text(value: Any) -> str | None:
    """The text of a char array or of a one-element cell or number; None if there is none."""
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.flat[0]
    return str(value).strip() or None if isinstance(value, str | np.str_ | int | float | np.number) else None


def _found_names(wanted: str, known: Any) -> str:
    near = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.4)
    if near:
        return f"no such name, nearest {', '.join(near)}"
    return f"the names {', '.join(sorted(known)[:8]) or '(none)'}"
