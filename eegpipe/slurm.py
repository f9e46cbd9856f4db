"""Workers as jobs of Slurm, submitted by dask-jobqueue: started for a run, replaced when one ends, cancelled after it.

The scheduler runs in this process, so this process must stay alive (a login node that allows it, or a small job of its
own) and the compute nodes must reach it over the network.
"""

from __future__ import annotations

import getpass
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import dask.config
from annotated_types import Ge, Gt
from distributed import Client, WorkerPlugin
from distributed.deploy.spec import ProcessInterface

from eegpipe import on_worker
from eegpipe.cluster import (
    GB,
    KEEP_MEMORY,
    ONE_THREAD,
    WORKER_SETTINGS,
    Workers,
    announce_dashboard,
    dashboard_options,
    quiet_dask,
    refuse_unfit,
)
from eegpipe.errors import UsageProblem
from eegpipe.on_worker import Expected

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed import Worker

_JOB_NAME = "eegpipe"
# A worker is ended at 95 % of its limit, and what a recording needs is an estimate.
_MEMORY_MARGIN = 1.25
# The process that watches over a job's workers, and the shell.
_OVERHEAD_GB = 0.5
# A worker whose scheduler does not answer ends after this time; so do the jobs of a killed run.
_DEATH_TIMEOUT_S = 60
# Slurm is asked for the jobs of this user this often, and only when workers are missing.
_ASK_S = 60.0
# Stands for the number of a job that was not taken.
_REFUSED = "0"
# A node that vanishes without a word is given up after this time; an ICA may hold the interpreter for minutes.
_SILENCE = "15 minutes"


@dataclass(frozen=True)
class SlurmSettings:
    """What may stand in the file of ``slurm:FILE.yaml``; docs/clusters.md has an example.

    A partition, an account, an interface or a scratch folder that is not given is left to Slurm and Dask.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    partition: str | None = None
    account: str | None = None
    # Length of a job, hours. A job that reaches it is replaced; the recording in it starts anew.
    walltime_h: Annotated[float, Gt(0)] = 8.0
    # Jobs at the same time; fewer if there are fewer recordings.
    jobs: Annotated[int, Ge(1)] = 4
    # Worker processes in a job, one core each: more than one where nodes are given away as a whole.
    processes_per_job: Annotated[int, Ge(1)] = 1
    # Memory of a worker process, 10^9 bytes. None: 1.25 times what the largest recording is expected to need.
    memory_gb_per_process: Annotated[float, Gt(0)] | None = None
    # Network interface that all nodes share, such as ib0.
    interface: str | None = None
    # Folder on the compute node for Dask's own small files.
    scratch: str | None = None
    # Folder for what the jobs print. None: ~/.cache/eegpipe/slurm.
    logs: str | None = None
    # Further #SBATCH lines: "--qos=long".
    extra_directives: tuple[str, ...] = ()
    # Shell lines before the worker starts: "module load gcc", "source .venv/bin/activate".
    prologue: tuple[str, ...] = ()
    # Python of the workers. None: the one that runs this.
    python: str | None = None


def read_settings(path: Path) -> SlurmSettings:
    """The settings of Slurm in a YAML file.

    Raises
    ------
    UsageProblem
        If it cannot be read; one line for each unknown key or value out of range.
    """
    import yaml

    from eegpipe.params import check

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: not valid YAML. {error}") from None
    return check(SlurmSettings, {} if values is None else values, source=path.name)


def settings_from(scheduler: str) -> SlurmSettings | None:
    """The settings that ``slurm`` or ``slurm:FILE.yaml`` stands for; None for anything else."""
    if scheduler == "slurm":
        return SlurmSettings()
    if scheduler.startswith("slurm:"):
        return read_settings(Path(scheduler.removeprefix("slurm:")).expanduser())
    return None


def sized(settings: SlurmSettings, jobs: int, memory_gb_per_job: float) -> SlurmSettings:
    """The settings with the memory of a process filled in, and no more Slurm jobs than ``jobs`` recordings fill.

    Raises
    ------
    UsageProblem
        If the memory that was asked for is less than a recording needs.
    """
    memory_gb = settings.memory_gb_per_process
    if memory_gb is None:
        memory_gb = math.ceil(memory_gb_per_job * _MEMORY_MARGIN * 10) / 10
    elif memory_gb < memory_gb_per_job:
        raise UsageProblem(
            f"memory_gb_per_process: found {memory_gb:g}; the largest recording is expected to need "
            f"{memory_gb_per_job:.1f} GB. Ask for more, or leave the setting out."
        )
    wanted = math.ceil(jobs / settings.processes_per_job)
    return replace(settings, memory_gb_per_process=memory_gb, jobs=min(settings.jobs, wanted))


def job_options(settings: SlurmSettings) -> dict[str, Any]:
    """Arguments of ``dask_jobqueue.SLURMCluster`` for :func:`sized` settings."""
    assert settings.memory_gb_per_process is not None
    processes = settings.processes_per_job
    limit = round(settings.memory_gb_per_process * GB)
    minutes = max(1, math.ceil(settings.walltime_h * 60))
    logs = Path(settings.logs).expanduser() if settings.logs else Path.home() / ".cache" / "eegpipe" / "slurm"
    return {
        "queue": settings.partition,
        "account": settings.account,
        "walltime": f"{minutes // 60:02}:{minutes % 60:02}:00",
        "job_name": _JOB_NAME,
        "cores": processes,
        "processes": processes,
        "memory": f"{processes * limit}B",
        "job_mem": f"{math.ceil((processes * limit + _OVERHEAD_GB * GB) / 2**20)}M",
        "interface": settings.interface,
        "local_directory": shlex.quote(settings.scratch) if settings.scratch else None,
        "log_directory": str(logs.absolute()),
        "job_extra_directives": list(settings.extra_directives),
        "job_script_prologue": [*_exports(), *settings.prologue],
        "python": shlex.quote(settings.python or sys.executable),
        "death_timeout": _DEATH_TIMEOUT_S,
        "worker_extra_args": ["--no-dashboard"],
    }


def _exports() -> list[str]:
    """The environment that the workers of this machine have, too."""
    variables = {**ONE_THREAD, **KEEP_MEMORY}
    for name, value in WORKER_SETTINGS.items():
        variables["DASK_" + name.upper().replace(".", "__")] = str(value)
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


@contextmanager
def slurm_workers(
    settings: SlurmSettings, expected: Expected, *, jobs: int, memory_gb_per_job: float
) -> Iterator[Workers]:
    """Submit jobs and connect to their workers; whatever happens inside, all jobs are cancelled at the end."""
    cluster_class, job_class = jobqueue()
    missing = [program for program in ("sbatch", "squeue", "scancel") if shutil.which(program) is None]
    if missing:
        raise UsageProblem(
            f"There is no program {missing[0]} here: 'slurm' works where jobs of Slurm can be submitted. "
            "Elsewhere leave --scheduler out, or give the address of a Dask scheduler."
        )
    settings = sized(settings, jobs, memory_gb_per_job)
    options = job_options(settings)
    try:
        Path(options["log_directory"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageProblem(f"{options['log_directory']}: no folder for logs of Slurm ({error.strerror}).") from None
    scheduler: dict[str, Any] = dashboard_options() | {"interface": settings.interface}
    refusals: list[str] = []
    rules = {"distributed.scheduler.allowed-failures": 2, "distributed.scheduler.worker-ttl": _SILENCE}
    with (
        dask.config.set(WORKER_SETTINGS | rules),
        quiet_dask(),
        cluster_class(
            job_cls=_refusals_kept(job_class, refusals),
            scheduler_options=scheduler,
            silence_logs="critical",
            # Whoever reaches a scheduler can run programs as its user: on a machine of many users only with a key.
            security=True,
            shared_temp_directory=options["log_directory"],
            **options,
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            client.register_plugin(_EndsWithScheduler())
            workers = SlurmWorkers(client, cluster, settings, expected, Path(options["log_directory"]), refusals)
            announce_dashboard(client)
            cluster.scale(jobs=settings.jobs)
            workers.wait_for_first()
            refuse_unfit(workers, memory_gb_per_job)
            yield workers
        finally:
            _remove_keys(cluster)


def _remove_keys(cluster: SLURMCluster) -> None:
    """dask-jobqueue leaves the files of the connection's keys to the garbage collector."""
    for name, value in vars(cluster).items():
        if name.startswith("_job_") and hasattr(value, "close"):
            value.close()


def jobqueue() -> tuple[Any, Any]:
    """``SLURMCluster`` and ``SLURMJob`` of dask-jobqueue, which takes Ctrl-C for itself when it is imported: that is
    undone, or an interrupted run would end as if it were complete."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue.slurm import SLURMCluster, SLURMJob
    except ImportError:
        raise UsageProblem(
            "Slurm needs the package dask-jobqueue: pip install 'eegpipe[slurm]', or pip install dask-jobqueue."
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    return SLURMCluster, SLURMJob


class _EndsWithScheduler(WorkerPlugin):
    """A worker whose scheduler is gone ends at once: nobody would learn of its recording, and the next run on the same
    files must not find it still writing. Dask would let it finish."""

    name = "eegpipe-ends-with-scheduler"

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        if on_worker.at_work_now():
            os._exit(1)


def _refusals_kept(job_class: Any, refusals: list[str]) -> Any:
    """dask-jobqueue's job, which keeps what sbatch said when it refused, and knows when it is closed."""

    class Job(job_class):
        async def _submit_job(self, script_filename: str) -> str:
            try:
                return await super()._submit_job(script_filename)
            except (RuntimeError, OSError) as error:
                refusals.append(str(error))
                # Raised, it would end in the log of an event loop; a job without an id is one that was refused.
                return _REFUSED

        async def close(self) -> None:
            if self.job_id != _REFUSED:
                await super().close()
            await ProcessInterface.close(self)

    return Job


class SlurmWorkers(Workers):
    """Workers in jobs of Slurm. Jobs that ended (walltime, a dead node) are submitted again."""

    def __init__(
        self,
        client: Client,
        cluster: SLURMCluster,
        settings: SlurmSettings,
        expected: Expected,
        logs: Path,
        refusals: list[str],
    ) -> None:
        super().__init__(client, "Slurm", expected)
        self.cluster, self.settings, self.logs, self.refusals = cluster, settings, logs, refusals
        self._asked_s = time.monotonic()
        # Jobs in a row that ended without a worker of any job being there.
        self._fruitless = 0
        self._pending = True

    def look_after(self, count: int) -> None:
        if count:
            self._fruitless = 0
        elif self.refusals and not any(
            job.job_id not in (None, _REFUSED) for job in list(self.cluster.workers.values())
        ):
            raise UsageProblem(f"Slurm took no job. sbatch said: {_last_line(self.refusals[-1])}")
        wanted = self.settings.jobs * self.settings.processes_per_job
        if count >= wanted or time.monotonic() - self._asked_s < _ASK_S:
            return
        self._asked_s = time.monotonic()
        listed = _own_jobs()
        if listed is None:  # Slurm's controller does not answer just now
            return
        known = dict(self.cluster.workers)
        self._pending = any(job.job_id in listed for job in known.values())
        gone = [name for name, job in known.items() if job.job_id is not None and job.job_id not in listed]
        if not count:
            self._fruitless += sum(known[name].job_id != _REFUSED for name in gone)
        if self._fruitless > max(2, self.settings.jobs):
            raise UsageProblem(
                f"{self._fruitless} jobs of Slurm ended and no worker came. What they printed is in {self.logs}: "
                f"{_last_words(self.logs, [known[name].job_id for name in gone])}"
            )
        self.refusals.clear()
        self.cluster.sync(self._forget, gone)
        self.cluster.scale(jobs=self.settings.jobs)

    async def _forget(self, names: list[Any]) -> None:
        for name in names:
            self.cluster.workers.pop(name, None)
            self.cluster.worker_spec.pop(name, None)

    def absence(self) -> str:
        return f"Waiting for Slurm to start a job ({self.settings.jobs} submitted; squeue --me shows them) ..."

    def patience_s(self) -> float:
        # A queue may be days long.
        return math.inf if self._pending else super().patience_s()


def _own_jobs() -> set[str] | None:
    """Numbers of this user's jobs that wait or run; None if Slurm gives no answer."""
    command = ["squeue", "--noheader", "--format=%A", f"--user={getpass.getuser()}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")


def _last_words(logs: Path, numbers: list[str]) -> str:
    for number in numbers:
        path = logs / f"{_JOB_NAME}-{number}.err"
        if path.is_file():
            return _last_line(path.read_text(encoding="utf-8", errors="replace")[-10_000:])
    return "(no such file yet)"
