"""Run every command of docs/ablations.md on a finished and committed run with its targets, and show what it changed.

    python benchmarks/ablations.py [--only NUMBER ...] [--jobs 2] [--json FILE]

Each command is queued as it stands on the page; DVC's workers run the queue. An experiment that the commit already has
is not run again. The scores are those of the strictest leak-free protocol, beside the committed ones.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from measure import end_cleanly, print_machine, table

from eegpipe.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/ablations.md"
_COMMAND = re.compile(r"^\| (\d+) \| ([^|]+) \| `(dvc exp run [^`]*)` \|", re.MULTILINE)
_PAUSE_S = 10.0
# Pauses with fewer experiments running than there could be, after which workers are started anew.
_PATIENCE = 6


@dataclass(frozen=True)
class Command:
    """A row of the page."""

    number: int
    question: str
    words: str

    @property
    def name(self) -> str:
        """Of its experiment; those of a sweep have a number behind."""
        return f"ablation{self.number:02d}"


@dataclass(frozen=True)
class Score:
    """Balanced accuracy of segments with its interval over people, and what the commit has in its place.

    ``number``: of the command on the page; ``settings``: in words, what the experiment has that the command sets.
    """

    number: int
    settings: str
    target: str
    method: str
    value: float
    low: float | None
    high: float | None
    committed: float | None


def commands(text: str) -> list[Command]:
    """Those of the page ``text``, in its order."""
    return [Command(int(number), question, words) for number, question, words in _COMMAND.findall(text)]


def queue(command: Command, folder: Path) -> None:
    """Put a command's experiments into the queue of the project in ``folder``."""
    words = [word for word in shlex.split(command.words) if word != "--queue"]
    _run([*words, "--queue", "--name", command.name], folder)


def strictest(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The score of a metrics file that counts: balanced accuracy under the first leak-free protocol that it has."""
    for name in PROTOCOLS:
        entry = content["protocols"].get(name, {})
        if entry.get("leak_free"):
            score: dict[str, Any] = entry["balanced_accuracy"]
            return score
    return None


def scores(number: int, settings: str, found: Mapping[str, Any], committed: Mapping[str, Any]) -> list[Score]:
    """What an experiment changed: ``found`` and ``committed`` map "target/method" to the content of a metrics file."""
    rows = []
    for place, content in found.items():
        if (mine := strictest(content)) is None or content == committed.get(place):
            continue
        other = strictest(committed[place]) if place in committed else None
        interval = mine["interval"] or {"low": None, "high": None}
        target, method = place.split("/")
        before = other["value"] if other else None
        rows.append(Score(number, settings, target, method, mine["value"], interval["low"], interval["high"], before))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Queue what is missing, wait for DVC's workers, print and write the scores."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    every = commands(PAGE.read_text(encoding="utf-8"))
    wanted = [one for one in every if not options.only or one.number in options.only]
    for command in wanted:
        if not any(_is_of(command, name) for name in [*_experiments(ROOT), *_queued(ROOT)]):
            queue(command, ROOT)
    _start_workers(options.jobs)
    _wait(options.jobs)
    failed = [name for name, state in _queued(ROOT).items() if state == "Failed"]
    rows = []
    for command in wanted:
        mine = sorted(
            (name for name in _experiments(ROOT) if _is_of(command, name)), key=lambda name: (len(name), name)
        )
        rows += [score for name in mine for score in _scores(name, command)]
    print("\n" + page_table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}. `dvc queue logs NAME` says why.")


def _start_workers(jobs: int) -> None:
    """Those of DVC's queue that do not run yet. Without pipes: workers would keep them open as long as they live."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["dvc", "queue", "start", "--jobs", str(jobs)], cwd=ROOT, check=True, **quiet)


def _wait(jobs: int) -> None:
    """Until the queue is empty. A worker ends early when it reads a message of the queue that is half written; then
    another one is started in its place."""
    began, idle = time.monotonic(), 0
    while waiting := {name: state for name, state in _queued(ROOT).items() if state in ("Queued", "Running")}:
        minutes, names = (time.monotonic() - began) / 60, list(waiting)
        print(f"{minutes:.0f} min: {len(names)} to do, {', '.join(names[:4])} ...", file=sys.stderr, flush=True)
        time.sleep(_PAUSE_S)
        idle = idle + 1 if list(waiting.values()).count("Running") < min(jobs, len(waiting)) else 0
        if idle == _PATIENCE:
            _start_workers(jobs)
            idle = 0


def page_table(rows: Sequence[Score]) -> str:
    """As Markdown, for the page; one line a score."""
    lines = []
    for row in rows:
        interval = f"{row.low:.3f}-{row.high:.3f}" if row.low is not None and row.high is not None else ""
        committed = "" if row.committed is None else f"{row.committed:.3f}"
        names = (str(row.number), row.settings, row.target, row.method)
        lines.append((*names, committed, f"{row.value:.3f}", interval))
    return table(("no.", "experiment", "target", "method", "committed", "here", "95 % interval"), lines)


def _scores(experiment: str, command: Command) -> list[Score]:
    settings = _settings_of(experiment, command)
    return scores(command.number, settings, _metrics(_experiments(ROOT)[experiment]), _metrics("HEAD"))


def _settings_of(experiment: str, command: Command) -> str:
    """The values of what the command varies or sets, as the experiment has them, ``targets`` left out."""
    import yaml

    stored = yaml.safe_load(_run(["git", "show", f"{_experiments(ROOT)[experiment]}:params.yaml"], ROOT))
    words = shlex.split(command.words)
    names = [word.split("=", 1)[0] for before, word in pairwise(words) if before == "-S"]
    said = []
    for name in names:
        value = stored
        for part in name.split("."):
            value = value[part]
        if name != "targets" or len(names) == 1:
            said.append(f"{name.split('.')[-1]} {json.dumps(value)}")
    return ", ".join(said).replace('"', "")


def _metrics(revision: str) -> dict[str, Any]:
    """ "target/method" -> content of its file in a commit, of the targets that its settings name."""
    import yaml

    targets = yaml.safe_load(_run(["git", "show", f"{revision}:params.yaml"], ROOT))["targets"]
    files = _run(["git", "ls-tree", "-r", "--name-only", revision, "metrics"], ROOT).split()
    found = {}
    for file in files:
        _, target, name = file.split("/")
        if target in targets and name.endswith(".json"):
            found[f"{target}/{name.removesuffix('.json')}"] = json.loads(
                _run(["git", "show", f"{revision}:{file}"], ROOT)
            )
    return found


def _experiments(folder: Path) -> dict[str, str]:
    """Name -> commit of the finished experiments on the commit that is checked out; older ones tell nothing of it."""
    head = _run(["git", "rev-parse", "HEAD"], folder).strip()
    mine = f"refs/exps/{head[:2]}/{head[2:]}"
    lines = _run(["git", "for-each-ref", mine, "--format=%(refname) %(objectname)"], folder).splitlines()
    return {line.split()[0].split("/")[-1]: line.split()[1] for line in lines}


def _queued(folder: Path) -> dict[str, str]:
    """Name -> state of what was put into the queue."""
    lines = _run(["dvc", "queue", "status"], folder).splitlines()
    cells = [line.split() for line in lines]
    return {row[1]: row[-1] for row in cells if len(row) > 2 and row[1].startswith("ablation")}


def _is_of(command: Command, name: str) -> bool:
    return name == command.name or name.startswith(command.name + "-")


def _run(words: Sequence[str], folder: Path) -> str:
    done = subprocess.run(list(words), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", default=[], help="numbers of commands of the page")
    parser.add_argument("--jobs", type=int, default=2, help="workers of DVC's queue")
    parser.add_argument("--json", type=Path, help="write the scores there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
