"""The rules of the house that docs/architecture.md states: who imports whom, what a stage declares."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import typing

import pytest
import yaml

from eegpipe.params import Params

from import_graph import ROOT, closure, imports

FILES = sorted((ROOT / "eegpipe").rglob("*.py"))
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

# Code that may change without any result changing: messages, progress, where and how parallel, what becomes of freed
# memory, reading settings.
# The command line is a second way in, never a part of a stage.
NO_EFFECT_ON_RESULTS = {
    "pipeline/stage.py",
    "eegpipe/__init__.py",
    "eegpipe/allocation.py",
    "eegpipe/cli.py",
    "eegpipe/errors.py",
    "eegpipe/memory.py",
    "eegpipe/params.py",
    "eegpipe/parallel.py",
    "eegpipe/processes.py",
    "eegpipe/forked.py",
    "eegpipe/progress.py",
    "eegpipe/runtime.py",
    "eegpipe/terminal.py",
    "eegpipe/typer_bridge.py",
}
GPU_NODE = ("loader", "losses", "metrics", "models", "samplers", "splits", "train", "evaluate")
ONLY_IN = {
    "zarr": ("eegpipe/store.py",),
    "dask": ("eegpipe/cluster.py", "eegpipe/slurm.py"),
    "distributed": ("eegpipe/cluster.py", "eegpipe/parallel.py", "eegpipe/slurm.py"),
    "dask_jobqueue": ("eegpipe/slurm.py",),
    "pydantic": ("eegpipe/params.py",),
    "typer": ("eegpipe/cli.py",),
}


def relative(path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_heavy_package_has_its_doors(package):
    users = {relative(path) for path in FILES if any(name.split(".")[0] == package for name in imports(path))}
    assert users == set(ONLY_IN[package])


def test_nobody_imports_dvc_or_opens_the_settings():
    for path in FILES:
        assert not any(name.split(".")[0] == "dvc" for name in imports(path)), relative(path)
        if path.name not in ("params.py", "cli.py", "inspect.py"):
            strings = [
                node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
            ]
            assert "params.yaml" not in strings, relative(path)


@pytest.mark.parametrize("name", GPU_NODE)
def test_a_gpu_node_needs_neither_mne_nor_dask(name):
    place = ROOT / "eegpipe" / name
    for path in [place.with_suffix(".py")] if place.with_suffix(".py").exists() else sorted(place.rglob("*.py")):
        # The package's __init__ reaches the command line only when Typer's runner imports it.
        for reached in closure(path, without=frozenset([ROOT / "eegpipe/__init__.py"])):
            foreign = {module.split(".")[0] for module in imports(reached)} & {
                "mne",
                "mne_bids",
                "mne_icalabel",
                "dask",
                "distributed",
                "dvc",
                "pydantic",
            }
            assert not foreign, f"{relative(path)} reaches {foreign} through {relative(reached)}"


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"numpy", "mne", "torch", "rich", "pydantic", "dask", "zarr"}
    code = f"import sys, eegpipe.cli; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"


def template(stage: dict) -> dict:
    return stage.get("do", stage)


def script_of(stage: dict):
    return ROOT / re.search(r"pipeline/\w+\.py", template(stage)["cmd"])[0]


def names_file(dependency: str, path: str) -> bool:
    """Whether a dependency of dvc.yaml (a file, a folder, or one with ${...} in it) covers a source file."""
    pattern = "".join(
        ".+" if part.startswith("${") else re.escape(part) for part in re.split(r"(\$\{[^}]*\})", dependency)
    )
    return re.fullmatch(rf"{pattern}(/.*)?", path) is not None


# Modules that a stage imports by the name of its data set.
BY_NAME = ("simulate", "bids")
# Data that a module reads from the package.
READS = {"eegpipe/channels.py": "eegpipe/channels.tsv"}


def code_of(name: str) -> set[str]:
    """Every file of the package whose change can change what a stage writes."""
    starts = [script_of(STAGES[name])]
    if name in BY_NAME:
        starts += sorted((ROOT / "eegpipe/datasets").rglob("*.py"))
    without = frozenset(ROOT / path for path in NO_EFFECT_ON_RESULTS)
    if name != "simulate":  # a data set's reader and its simulator may share a file
        without |= frozenset((ROOT / "eegpipe/simulate").glob("*.py"))
    used = {relative(path) for start in starts for path in closure(start, without=without)}
    return used | {READS[path] for path in used if path in READS}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_code_it_runs(name):
    stage = template(STAGES[name])
    code = [dependency for dependency in stage["deps"] if dependency.startswith(("eegpipe", "pipeline"))]
    used = code_of(name)
    missing = sorted(path for path in used if not any(names_file(dependency, path) for dependency in code))
    assert not missing, f"stage {name}: dvc.yaml does not name {missing}"
    unused = [dependency for dependency in code if not any(names_file(dependency, path) for path in used)]
    assert not unused, f"stage {name}: dvc.yaml names {unused}, which its script does not import"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_settings_it_uses(name):
    stage = template(STAGES[name])
    tree = ast.parse(script_of(stage).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    # ${item.method}.${size} stands for mdjpt.demo and others; `size` only chooses between entries that are declared.
    # Every method that the matrix may name counts, whatever the committed settings name.
    matrix = re.fullmatch(r"\$\{(\w+)\}", stage.get("matrix", {}).get("method", "${methods}"))[1]
    declared = {
        re.sub(r"\$\{item\.method\}", method, entry).split(".")[0]
        for entry in stage.get("params", [])
        for method in typing.get_args(typing.get_args(typing.get_type_hints(Params)[matrix])[0])
    }
    assert declared == used - {"size"}, f"stage {name}: declares {sorted(declared)}, uses {sorted(used - {'size'})}"
