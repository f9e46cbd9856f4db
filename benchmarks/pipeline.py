"""How long each stage of `dvc repro` takes, in a fresh copy of the project with nothing cached.

    python benchmarks/pipeline.py [--json FILE] [--set KEY=VALUE ...] [--keep FOLDER]

The copy holds the files that git knows, as they are now; this tree is not touched. docs/performance.md has the table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from measure import Row, end_cleanly, print_machine, table, write_rows

ROOT = Path(__file__).parents[1]
_RUNNING = "Running stage '"
LIMIT_S = 480.0


@dataclass(frozen=True)
class Stage:
    """One line of the table. cpu_s: of the stage's own processes; DVC's are in the last row."""

    name: str
    wall_s: float
    cpu_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the project, run it, print every stage."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    with tempfile.TemporaryDirectory(prefix="eegpipe-benchmark-") as temporary:
        project = options.keep or Path(temporary) / "project"
        copy_project(ROOT, project)
        stages = run(project, options.set)
    total = sum(stage.wall_s for stage in stages)
    cpu = sum(stage.cpu_s for stage in stages)
    print("\n" + stage_table(stages, total, cpu))
    print(f"\n{summary(stages, total)}")
    if options.json:
        write_rows(options.json, rows(stages, total, cpu))


def copy_project(source: Path, target: Path) -> None:
    """The files that git knows, without results of earlier runs, as a project of their own.

    Raises
    ------
    SystemExit
        If ``target`` exists: what lies there is not to be overwritten.
    """
    if target.exists():
        sys.exit(f"{target}: exists; name a folder that does not.")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=source, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if name == "dvc.lock" or name.startswith("metrics/") or not (source / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)
    # DVC asks git which files it ignores.
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=target, check=True)


def run(project: Path, changes: Sequence[str] = ()) -> list[Stage]:
    """`dvc repro`, stage by stage; the last entry is DVC itself: its start, hashing, its end.

    Raises
    ------
    SystemExit
        If a stage fails; its output is shown.
    """
    for change in changes:
        key, _, value = change.partition("=")
        _set(project / "params.yaml", key, value)
    environment = os.environ | {"PYTHONPATH": str(project), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    watched = psutil.Process(process.pid)
    marks: list[tuple[str, float, float]] = []
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(_RUNNING):
            # A stage's processes count as DVC's children once they have ended.
            marks.append((line[len(_RUNNING) :].split("'")[0], time.perf_counter() - start, _children_s(watched)))
            print(f"{marks[-1][1]:6.0f} s  {marks[-1][0]}", flush=True)
    own = _own_s(watched)
    children = _children_s(watched)
    if process.wait():
        sys.exit("".join(lines[-40:]) + "\n`dvc repro` failed.")
    wall = time.perf_counter() - start
    ends = [*marks[1:], ("", wall, children)]
    stages = [
        Stage(name, after[1] - begun, after[2] - spent) for (name, begun, spent), after in zip(marks, ends, strict=True)
    ]
    return [*stages, Stage("DVC: start, and its own computing", marks[0][1] if marks else wall, own)]


def _children_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.children_user + times.children_system


def _own_s(process: psutil.Process) -> float:
    """Of the process alone; 0 if it is gone already."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def _set(path: Path, key: str, value: str) -> None:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    *above, last = key.split(".")
    place = content
    for name in above:
        place = place[name]
    if last not in place:
        sys.exit(f"--set {key}: no such setting.")
    place[last] = yaml.safe_load(value)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def kinds(stages: Sequence[Stage]) -> dict[str, tuple[int, float, float]]:
    """Stages of one kind (`pretrain@mdjpt-seed` and the like): how many, their seconds, their CPU seconds."""
    result: dict[str, tuple[int, float, float]] = {}
    for stage in stages:
        kind = stage.name.split("@")[0]
        count, wall_s, cpu_s = result.get(kind, (0, 0.0, 0.0))
        result[kind] = count + 1, wall_s + stage.wall_s, cpu_s + stage.cpu_s
    return result


def stage_table(stages: Sequence[Stage], total_s: float, cpu_s: float) -> str:
    """Every stage in order, then the kinds of stages, the costliest first."""
    every = [(one.name, f"{one.wall_s:.1f}", f"{one.cpu_s:.1f}", f"{one.wall_s / total_s:.0%}") for one in stages]
    every.append(("total", f"{total_s:.1f}", f"{cpu_s:.1f}", "100%"))
    ordered = sorted(kinds(stages).items(), key=lambda item: -item[1][1])
    grouped = [
        (name, str(count), f"{wall:.1f}", f"{cpu:.1f}", f"{wall / total_s:.0%}") for name, (count, wall, cpu) in ordered
    ]
    return (
        table(("stage", "wall s", "CPU s", "share"), every)
        + "\n\n"
        + table(("kind of stage", "runs", "wall s", "CPU s", "share"), grouped)
    )


def summary(stages: Sequence[Stage], total_s: float) -> str:
    """The slowest stage and the total, in words."""
    slowest = max(stages, key=lambda one: one.wall_s)
    held = "within" if total_s <= LIMIT_S else "above"
    return (
        f"slowest stage: {slowest.name}, {slowest.wall_s:.0f} s. "
        f"Total {total_s / 60:.1f} min, {held} the limit of {LIMIT_S / 60:g} min."
    )


def rows(stages: Sequence[Stage], total_s: float, cpu_s: float) -> list[Row]:
    """ours: wall seconds; rival: CPU seconds, what one core would need at least; ratio: cores in use on average."""
    every = [*((one.name, one.wall_s, one.cpu_s) for one in stages), ("total", total_s, cpu_s)]
    return [
        Row(f"pipeline.{name}", round(wall, 2), round(cpu, 2), round(cpu / wall, 3) if wall else 0.0, "s")
        for name, wall, cpu in every
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time every stage of `dvc repro` in a fresh copy of the project.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of params.yaml in the copy"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the copy here and leave it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
