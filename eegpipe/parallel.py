"""Run one function over many recordings: in this process, on this machine's cores or on a running Dask cluster.

A job is small: names and settings go in, a row of plain values comes out, and the function reads and writes its own
files. One recording that fails becomes a failed row and the others go on. Whatever the number of workers, a job sees
one BLAS thread: results are the same bytes, and recordings side by side do not fight for the cores.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eegpipe import progress
from eegpipe.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    from distributed import Client

Work = Callable[..., tuple[str, dict]]

# Read by the numerical libraries when they are loaded; a cluster's processes inherit them.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_GB = 1e9
# How much of the free memory the workers may take together; the rest is for this process and the system.
_MEMORY_SHARE = 0.9
# How long a scheduler may take to answer.
_ANSWER_S = 5.0


@dataclass(frozen=True)
class Job:
    """One call of the work function. ``key`` is unique among the jobs and names the recording to the user."""

    key: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``done`` now, ``kept`` from an earlier run, or ``failed`` with the problem in words."""

    key: str
    status: Literal["done", "kept", "failed"]
    row: dict
    problem: str = ""


def run(
    work: Work,
    jobs: Sequence[Job],
    *,
    title: str,
    workers: int | None = None,
    scheduler: str | None = None,
    memory_gb_per_job: float = 1.0,
) -> list[Outcome]:
    """Call ``work(**job.arguments)`` for every job.

    Parameters
    ----------
    work : callable
        Returns ("done" or "kept", row of plain values). Must be importable by name in another process. Relative paths
        among its arguments are made absolute first, because a cluster's workers run elsewhere.
    title
        Names the progress bar.
    workers
        Processes on this machine. 1: this process. None: as many as cores and memory allow.
    scheduler
        ``"tcp://host:port"`` of a running Dask cluster whose workers see the same files; ``workers`` does not matter
        then.
    memory_gb_per_job
        What one job is expected to need, in 10^9 bytes; limits the number of workers.

    Returns
    -------
    list of Outcome
        In the order of ``jobs``. An exception in ``work`` is a failed outcome, as is a job that twice took its worker
        process down (memory, a crash in compiled code); the second time it runs alone.

    Raises
    ------
    UsageProblem
        If ``workers`` is not positive, or the cluster cannot be reached or has workers with several threads.
    """
    if work.__module__ == "__main__" or "<" in work.__qualname__:
        raise ValueError(f"{work.__qualname__} cannot be imported by a worker process")
    if len({job.key for job in jobs}) != len(jobs):
        raise ValueError("two jobs share a key")
    if workers is not None and workers < 1:
        raise UsageProblem(f"The number of workers is {workers}; it must be at least 1.")
    jobs = [Job(job.key, {name: _absolute(value) for name, value in job.arguments.items()}) for job in jobs]
    if not jobs:
        return []
    if scheduler is not None:
        with _running_cluster(scheduler) as client:
            return _run_on(client, work, jobs, title, _Terminations())
    count = min(workers or affordable_workers(memory_gb_per_job), len(jobs))
    if count == 1:
        return _run_here(work, jobs, title)
    with _Terminations() as terminations, _local_cluster(count) as client:
        return _run_on(client, work, jobs, f"{title}, {count} workers", terminations)


def affordable_workers(memory_gb_per_job: float) -> int:
    """How many jobs may run side by side on this machine: cores, or free memory / memory of a job if that is less."""
    from dask.system import CPU_COUNT

    return max(1, min(CPU_COUNT, int(_free_gb() * _MEMORY_SHARE / memory_gb_per_job)))


def _free_gb() -> float:
    import psutil
    from distributed.system import MEMORY_LIMIT  # knows the limit of a container

    return min(psutil.virtual_memory().available, MEMORY_LIMIT) / _GB


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value


# --- one job ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """What comes back from a worker; ``trace`` is for whoever looks for a bug (logging level DEBUG)."""

    status: str
    row: dict
    problem: str = ""
    trace: str = ""


def _guarded(work: Work, arguments: Mapping[str, Any]) -> _Result:
    """Call the work under one BLAS thread; every exception becomes a failed result."""
    try:
        with one_thread():
            status, row = work(**arguments)
        return _Result(status, row)
    except Exception as error:
        return _Result("failed", {}, in_words(error), traceback.format_exc())


def in_words(error: Exception) -> str:
    if isinstance(error, DataProblem | UsageProblem):
        return str(error)
    # Not a refusal but a bug or a broken machine: say where it happened, by module and line, not by a path.
    frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
    said = str(error)
    if isinstance(error, OSError) and error.filename:
        said = f"{error.strerror}: {Path(error.filename).name}"
    return f"{type(error).__name__}: {said} (at {frame.f_globals.get('__name__')}:{line})"


@contextmanager
def one_thread() -> Iterator[None]:
    """One BLAS and OpenMP thread in this process. numpy and scipy each bring a BLAS of their own."""
    import numpy  # noqa: F401  (the limit reaches only libraries that are already loaded)
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _outcome(key: str, result: _Result) -> Outcome:
    if result.trace:
        logging.getLogger(__name__).debug("%s\n%s", key, result.trace)
    if result.status not in ("done", "kept", "failed"):
        raise ValueError(f"{key}: the work returned the status {result.status!r}")
    return Outcome(key, result.status, result.row, result.problem)  # type: ignore[arg-type]


def _note(outcomes: Mapping[str, Outcome]) -> str:
    failed = sum(outcome.status == "failed" for outcome in outcomes.values())
    return f"{failed} failed" if failed else ""


def _run_here(work: Work, jobs: Sequence[Job], title: str) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    # The variables too, for libraries that the first job loads.
    with _one_thread_for_children(), progress.bar(title, len(jobs)) as advance:
        for job in jobs:
            outcomes[job.key] = _outcome(job.key, _guarded(work, job.arguments))
            advance(note=_note(outcomes))
    return list(outcomes.values())


# --- many processes ---------------------------------------------------------------------------------------------------


class _Terminations(logging.Handler):
    """Remembers which workers were ended for their memory: Dask only logs it, in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.logger = logging.getLogger("distributed.nanny.memory")

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def ended(self, address: str) -> bool:
        return any(address in message and "memory budget" in message for message in self.messages)

    def __enter__(self) -> _Terminations:
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)


@contextmanager
def _local_cluster(count: int) -> Iterator[Client]:
    """``count`` processes of one thread each, with equal shares of the free memory."""
    import tempfile

    import dask.config
    from distributed import Client, LocalCluster

    settings = {
        # A signal array cannot be spilled, and a paused worker never gets going again: only the end of a worker that
        # would take the machine down is left on.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
        # The first death of a worker counts: the job is run again by _run_on, alone.
        "distributed.scheduler.allowed-failures": 0,
        # A reader or an ICA may hold the interpreter for minutes; a process that ends is noticed anyway.
        "distributed.scheduler.worker-ttl": None,
        "distributed.worker.profile.enabled": False,
        # Signals are freed and taken again thousands of times in an ICA. Dask makes the C library give them back to the
        # system each time, which doubled the time of a recording; so it keeps up to 256 MiB, arrays of 32 MiB included.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    }
    limit = int(_free_gb() * _GB * _MEMORY_SHARE / count)
    with (
        dask.config.set(settings),
        _one_thread_for_children(),
        _program_not_imported(),
        _quiet_dask(),
        tempfile.TemporaryDirectory(prefix="eegpipe-dask-") as scratch,
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=limit,
            local_directory=scratch,
            silence_logs=logging.CRITICAL,  # in the workers; _quiet_dask is for this process
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _program_not_imported() -> Iterator[None]:
    """Keep new processes from running the program that started this one.

    A spawned process imports the main module before anything else; a stage's script would start the stage again. Work
    functions are importable by name, so nobody needs it.
    """
    program = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    before: dict[str, Any] = {name: program.__dict__[name] for name in names if name in program.__dict__}
    program.__dict__.pop("__file__", None)
    program.__spec__ = None
    try:
        yield
    finally:
        program.__dict__.update(before)


@contextmanager
def _running_cluster(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError) as error:
        raise UsageProblem(
            f"No Dask scheduler answers at {address} ({error}). Start one with 'dask scheduler' and give its address."
        ) from None
    with _quiet_dask(), client:
        if not client.nthreads():
            print(f"Waiting for a worker to join {address} ...", file=sys.stderr)
            client.wait_for_workers(1)
        if any(threads > 1 for threads in client.nthreads().values()):
            raise UsageProblem(
                f"The workers of {address} have several threads; recordings need a process each. "
                "Start them with 'dask worker --nthreads 1 --nworkers N'."
            )
        yield client


@contextmanager
def _quiet_dask() -> Iterator[None]:
    """Dask's own messages (a worker started, ended, slow to answer) off; failures reach the user as outcomes."""
    handlers = [handler for handler in logging.getLogger("distributed").handlers if handler.level < logging.CRITICAL]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def _run_on(client: Client, work: Work, jobs: Sequence[Job], title: str, terminations: _Terminations) -> list[Outcome]:
    """Submit the jobs, never more than there are workers: a worker that dies takes only its own job with it."""
    from distributed import as_completed

    outcomes: dict[str, Outcome] = {}
    again: list[Job] = []
    waiting = deque(jobs)
    running = as_completed()
    names: dict[Any, Job] = {}

    def submit() -> None:
        while waiting and running.count() < max(1, len(client.nthreads())):
            job = waiting.popleft()
            future = client.submit(_guarded, work, job.arguments, pure=False)
            names[future] = job
            running.add(future)

    try:
        with progress.bar(title, len(jobs)) as advance:
            submit()
            for future in running:
                job = names.pop(future)
                if future.status == "finished":
                    outcomes[job.key] = _outcome(job.key, future.result())
                    advance(note=_note(outcomes))
                else:
                    again.append(job)
                submit()
            for job in again:
                outcomes[job.key] = _alone(client, work, job, terminations)
                advance(note=_note(outcomes))
    except BaseException:  # Ctrl-C among them: nothing may go on in the background
        client.cancel(list(names), force=True)
        raise
    return [outcomes[job.key] for job in jobs]


def _alone(client: Client, work: Work, job: Job, terminations: _Terminations) -> Outcome:
    """The second and last attempt at a job whose worker died, with no other job beside it."""
    from distributed import KilledWorker

    try:
        return _outcome(job.key, client.submit(_guarded, work, job.arguments, pure=False).result())
    except KilledWorker as death:
        if terminations.ended(death.last_worker.address):
            limit_gb = death.last_worker.memory_limit / _GB
            problem = (
                f"{job.key}: needed more than the {limit_gb:.1f} GB of memory that each worker has, and was ended. "
                "Run with fewer workers."
            )
        else:
            problem = (
                f"{job.key}: the worker process died twice while running it (KilledWorker): out of memory, or a crash "
                "in compiled code. Run with one worker to see it happen."
            )
        return Outcome(job.key, "failed", {}, problem)
    except Exception as error:  # Dask itself failed: the argument could not be sent, the cluster went away
        return Outcome(job.key, "failed", {}, f"{job.key}: {type(error).__name__}: {error}")
