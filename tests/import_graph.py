"""The imports of the package as they stand in the source, read without importing anything."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def module_file(name: str) -> Path | None:
    """The source file of ``eegpipe.a.b``, or None if it is no module of ours."""
    base = ROOT.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def imports(path: Path, *, at_top: bool = False) -> frozenset[str]:
    """Every module that a file names in an import statement (``at_top``: outside functions only)."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if _is_type_checking(node) or (at_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.startswith("eegpipe") and module_file(full) else node.module)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(found)


def closure(path: Path, *, without: frozenset[Path] = frozenset()) -> set[Path]:
    """Every file of the package that ``path`` imports, directly or through others, itself included.

    Files in ``without`` are neither listed nor followed.
    """
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in seen or current in without:
            continue
        seen.add(current)
        for name in imports(current):
            if name.split(".")[0] == "eegpipe":
                # Importing eegpipe.a.b runs the __init__ of eegpipe and eegpipe.a too.
                parts = name.split(".")
                waiting += filter(None, (module_file(".".join(parts[:end])) for end in range(1, len(parts) + 1)))
    return seen
