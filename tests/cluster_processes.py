"""Schedulers, workers and a small Slurm as processes of their own, and a log of who works on what.

The programs of the fake Slurm keep each job as a file ``N.pid`` in a folder: ``sbatch`` starts the job's script in a
session of its own, ``squeue`` lists the jobs whose session lives, ``scancel`` kills one.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from eegpipe import parallel
from eegpipe.parallel import Job, Outcome

TESTS = Path(__file__).parent
PATHS = f"{TESTS.parent}{os.pathsep}{TESTS}"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": PATHS, **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(condition: Callable[[], Any], timeout_s: float = 90, step_s: float = 0.05) -> Any:
    """The first true answer of ``condition``."""
    end = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(step_s)
    return answer


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def kill_group(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def members(session: int) -> list[psutil.Process]:
    """The living processes of a session (of a group that was started as one)."""
    alive = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


# --- a running Dask cluster -------------------------------------------------------------------------------------------


class DaskCluster:
    """``dask scheduler`` and ``dask worker``, each in a session of its own, as a user starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", self.address, "--no-dashboard")

    def add_worker(self, *options: str, path: Path | None = None, threads: int = 1) -> subprocess.Popen[bytes]:
        more = {"PYTHONPATH": f"{path}{os.pathsep}{PATHS}"} if path else {}
        return self._start("worker", self.address, "--nthreads", str(threads), "--no-dashboard", *options, **more)

    def _start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *words],
            env=environment(**more),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            kill_group(process.pid)
            process.wait(timeout=20)


@contextmanager
def dask_cluster(folder: Path) -> Iterator[DaskCluster]:
    cluster = DaskCluster(folder)
    try:
        yield cluster
    finally:
        cluster.end()


# --- a fake Slurm -----------------------------------------------------------------------------------------------------

_SBATCH = """#!{python}
import os, pathlib, shutil, subprocess, sys
folder = pathlib.Path({folder!r})
if (folder / "refuse").exists():
    sys.exit("sbatch: error: invalid partition specified: nowhere")
number = 1
while True:  # several are submitted at the same time
    script = folder / f"{{number}}.sh"
    try:
        os.close(os.open(script, os.O_CREAT | os.O_EXCL))
        break
    except FileExistsError:
        number += 1
shutil.copy(sys.argv[1], script)
logs = [line.split()[2] for line in script.read_text().splitlines() if line.startswith("#SBATCH -e ")]
target = logs[0].replace("%J", str(number)) if logs else os.devnull
if (folder / "dead on arrival").exists():
    script.write_text("#!/bin/bash\\necho 'module: command not found' >&2\\n")
script.chmod(0o700)
with open(target, "wb") as log:
    job = subprocess.Popen(
        [str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        env=os.environ | {{"SLURM_JOB_ID": str(number)}},
    )
(folder / f"{{number}}.pid").write_text(str(job.pid))
print(f"Submitted batch job {{number}}")
"""
_SQUEUE = """#!{python}
import os, pathlib
for file in sorted(pathlib.Path({folder!r}).glob("*.pid")):
    try:
        os.killpg(int(file.read_text()), 0)
    except ProcessLookupError:
        continue
    print(file.stem)
"""
_SCANCEL = """#!{python}
import os, pathlib, signal, sys
folder = pathlib.Path({folder!r})
with (folder / "cancelled").open("a") as log:
    print(*sys.argv[1:], file=log)
for number in sys.argv[1:]:
    try:
        os.killpg(int((folder / f"{{number}}.pid").read_text()), signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        pass
"""


class FakeSlurm:
    """``programs``: the folder to put first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "slurm"
        self.programs = folder / "slurm-bin"
        self.folder.mkdir()
        self.programs.mkdir()
        for name, text in (("sbatch", _SBATCH), ("squeue", _SQUEUE), ("scancel", _SCANCEL)):
            program = self.programs / name
            program.write_text(text.format(python=sys.executable, folder=str(self.folder)))
            program.chmod(0o700)

    def refuse(self) -> None:
        (self.folder / "refuse").touch()

    def dead_on_arrival(self) -> None:
        (self.folder / "dead on arrival").touch()

    def scripts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.glob("*.sh"), key=lambda path: int(path.stem))]

    def sessions(self) -> list[int]:
        return [int(path.read_text()) for path in sorted(self.folder.glob("*.pid"), key=lambda path: int(path.stem))]

    def alive(self) -> list[psutil.Process]:
        return [process for session in self.sessions() for process in members(session)]

    def end(self) -> None:
        for session in self.sessions():
            kill_group(session)


# --- who works on what ------------------------------------------------------------------------------------------------


class WorkLog:
    """A file with a line ``started KEY PID`` or ``ended KEY PID`` for each call of a work function, in any process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[tuple[str, str, int]]:
        if not self.path.exists():
            return []
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [(row[0], row[1], int(row[2])) for row in rows if len(row) == 3]

    def started(self) -> list[tuple[str, int]]:
        return [(key, process) for what, key, process in self.lines() if what == "started"]

    def open_now(self) -> list[tuple[str, int]]:
        """Keys and processes of the calls that have started and not ended."""
        ended = [(key, process) for what, key, process in self.lines() if what == "ended"]
        return [pair for pair in self.started() if pair not in ended]


def logged(module: str, name: str, key: str, log: Path, arguments: dict[str, Any]) -> tuple[str, dict]:
    """Call a work function and say so in the log; one write a line, so that processes do not mix."""

    def say(what: str) -> None:
        with log.open("ab", buffering=0) as stream:
            stream.write(f"{what} {key} {os.getpid()}\n".encode())

    say("started")
    result = getattr(importlib.import_module(module), name)(**arguments)
    say("ended")
    return result


def log_work(log: Path) -> None:
    """Make :func:`eegpipe.parallel.run` of this process log every job, wherever it runs."""
    real = parallel.run

    def run(work: Callable[..., Any], jobs: Sequence[Job], **options: Any) -> list[Outcome]:
        wrapped = [
            Job(job.key, {"module": work.__module__, "name": work.__qualname__, "key": job.key, "log": log}
                | {"arguments": dict(job.arguments)})
            for job in jobs
        ]  # fmt: skip
        return real(logged, wrapped, **options)

    parallel.run = run  # type: ignore[assignment]
