"""Run one function over many recordings: in this process, on this machine's cores, on a Dask cluster or under Slurm.

A job is small: names and settings go in, a row of plain values comes out, and the function reads and writes its own
files. One recording that fails becomes a failed row and the others go on. Whatever the number of workers, a job sees
one BLAS thread: results are the same bytes, and recordings side by side do not fight for the cores.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from eegpipe import on_worker, progress
from eegpipe.cluster import (
    GB,
    LOOK_S,
    Workers,
    affordable_workers,
    cores,
    local_workers,
    one_thread_for_children,
    running_cluster,
    unfit,
)
from eegpipe.errors import DataProblem, DiskProblem, UsageProblem, of_the_machine

Work = Callable[..., tuple[str, dict]]

# How long a result, which is small, is waited for before it is looked whether there is still a worker.
_FETCH_S = 30.0


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
    kept: int = 0,
    loads: Sequence[str] = (),
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
        ``"tcp://host:port"`` of a running Dask cluster whose workers see the same files, or ``"slurm"`` or
        ``"slurm:FILE.yaml"`` (:mod:`eegpipe.slurm`); ``workers`` does not matter then.
    memory_gb_per_job
        What one job is expected to need, in 10^9 bytes; limits the number of workers, and is asked of a cluster's.
    kept
        How many recordings need no job because they are there already. Only shown.
    loads
        Modules that ``work`` imports while it runs; this machine's workers start with them.

    Returns
    -------
    list of Outcome
        In the order of ``jobs``. An exception in ``work`` is a failed outcome, as is a job that took its worker process
        down again and again (memory, a crash in compiled code); the last time it runs alone.

    Raises
    ------
    UsageProblem
        If ``workers`` is not positive; if a cluster cannot be reached, is not fit (threads, memory, other code, other
        files) or goes away for good. What is finished by then stays.
    DiskProblem
        If the disk is full or takes nothing: it is no fault of a recording. What is finished by then stays.
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
    if scheduler is None:
        count = min(workers or affordable_workers(memory_gb_per_job), len(jobs))
        if count == 1:
            return _run_here(work, jobs, title, kept)
        connected: AbstractContextManager[Workers] = local_workers(count, (__name__, work.__module__, *loads))
        title = f"{title}, {count} workers"
    else:
        connected = _cluster(scheduler, work, jobs, memory_gb_per_job)
    with connected as there:
        return _run_on(there, work, jobs, title, kept)


def spare_threads(jobs: int, memory_gb_per_job: float) -> int:
    """Cores for each job where this machine has more of them than jobs that may run side by side."""
    return max(1, cores() // min(affordable_workers(memory_gb_per_job), jobs))


def _cluster(
    scheduler: str, work: Work, jobs: Sequence[Job], memory_gb_per_job: float
) -> AbstractContextManager[Workers]:
    from eegpipe import slurm

    settings = slurm.settings_from(scheduler)
    paths = sorted({value for job in jobs for value in job.arguments.values() if isinstance(value, Path)})
    expected = on_worker.expectation(work.__module__, work.__qualname__, paths)
    if settings is None:
        return running_cluster(scheduler, expected, memory_gb_per_job)
    return slurm.slurm_workers(settings, expected, jobs=len(jobs), memory_gb_per_job=memory_gb_per_job)


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value


# --- one job ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """What comes back from a worker; ``trace`` is for whoever looks for a bug (logging level DEBUG).

    ``unfit``: why the worker did not even begin. ``disk``: why no job can go on.
    """

    status: str
    row: dict
    problem: str = ""
    trace: str = ""
    unfit: str = ""
    disk: DiskProblem | None = None


def _guarded(work: Work, arguments: Mapping[str, Any], expected: on_worker.Expected | None = None) -> _Result:
    """Call the work under one BLAS thread; every exception becomes a failed result."""
    if expected is not None and (different := on_worker.differences(expected)):
        return _Result("failed", {}, unfit=different)
    try:
        with one_thread(), on_worker.at_work(expected.place) if expected is not None else nullcontext():
            status, row = work(**arguments)
        return _Result(status, row)
    except Exception as error:
        fault = of_the_machine(error)
        disk = fault if isinstance(fault, DiskProblem) else None
        return _Result("failed", {}, in_words(error), traceback.format_exc(), disk=disk)


def in_words(error: Exception) -> str:
    if isinstance(error, DataProblem | UsageProblem):
        return str(error)
    if fault := of_the_machine(error):
        return str(replace(fault, where=Path(fault.where).name))  # no folders: words of a job may stand in a result
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


def _outcome(key: str, result: _Result) -> Outcome:
    if result.trace:
        logging.getLogger(__name__).debug("%s\n%s", key, result.trace)
    if result.disk is not None:
        raise result.disk
    if result.status not in ("done", "kept", "failed"):
        raise ValueError(f"{key}: the work returned the status {result.status!r}")
    return Outcome(key, result.status, result.row, result.problem)  # type: ignore[arg-type]


def _note(outcomes: Mapping[str, Outcome], kept: int) -> str:
    kept += sum(outcome.status == "kept" for outcome in outcomes.values())
    failed = sum(outcome.status == "failed" for outcome in outcomes.values())
    return ", ".join(f"{count} {word}" for count, word in ((kept, "kept"), (failed, "failed")) if count)


def _run_here(work: Work, jobs: Sequence[Job], title: str, kept: int) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    # The variables too, for libraries that the first job loads.
    with one_thread_for_children(), progress.bar(title, len(jobs)) as advance:
        advance(0, note=_note(outcomes, kept))
        for job in jobs:
            outcomes[job.key] = _outcome(job.key, _guarded(work, job.arguments))
            advance(note=_note(outcomes, kept))
    return list(outcomes.values())


# --- many processes ---------------------------------------------------------------------------------------------------


def _run_on(workers: Workers, work: Work, jobs: Sequence[Job], title: str, kept: int) -> list[Outcome]:
    """Submit the jobs, never more than there are workers: a worker that dies takes only its own job with it."""
    client = workers.client
    outcomes: dict[str, Outcome] = {}
    waiting = deque(jobs)
    again: deque[Job] = deque()
    running: dict[Any, Job] = {}
    second: set[str] = set()
    finished: SimpleQueue[Any] = SimpleQueue()
    with progress.bar(title, len(jobs)) as advance:
        advance(0, note=_note(outcomes, kept))
        try:
            while waiting or again or running:
                # Asked again and again: workers join, and work that is waiting goes to them at once.
                slots = max(1, workers.count())
                # The second attempt at a job whose worker died has no other job beside it.
                ready, slots = (again, 1) if again and not waiting else (waiting, slots)
                while ready and len(running) < slots:
                    job = ready.popleft()
                    if ready is again:
                        second.add(job.key)
                    future = client.submit(_guarded, work, job.arguments, workers.expected, pure=False)
                    running[future] = job
                    future.add_done_callback(finished.put)
                try:
                    future = finished.get(timeout=LOOK_S)
                except Empty:
                    continue
                job = running.pop(future)
                outcome = _collect(workers, job, future, last=job.key in second)
                if outcome is None:
                    again.append(job)
                else:
                    outcomes[job.key] = outcome
                    advance(note=_note(outcomes, kept))
        except BaseException as error:  # Ctrl-C among them: nothing new may start in the background
            if client.status != "running" and isinstance(error, OSError):
                raise workers.lost() from None
            with suppress(Exception):  # the cluster may be going away
                if client.status == "running":
                    client.cancel(list(running), force=True)
            raise
    return [outcomes[job.key] for job in jobs]


def _fetched(workers: Workers, future: Any) -> _Result | None:
    """The result, from the worker that has it; Dask does the job again if that worker is gone meanwhile. None if the
    job ended without a result."""
    from asyncio import CancelledError

    while future.status in ("pending", "finished"):
        try:
            return future.result(timeout=_FETCH_S)
        except TimeoutError:
            workers.count()  # says that it waits, and gives up some time
        except (OSError, CancelledError):
            raise workers.lost() from None
        except Exception:
            if future.status == "finished":  # what cannot be read is no result either
                raise
    return None


def _collect(workers: Workers, job: Job, future: Any, *, last: bool) -> Outcome | None:
    """What became of a job whose future is no longer pending; None if it is worth another attempt."""
    from distributed import KilledWorker

    if future.status == "cancelled":  # the scheduler forgot it, or is gone
        raise workers.lost()
    if (result := _fetched(workers, future)) is not None:
        if result.unfit:
            raise UsageProblem(unfit(f"that joined {workers.place}", result.unfit))
        return _outcome(job.key, result)
    if not last:
        return None
    death = future.exception()
    if not isinstance(death, KilledWorker):  # Dask itself failed: the argument could not be sent
        return Outcome(job.key, "failed", {}, f"{job.key}: {type(death).__name__}: {death}")
    limit_gb = death.last_worker.memory_limit / GB
    if workers.ended_for_memory(death.last_worker.address):
        problem = (
            f"{job.key}: needed more than the {limit_gb:.1f} GB of memory that each worker has, and was ended. "
            "Run with fewer workers."
        )
    else:
        problem = (
            f"{job.key}: the worker process died twice while running it (KilledWorker): out of memory (its limit was "
            f"{limit_gb:.1f} GB), or a crash in compiled code. Run with one worker to see it happen."
        )
    return Outcome(job.key, "failed", {}, problem)
