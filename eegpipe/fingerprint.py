"""Fingerprints: what a result was made from, as one short text.

A recording is skipped in the next run if the fingerprint beside its output equals the one it would get now. A
fingerprint joins the bytes of the input files, the settings and the code, so that a change of any of them shows; it
holds nothing of the clock, the machine or the place of the files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(*values: Any) -> str:
    """SHA-256 of plain values, 64 hexadecimal digits.

    Understands None, bool, int, float, str, enums, dataclasses, mappings, sequences and sets of these. Tuples equal
    lists and the order of keys does not count; ``1`` and ``1.0`` differ.

    Raises
    ------
    TypeError
        For anything else, paths among them: the place of a file is no part of a result.
    """
    text = json.dumps([_plain(value) for value in values], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(*modules: str, packages: Sequence[str] = ()) -> str:
    """SHA-256 over source code and installed versions, 64 hexadecimal digits.

    Parameters
    ----------
    modules : str
        Importable names. A package stands for all modules below it; a table of the same name beside a module
        (``channels.tsv`` beside ``channels.py``) is part of it. Order does not count.
    packages : sequence of str
        Distributions whose installed version matters (``"mne"``).
    """
    from importlib.metadata import version

    sources = {name: _source_digest(name) for name in modules}
    return digest(sources, {name: version(name) for name in packages})


@cache
def _source_digest(module: str) -> str:
    from importlib.util import find_spec

    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source file for the module '{module}'")
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        files = {path.relative_to(origin.parent).as_posix(): path for path in origin.parent.rglob("*.py")}
    else:
        files = {path.name: path for path in (origin, origin.with_suffix(".tsv")) if path.is_file()}
    return digest({name: file_digest(path) for name, path in files.items()})


def _plain(value: Any) -> Any:
    """The value in JSON's own types. Text and lists keep their type, so that ``"1"`` and ``1`` differ."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no NaN and no infinity; a list of one word cannot be confused with a number or a text.
        return float(value) if math.isfinite(value) else [repr(float(value))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return sorted(([_plain(key), _plain(item)] for key, item in value.items()), key=json.dumps)
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=json.dumps)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item) for item in value]
    raise TypeError(f"a fingerprint is made of plain values, not of {type(value).__name__} ({value!r})")
