"""Where the worker processes come from: this machine's cores, a running Dask cluster, or Slurm (``slurm.py``).

Each way gives a :class:`Workers` that :func:`eegpipe.parallel.run` hands its jobs to. Before any job starts, the
workers of a cluster are asked whether they are fit: one thread, memory for a recording, the same code, the same files.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from eegpipe.errors import UsageProblem
from eegpipe.on_worker import Expected, differences, still_at_work
from eegpipe.runtime import dashboard_address

if TYPE_CHECKING:
    from distributed import Client

GB = 1e9
# How much of the free memory the workers may take together; the rest is for this process and the system.
_MEMORY_SHARE = 0.9
# How long a scheduler may take to answer.
_ANSWER_S = 15.0
# Workers that are gone: how long before it is said, how long before the run gives up, how often it is looked.
_NOTICE_S = 15.0
_PATIENCE_S = 600.0
LOOK_S = 1.0
# How long jobs of an interrupted run on the same files may go on before the new run starts.
_EARLIER_S = 3600.0

# Read by the numerical libraries when they are loaded; a cluster's processes inherit them.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Signals are freed and taken again all the time. Dask makes the C library give them back to the system
# each time, which doubled the time of a recording; so it keeps up to 256 MiB, arrays of 32 MiB included.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 * 2**20), "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20)}
# Copies of a process that has loaded numerical libraries are safe on Linux; on macOS Apple's own library is not.
_FORK_SERVER = sys.platform == "linux"
WORKER_SETTINGS: dict[str, Any] = {
    # A signal array cannot be spilled, and a paused worker never gets going again: only the end of a worker that would
    # take the machine down is left on.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
}


def affordable_workers(memory_gb_per_job: float) -> int:
    """How many jobs may run side by side on this machine: cores, or free memory / memory of a job if that is less."""
    return max(1, min(cores(), int(_free_gb() * _MEMORY_SHARE / memory_gb_per_job)))


def cores() -> int:
    """Cores that this process may use: as a container or Slurm limits them."""
    from dask.system import CPU_COUNT

    return CPU_COUNT


def _free_gb() -> float:
    import psutil
    from distributed.system import MEMORY_LIMIT  # knows the limit of a container

    return min(psutil.virtual_memory().available, MEMORY_LIMIT) / GB


class Workers:
    """Connected workers. ``place`` names them in messages; ``expected`` is sent along with each job, for workers that
    join later."""

    def __init__(self, client: Client, place: str, expected: Expected | None = None) -> None:
        self.client, self.place, self.expected = client, place, expected
        self._seen_s = time.monotonic()
        self._waiting = False

    def count(self) -> int:
        """How many workers there are now.

        Raises
        ------
        UsageProblem
            If the scheduler is gone, or there has been no worker for so long that none is likely to come.
        """
        try:
            if self.client.status != "running":
                raise OSError("connection lost")
            count = len(self.client.nthreads())
        except (OSError, TimeoutError, AttributeError):  # AttributeError: closed while asked
            raise self.lost() from None
        now_s = time.monotonic()
        if count:
            self._seen_s, self._waiting = now_s, False
        self.look_after(count)
        if not count and now_s - self._seen_s > _NOTICE_S:
            if not self._waiting:
                print(self.absence(), file=sys.stderr, flush=True)
                self._waiting = True
            if now_s - self._seen_s > self.patience_s():
                raise UsageProblem(
                    f"There has been no worker of {self.place} for {self.patience_s() / 60:.0f} minutes. "
                    "What is finished is kept: start workers, then run the same command again."
                )
        return count

    def look_after(self, count: int) -> None:
        """Called about once a second with the number of workers; Slurm replaces jobs that ended."""

    def absence(self) -> str:
        """What to tell a user who waits for workers."""
        return f"Waiting for a worker to join {self.place} ..."

    def patience_s(self) -> float:
        return _PATIENCE_S

    def ended_for_memory(self, address: str) -> bool:  # noqa: ARG002
        """Whether a worker is known to have been ended because it took too much memory."""
        return False

    def lost(self) -> UsageProblem:
        return UsageProblem(
            f"The Dask scheduler of {self.place} is gone. What is finished is kept: start a scheduler and workers, "
            "then run the same command again."
        )

    def wait_for_first(self) -> None:
        while not self.count():
            time.sleep(LOOK_S)


# --- this machine -----------------------------------------------------------------------------------------------------


class _LocalWorkers(Workers):
    """Knows which workers were ended for their memory: Dask only logs it, in this process."""

    def __init__(self, client: Client, messages: list[str]) -> None:
        super().__init__(client, "this machine")
        self.messages = messages

    def ended_for_memory(self, address: str) -> bool:
        return any(address in message and "memory budget" in message for message in self.messages)


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def local_workers(count: int, loads: Sequence[str] = ()) -> Iterator[Workers]:
    """``count`` processes of one thread each, with equal shares of the free memory.

    ``loads``: modules that the jobs import. They are loaded once, while this process loads Dask, and every worker
    starts with them; where that is not safe (:data:`_FORK_SERVER`) each worker loads them by itself.
    """
    import tempfile

    if _FORK_SERVER:
        _load_for_workers(("distributed", *loads))
    import dask.config
    from distributed import Client, LocalCluster

    settings = WORKER_SETTINGS | {
        "distributed.worker.multiprocessing-method": "forkserver" if _FORK_SERVER else "spawn",
        # The first death of a worker counts: the job is run again, alone.
        "distributed.scheduler.allowed-failures": 0,
        # A reader or an ICA may hold the interpreter for minutes; a process that ends is noticed anyway.
        "distributed.scheduler.worker-ttl": None,
    }
    settings |= {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEEP_MEMORY.items()}
    memory, log = _Messages(), logging.getLogger("distributed.nanny.memory")
    log.addHandler(memory)
    try:
        with (
            dask.config.set(settings),
            one_thread_for_children(),
            _program_not_imported(),
            quiet_dask(),
            tempfile.TemporaryDirectory(prefix="eegpipe-dask-") as scratch,
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs=dashboard_options(),
                memory_limit=int(_free_gb() * GB * _MEMORY_SHARE / count),
                local_directory=scratch,
                silence_logs=logging.CRITICAL,  # in the workers; quiet_dask is for this process
            ) as cluster,
            Client(cluster) as client,
        ):
            if dashboard_address():
                announce_dashboard(client)
            yield _LocalWorkers(client, memory.texts)
    finally:
        log.removeHandler(memory)


def _load_for_workers(modules: Sequence[str]) -> None:
    """Start Python's fork server, which loads the modules in the background; workers are copies of it."""
    from multiprocessing import forkserver

    with _environment(ONE_THREAD | KEEP_MEMORY), _program_not_imported():
        forkserver.set_forkserver_preload(list(modules))
        forkserver.ensure_running()


def one_thread_for_children() -> AbstractContextManager[None]:
    return _environment(ONE_THREAD)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
def quiet_dask() -> Iterator[None]:
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


# --- the dashboard ----------------------------------------------------------------------------------------------------


def dashboard_options() -> dict[str, Any]:
    """Options of a scheduler that eegpipe starts; without EEGPIPE_DASHBOARD on a free port and without pages."""
    asked = dashboard_address()
    if asked and not _has_bokeh():
        print("EEGPIPE_DASHBOARD: Dask's dashboard needs bokeh (pip install bokeh).", file=sys.stderr)
        asked = None
    return {"dashboard": asked is not None, "dashboard_address": asked or "127.0.0.1:0"}


def _has_bokeh() -> bool:
    from importlib.util import find_spec

    return find_spec("bokeh") is not None


def announce_dashboard(client: Client) -> None:
    """Print the address of the dashboard, if it answers from here: a scheduler without bokeh has only a hint there."""
    from urllib.error import URLError
    from urllib.request import ProxyHandler, build_opener

    try:
        link = client.dashboard_link
        # A proxy knows nothing of a compute node's ports.
        with build_opener(ProxyHandler({})).open(link, timeout=_ANSWER_S) as answer:
            page = answer.read(100_000)
    except (URLError, OSError, KeyError, ValueError, AttributeError):
        return
    if b"Dask needs bokeh" not in page:
        print(f"Dashboard: {link}", file=sys.stderr)


# --- a running cluster ------------------------------------------------------------------------------------------------


@contextmanager
def running_cluster(address: str, expected: Expected, memory_gb_per_job: float) -> Iterator[Workers]:
    """The workers of a scheduler that somebody else started and will end."""
    from distributed import Client

    if "://" not in address:
        raise UsageProblem(
            f"The scheduler is '{address}'; expected the address of a Dask scheduler, such as tcp://node1:8786, or "
            "'slurm' or 'slurm:FILE.yaml'."
        )
    try:
        client = Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError) as error:
        raise UsageProblem(
            f"No Dask scheduler answers at {address} ({error}). Start one with 'dask scheduler' and give its address."
        ) from None
    with quiet_dask(), client:
        workers = Workers(client, address, expected)
        announce_dashboard(client)
        workers.wait_for_first()
        refuse_unfit(workers, memory_gb_per_job)
        _wait_for_earlier(workers)
        yield workers


def refuse_unfit(workers: Workers, memory_gb_per_job: float) -> None:
    """Raise a :class:`UsageProblem` if a worker that is there now has several threads, too little memory, other code or
    other files."""
    known: Mapping[str, Mapping[str, Any]] = workers.client.scheduler_info()["workers"]
    if any(worker["nthreads"] > 1 for worker in known.values()):
        raise UsageProblem(
            f"The workers of {workers.place} have several threads; recordings need a process each. "
            "Start them with 'dask worker --nthreads 1 --nworkers N'."
        )
    for name, worker in sorted(known.items()):
        limit_gb = worker["memory_limit"] / GB  # 0: no limit
        if 0 < limit_gb < memory_gb_per_job:
            raise UsageProblem(
                f"The worker {name} of {workers.place} may use {limit_gb:.1f} GB of memory; the largest recording is "
                f"expected to need {memory_gb_per_job:.1f} GB. Start fewer workers on that machine, each with "
                f"'--memory-limit {memory_gb_per_job * 1.2:.1f}GB'."
            )
    if workers.expected is not None:
        answers = workers.client.run(differences, workers.expected, on_error="return")
        for name, answer in sorted(answers.items()):
            if answer:
                raise UsageProblem(unfit(f"{name} of {workers.place}", answer))


def unfit(worker: str, answer: str | Exception) -> str:
    """What to tell the user of a worker whose :func:`eegpipe.on_worker.differences` are not empty."""
    if isinstance(answer, Exception):
        answer = f"cannot load what is sent to it ({type(answer).__name__}: {answer})"
    return (
        f"The worker {worker} {answer}. Every worker needs the same Python packages, the same code of eegpipe and the "
        "same files at the same paths; restart workers after a change of code."
    )


def _wait_for_earlier(workers: Workers) -> None:
    """Two jobs must not write the same recording: an interrupted run's jobs go on in their workers until they end."""
    assert workers.expected is not None
    said, start_s = False, time.monotonic()
    while True:
        answers: Sequence[Any] = list(
            workers.client.run(still_at_work, workers.expected.place, on_error="return").values()
        )
        busy = sum(answer for answer in answers if isinstance(answer, int))
        if not busy:
            return
        if time.monotonic() - start_s > _EARLIER_S:
            raise UsageProblem(
                f"{busy} workers of {workers.place} still write to the same folder for another run of the same step. "
                "Wait for it to end, or restart the workers."
            )
        if not said:
            print(f"Waiting for {busy} workers to end what an interrupted run left them ...", file=sys.stderr)
            said = True
        time.sleep(LOOK_S)
