"""Fingerprints: what a result was made from, as one short text.

A recording is skipped in the next run if the fingerprint beside its output equals the one it would get now. A
fingerprint joins the bytes of the input files, the settings and the code, so that a change of any of them shows; it
holds nothing of the clock, the machine or the place of the files.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
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


def imported_modules(*modules: str, without: Sequence[str] = ()) -> tuple[str, ...]:
    """The modules, and all modules of the same package that their source imports, directly or through others; sorted.

    Reads import statements and imports nothing; what stands under ``TYPE_CHECKING`` does not count. ``without`` names
    modules that are neither listed nor followed, such as those that only print.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        origin = _origin(module)
        if origin is not None and origin.name == "__init__.py" and not module.endswith(".__init__"):
            module += ".__init__"  # the package's own file, not all that lies below it
        if module in found or module in without or origin is None:
            continue
        found.add(module)
        package = module.split(".")[0]
        waiting += [name for name in _imports(ast.parse(origin.read_bytes())) if name.split(".")[0] == package]
    return tuple(sorted(found))


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        # `from package import name`: the name may be a module of its own.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _origin(module: str) -> Path | None:
    """The source file of a module; None if there is no such module (a class or function, for example)."""
    from importlib.util import find_spec

    top, *below = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return None
    # Below the top by path: find_spec would import the parents, and with them whatever is heavy.
    origin = Path(spec.origin)
    if below:
        base = origin.parent.joinpath(*below)
        origin = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return origin if origin.is_file() else None


def code_digest(*modules: str, packages: Sequence[str] = ()) -> str:
    """SHA-256 over source code and installed versions, 64 hexadecimal digits.

    Parameters
    ----------
    modules : str
        Importable names. A package stands for all modules below it (``package.__init__`` for that file alone); a table
        of the same name beside a module (``channels.tsv`` beside ``channels.py``) is part of it. Order does not count.
    packages : sequence of str
        Distributions whose installed version matters (``"mne"``).
    """
    from importlib.metadata import version

    sources = {name: _source_digest(name) for name in modules}
    return digest(sources, {name: version(name) for name in packages})


@cache
def _source_digest(module: str) -> str:
    origin = _origin(module)
    if origin is None:
        raise ModuleNotFoundError(f"no source file for the module '{module}'")
    if origin.name == "__init__.py" and not module.endswith(".__init__"):
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
