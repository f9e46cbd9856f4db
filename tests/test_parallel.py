"""The same rows in the same order wherever the jobs run, and one bad job never takes the others with it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from eegpipe import cluster as cluster_module
from eegpipe import progress
from eegpipe.cluster import affordable_workers
from eegpipe.errors import DataProblem, DiskProblem, UsageProblem
from eegpipe.parallel import Job, Outcome, run
from eegpipe.runtime import Runtime


def work(number: int, fault: str = "", folder: Path | None = None) -> tuple[str, dict]:
    """A matrix product whose bits depend on the number of BLAS threads, or a fault of the kind asked for."""
    if fault == "data":
        raise DataProblem(f"s{number:02}.dat: labels", "39 rows", "40 rows", "Download the file again.")
    if fault == "bug":
        raise ZeroDivisionError("no samples")
    if fault == "file":
        Path("/nowhere/s09.dat").read_bytes()
    if fault == "full disk":
        raise OSError(errno.ENOSPC, "No space left on device", "/nowhere/s10.eeg")
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "crash once":
        assert folder is not None
        marker = folder / "crashed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if fault == "sleep":
        assert folder is not None
        (folder / f"{number}.started").touch()
        time.sleep(60)
        (folder / f"{number}.finished").touch()
    signal_uv = np.random.default_rng(number).standard_normal((300, 5000)).astype(np.float32)
    row = {"number": number, "covariance": hashlib.sha256((signal_uv @ signal_uv.T).tobytes()).hexdigest()}
    return ("kept" if number == 1 else "done"), row


def report_process(folder: Path) -> tuple[str, dict]:
    from threadpoolctl import threadpool_info

    threads = {pool["num_threads"] for pool in threadpool_info()}
    return "done", {"pid": os.getpid(), "threads": sorted(threads), "absolute": folder.is_absolute()}


def jobs_for(*faults: str, folder: Path | None = None) -> list[Job]:
    return [
        Job(f"sub-{number:02}", {"number": number, "fault": fault, "folder": folder})
        for number, fault in enumerate(faults, start=1)
    ]


@pytest.fixture(scope="module")
def alone() -> list[Outcome]:
    """The outcomes in this process: what every other way of running must give too."""
    return run(work, jobs_for("", "data", "", "bug", ""), title="alone", workers=1)


def test_every_job_has_an_outcome_in_order(alone: list[Outcome]):
    assert [outcome.key for outcome in alone] == ["sub-01", "sub-02", "sub-03", "sub-04", "sub-05"]
    assert [outcome.status for outcome in alone] == ["kept", "failed", "done", "failed", "done"]
    assert [outcome.row.get("number") for outcome in alone] == [1, None, 3, None, 5]


def test_problems_are_told_in_words(alone: list[Outcome]):
    assert alone[1].problem == "s02.dat: labels: found 39 rows, expected 40 rows. Download the file again."
    assert alone[3].problem.startswith("ZeroDivisionError: no samples (at test_parallel:")
    assert alone[0].problem == ""
    missing = run(work, jobs_for("file"), title="", workers=1)[0].problem
    assert missing.startswith("FileNotFoundError: No such file or directory: s09.dat (at ")


def test_a_dead_worker_costs_one_job_and_two_workers_give_the_same_bytes(
    alone: list[Outcome], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    jobs = jobs_for("", "data", "", "bug", "", "crash", "crash once", folder=tmp_path)
    outcomes = run(work, jobs, title="two", workers=2)
    assert outcomes[:5] == alone
    assert outcomes[5].status == "failed"
    assert outcomes[5].problem.startswith("sub-06: the worker process died twice")
    assert (tmp_path / "crashed").exists()
    assert outcomes[6].status == "done"
    assert outcomes[6].row["number"] == 7
    assert capfd.readouterr().err == ""  # Dask has a lot to say about this


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_recording(workers: int):
    """Else `allow_partial` would go on without the people for whom there was no room."""
    with pytest.raises(DiskProblem, match=r"s10\.eeg: found no space left, expected room .* Free some there"):
        run(work, jobs_for("", "full disk", ""), title="", workers=workers)


def test_one_thread_in_another_process_whatever_the_user_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    outcomes = run(
        report_process, [Job("a", {"folder": Path("x")}), Job("b", {"folder": Path("y")})], title="", workers=2
    )
    assert all(outcome.row["threads"] == [1] and outcome.row["absolute"] for outcome in outcomes)
    assert os.getpid() not in {outcome.row["pid"] for outcome in outcomes}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_job_that_needs_too_much_memory_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "_free_gb", lambda: 0.9)
    jobs = [Job("sub-01", {"gigabytes": 0.0}), Job("sub-02", {"gigabytes": 3.0})]
    outcomes = run(hold_memory, jobs, title="memory", workers=2)
    assert outcomes[0].status == "done"
    assert outcomes[1].problem == (
        "sub-02: needed more than the 0.4 GB of memory that each worker has, and was ended. Run with fewer workers."
    )


def hold_memory(gigabytes: float) -> tuple[str, dict]:
    held = []
    while sum(part.nbytes for part in held) < gigabytes * 1e9:
        held.append(np.ones(5_000_000))
        time.sleep(0.05)
    return "done", {"parts": len(held)}


def test_workers_are_limited_by_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "_free_gb", lambda: 10.0)
    assert affordable_workers(9.0) == 1
    assert affordable_workers(100.0) == 1
    assert affordable_workers(0.001) == affordable_workers(0.002) >= 1


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_what_is_done_kept_and_failed(monkeypatch: pytest.MonkeyPatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run(work, jobs_for("", "data", "bug"), title="clean seed", workers=1, kept=31)
    shown = terminal.getvalue()
    assert "clean seed" in shown
    assert "3/3" in shown
    assert "32 kept, 2 failed" in shown  # the first job of three says itself that it kept its recording


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    clock_s = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock_s[0])
    with progress.bar("clean seed", 45) as advance:
        for number in range(1, 46):
            clock_s[0] += 15.0
            advance(note="1 failed" if number > 3 else "")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "clean seed: 2 of 45 done, about 11 min left",
        "clean seed: 4 of 45 done, 1 failed, about 10 min left",
    ]
    assert lines[-1] == "clean seed: 44 of 45 done, 1 failed, about 15 s left"
    assert len(lines) == 22
    with progress.bar("one long job", 2) as advance:
        clock_s[0] += 9000.0
        advance()
    assert capsys.readouterr().err == "one long job: 1 of 2 done, about 2.5 h left\n"
    with progress.bar("short", 3) as advance:
        for _ in range(3):
            clock_s[0] += 5.0
            advance()
    assert capsys.readouterr().err == ""


def test_the_machine_is_described_in_the_environment():
    assert Runtime.from_environment({"EEGPIPE_WORKERS": "3", "EEGPIPE_SCHEDULER": "slurm:a.yaml"}) == Runtime(
        workers=3, scheduler="slurm:a.yaml"
    )
    assert Runtime.from_environment({"EEGPIPE_SCHEDULER": ""}) == Runtime()
    with pytest.raises(UsageProblem, match="EEGPIPE_WORKERS: found '0'"):
        Runtime.from_environment({"EEGPIPE_WORKERS": "0"})


def test_wrong_requests_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "_ANSWER_S", 0.5)
    jobs = jobs_for("")
    with pytest.raises(UsageProblem, match="at least 1"):
        run(work, jobs, title="", workers=0)
    with pytest.raises(UsageProblem, match="No Dask scheduler answers"):
        run(work, jobs, title="", scheduler=f"tcp://127.0.0.1:{_free_port()}")
    with pytest.raises(ValueError, match="imported"):
        run(lambda: ("done", {}), jobs, title="")
    with pytest.raises(ValueError, match="share a key"):
        run(work, [*jobs, *jobs], title="")
    assert run(work, [], title="") == []


def test_interrupt_stops_everything(tmp_path: Path):
    """Ctrl-C on a terminal reaches every process of the group."""
    program = (
        "import sys; from pathlib import Path; import test_parallel as t\n"
        "print('started', flush=True)\n"
        "try: t.run(t.work, t.jobs_for(*['sleep'] * 3, folder=Path(sys.argv[1])), title='', workers=2)\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait(lambda: len(list(tmp_path.glob("*.started"))) == 2)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=15)
    assert output == "started\nstopped\n"  # once: workers do not run the program that started them
    assert "Traceback" not in errors
    _wait(lambda: not _alive_in_group(process.pid))
    assert not list(tmp_path.glob("*.finished"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A scheduler and one worker as processes of their own, as a user starts them."""
    dask = str(Path(sys.executable).with_name("dask"))
    address = f"tcp://127.0.0.1:{_free_port()}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    settings = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([dask, "scheduler", "--host", address, "--no-dashboard"], **settings),
        subprocess.Popen([dask, "worker", address, "--nthreads", "1", "--no-dashboard"], **settings),
    ]
    yield address, processes
    for process in reversed(processes):  # the worker first: it would wait for its scheduler to come back
        process.terminate()
        process.wait(timeout=20)


def test_a_running_cluster_gives_the_same_rows(alone: list[Outcome], cluster):
    address, _ = cluster
    assert run(work, jobs_for("", "data", "", "bug", ""), title="cluster", scheduler=address) == alone


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _alive_in_group(group: int) -> list[psutil.Process]:
    alive = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def _wait(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(0.05)
