"""Recordings on other processes' workers: a Dask cluster and Slurm, whole and with parts that die or do not fit."""

from __future__ import annotations

import http.server
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_clean_stage import snapshot, write_source

from eegpipe import cluster as cluster_module
from eegpipe import on_worker, slurm
from eegpipe.clean.settings import CleanSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.errors import UsageProblem
from eegpipe.parallel import Job, run
from eegpipe.runtime import dashboard_address
from eegpipe.slurm import SlurmSettings

from cluster_processes import (
    TESTS,
    DaskCluster,
    FakeSlurm,
    WorkLog,
    dask_cluster,
    environment,
    kill,
    kill_group,
    log_work,
    members,
    wait,
)

SETTINGS = CleanSettings()
ROOT = TESTS.parent


def brief(folder: Path, number: int, seconds: float = 0.0) -> tuple[str, dict]:
    """Work that takes a while and leaves a file."""
    time.sleep(seconds)
    (folder / f"{number}.made").write_text(str(number))
    return "done", {"number": number}


def briefs(folder: Path, count: int, seconds: float = 0.0) -> list[Job]:
    return [Job(f"job-{number}", {"folder": folder, "number": number, "seconds": seconds}) for number in range(count)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path) as started:
        yield started


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkLog:
    from eegpipe import parallel

    monkeypatch.setattr(parallel, "run", parallel.run)  # put back after the test
    log_work(tmp_path / "work.log")
    return WorkLog(tmp_path / "work.log")


class InBackground:
    """Calls a function in a thread, as long as the test does things to its workers."""

    def __init__(self, function, *arguments, **options) -> None:
        self.result = self.error = None

        def call() -> None:
            try:
                self.result = function(*arguments, **options)
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=call, daemon=True)
        self.thread.start()

    def end(self, timeout_s: float = 60):
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "waited too long"
        if self.error is not None:
            raise self.error
        return self.result


# --- a running cluster ------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_in_a_recording_changes_no_byte(tmp_path: Path, cluster: DaskCluster, log: WorkLog):
    source = write_source(tmp_path / "bids", ("01", "02", "03", "04", "05", "06"))
    assert len(clean_dataset(source, tmp_path / "undisturbed", SETTINGS, workers=1)) == 6
    log.path.unlink()

    nodes = [cluster.add_worker(), cluster.add_worker()]
    cleaning = InBackground(clean_dataset, source, tmp_path / "clean", SETTINGS, scheduler=cluster.address)
    # Two at work, and each in a recording: neither the first nor the last second of it.
    pairs = wait(lambda: len(log.open_now()) == 2 and log.open_now(), 60)
    time.sleep(0.3)
    victim = next(process for _, process in pairs if (_, process) in log.open_now())
    kill(victim)
    outcomes = cleaning.end(120)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert snapshot(tmp_path / "clean") == snapshot(tmp_path / "undisturbed")
    assert len(log.started()) == 7  # six, and the one that was killed
    assert all(members(node.pid) for node in nodes)  # the worker's guard started another one


def test_a_node_that_dies_leaves_its_work_to_the_other(tmp_path: Path, cluster: DaskCluster, log: WorkLog):
    nodes = [cluster.add_worker(), cluster.add_worker()]
    running = InBackground(_run_logged, briefs(tmp_path, 8, 0.5), scheduler=cluster.address)
    wait(lambda: len(log.open_now()) == 2)
    kill_group(nodes[0].pid)
    outcomes = running.end()
    assert [outcome.row["number"] for outcome in outcomes] == list(range(8))
    assert len(list(tmp_path.glob("*.made"))) == 8
    assert len(log.started()) == 9


def _run_logged(jobs: list[Job], **options):
    from eegpipe import parallel

    return parallel.run(brief, jobs, title="brief", **options)


def test_without_workers_it_waits_and_says_so(
    tmp_path: Path, cluster: DaskCluster, log: WorkLog, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.setattr(cluster_module, "_NOTICE_S", 0.5)
    only = cluster.add_worker()
    running = InBackground(_run_logged, briefs(tmp_path, 4, 0.7), scheduler=cluster.address)
    wait(lambda: log.open_now())
    kill_group(only.pid)
    said = f"Waiting for a worker to join {cluster.address} ..."
    seen = []
    wait(lambda: seen.append(capfd.readouterr().err) or said in "".join(seen))
    cluster.add_worker()
    assert [outcome.status for outcome in running.end()] == ["done"] * 4
    assert ("".join(seen) + capfd.readouterr().err).count(said) <= 2  # once at the start at most, once now


def test_without_workers_it_gives_up_some_time(
    tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.setattr(cluster_module, "_NOTICE_S", 0.2)
    monkeypatch.setattr(cluster_module, "_PATIENCE_S", 1.5)
    with pytest.raises(UsageProblem, match=r"no worker of tcp://.* What is finished is kept"):
        run(brief, briefs(tmp_path, 2), title="", scheduler=cluster.address)
    assert "Waiting for a worker" in capfd.readouterr().err


def test_a_scheduler_that_dies_is_told_and_finished_recordings_stay(tmp_path: Path, cluster: DaskCluster):
    source = write_source(tmp_path / "bids", ("01", "02", "03", "04", "05"))
    out = tmp_path / "clean"
    cluster.add_worker()
    command = [sys.executable, "-m", "eegpipe", "clean", source, out, "--scheduler", cluster.address]
    process = subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True)
    finished = wait(lambda: list(out.glob("sub-*/eeg/*_eeg.json")), 90)[0]
    bytes_before = finished.read_bytes()
    kill_group(cluster.scheduler.pid)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2, output + errors
    assert f"The Dask scheduler of {cluster.address} is gone. What is finished is kept" in errors
    assert "Traceback" not in errors
    assert finished.read_bytes() == bytes_before

    clean_dataset(source, tmp_path / "undisturbed", SETTINGS, workers=1)
    outcomes = clean_dataset(source, out, SETTINGS, workers=1)
    assert "kept" in {outcome.status for outcome in outcomes}
    assert snapshot(out) == snapshot(tmp_path / "undisturbed")


def test_a_worker_without_enough_memory_is_refused_at_once(tmp_path: Path, cluster: DaskCluster):
    cluster.add_worker("--memory-limit", "0.6GB")
    with pytest.raises(UsageProblem, match=r"may use 0\.6 GB of memory.*need 2\.0 GB.*--memory-limit 2\.4GB"):
        run(brief, briefs(tmp_path, 2), title="", scheduler=cluster.address, memory_gb_per_job=2.0)
    assert not list(tmp_path.glob("*.made"))
    assert run(brief, briefs(tmp_path, 1), title="", scheduler=cluster.address, memory_gb_per_job=0.5)


def test_a_worker_with_several_threads_is_refused(tmp_path: Path, cluster: DaskCluster):
    cluster.add_worker(threads=2)
    with pytest.raises(UsageProblem, match="several threads"):
        run(brief, briefs(tmp_path, 2), title="", scheduler=cluster.address)


@pytest.fixture
def other_code(tmp_path: Path) -> Path:
    """A folder with eegpipe one line later."""
    folder = tmp_path / "other"
    shutil.copytree(ROOT / "eegpipe", folder / "eegpipe", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "eegpipe" / "parallel.py").open("a", encoding="utf-8") as file:
        file.write("\n# later\n")
    return folder


def test_a_worker_with_other_code_is_refused(tmp_path: Path, cluster: DaskCluster, other_code: Path):
    cluster.add_worker(path=other_code)
    with pytest.raises(UsageProblem, match=r"The worker tcp://\S+ of .* runs other code of eegpipe than this process"):
        run(brief, briefs(tmp_path, 2), title="", scheduler=cluster.address)
    assert not list(tmp_path.glob("*.made"))


def test_a_worker_with_other_code_that_joins_later_stops_the_run(
    tmp_path: Path, cluster: DaskCluster, other_code: Path
):
    cluster.add_worker()
    running = InBackground(run, brief, briefs(tmp_path, 60, 0.3), title="", scheduler=cluster.address)
    wait(lambda: list(tmp_path.glob("*.made")))
    cluster.add_worker(path=other_code)
    with pytest.raises(UsageProblem, match=r"that joined .* runs other code of eegpipe"):
        running.end()
    assert list(tmp_path.glob("*.made"))


def test_a_worker_without_eegpipe_is_told(tmp_path: Path, cluster: DaskCluster):
    (tmp_path / "old" / "eegpipe").mkdir(parents=True)
    (tmp_path / "old" / "eegpipe" / "__init__.py").touch()
    (tmp_path / "old" / "eegpipe" / "on_worker.py").write_text("raise ImportError('an eegpipe of last year')")
    cluster.add_worker(path=tmp_path / "old")
    with pytest.raises(UsageProblem, match=r"cannot load what is sent to it .*an eegpipe of last year"):
        run(brief, briefs(tmp_path, 2), title="", scheduler=cluster.address)


def test_a_worker_that_does_not_see_the_folder_is_told(tmp_path: Path, cluster: DaskCluster):
    """As on a machine where the file system is not mounted: the folder is hidden from the worker's Python."""
    hidden = tmp_path / "data"
    hidden.mkdir()
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(
        f"import os, pathlib\nreal = os.stat\n\ndef stat(path, *more, **options):\n"
        f"    if str(path).startswith({str(hidden)!r}): raise FileNotFoundError(2, 'No such file', str(path))\n"
        f"    return real(path, *more, **options)\n\nos.stat = stat\n"
    )
    cluster.add_worker(path=tmp_path / "blind")
    with pytest.raises(UsageProblem) as refusal:
        run(brief, briefs(hidden, 2), title="", scheduler=cluster.address)
    assert f"finds nothing at {hidden}, where this process finds a folder" in str(refusal.value)
    assert "the same files at the same paths" in str(refusal.value)


def test_what_a_worker_finds_different_is_told_in_words(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "s01.dat").write_bytes(b"abc")
    (tmp_path / "labels.mat").write_bytes(b"abcd")
    paths = [tmp_path / "data", tmp_path / "labels.mat", tmp_path / "out"]
    expected = on_worker.expectation(__name__, "brief", paths)
    (tmp_path / "out").mkdir()  # nothing can be said about what was not there
    assert on_worker.differences(expected) == ""
    (tmp_path / "labels.mat").unlink()
    # A process that was fit stays so; another work or another look is another question.
    assert on_worker.differences(expected) == ""
    asked = replace(expected, place="other")
    assert on_worker.differences(asked).endswith("labels.mat, where this process finds a file")
    (tmp_path / "labels.mat").write_bytes(b"abcd")
    (tmp_path / "data" / "s01.dat").rename(tmp_path / "data" / "s02.dat")
    assert on_worker.differences(asked).endswith("data, without s01.dat")
    older = tuple((name, "0.0.1" if name == "numpy" else version) for name, version in expected.versions)
    assert re.fullmatch(
        r"has numpy \S+, this process has 0\.0\.1", on_worker.differences(replace(expected, versions=older))
    )
    assert "other code" in on_worker.differences(replace(expected, code="0" * 64))
    assert "other code" in on_worker.differences(replace(expected, modules=("eegpipe.nothing_here",)))


def test_the_jobs_of_a_killed_run_end_before_the_next_one_begins(
    tmp_path: Path, cluster: DaskCluster, capfd: pytest.CaptureFixture
):
    """Otherwise two workers would write the same recording."""
    for _ in range(2):
        cluster.add_worker()
    program = (
        "import sys; from pathlib import Path; import test_cluster as t\n"
        "t.run(t.brief, t.briefs(Path(sys.argv[1]), 2, 4.0), title='', scheduler=sys.argv[2])\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out"), cluster.address],
        env=environment(),
        start_new_session=True,
    )
    (tmp_path / "out").mkdir()
    from distributed import Client

    with Client(cluster.address) as client:

        def at_work() -> int:
            return sum(sum(counter.values()) for counter in client.run(_all_at_work).values())

        wait(lambda: at_work() == 2)
        kill_group(first.pid)
        first.wait()
        assert at_work() == 2  # Dask does not stop what a worker has begun
        run(brief, briefs(tmp_path / "out", 2), title="", scheduler=cluster.address)
        assert at_work() == 0
    assert "Waiting for 2 workers to end what an interrupted run left them" in capfd.readouterr().err


def _all_at_work() -> dict[str, int]:
    return dict(on_worker._at_work)


# --- the dashboard ----------------------------------------------------------------------------------------------------


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = (
            b"<p>Dask needs bokeh>=3.1.0 for the dashboard.</p>" if "without" in self.path else b"<title>Dask</title>"
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def test_only_a_dashboard_that_works_is_announced(capfd: pytest.CaptureFixture):
    server = http.server.HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    link = f"http://127.0.0.1:{server.server_port}"
    cluster_module.announce_dashboard(SimpleNamespace(dashboard_link=f"{link}/status"))
    assert capfd.readouterr().err == f"Dashboard: {link}/status\n"
    cluster_module.announce_dashboard(SimpleNamespace(dashboard_link=f"{link}/without/status"))
    server.shutdown()
    server.server_close()
    cluster_module.announce_dashboard(SimpleNamespace(dashboard_link=f"{link}/status"))
    assert capfd.readouterr().err == ""


def test_where_the_dashboard_shall_be():
    assert dashboard_address({}) is None
    assert dashboard_address({"EEGPIPE_DASHBOARD": "8787"}) == "127.0.0.1:8787"
    assert dashboard_address({"EEGPIPE_DASHBOARD": "0.0.0.0:80"}) == "0.0.0.0:80"
    with pytest.raises(UsageProblem, match="EEGPIPE_DASHBOARD: found 'yes'"):
        dashboard_address({"EEGPIPE_DASHBOARD": "yes"})


def test_a_dashboard_without_bokeh_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    monkeypatch.setenv("EEGPIPE_DASHBOARD", "8787")
    monkeypatch.setattr(cluster_module, "_has_bokeh", lambda: False)
    assert cluster_module.dashboard_options() == {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    assert "pip install bokeh" in capfd.readouterr().err
    monkeypatch.setattr(cluster_module, "_has_bokeh", lambda: True)
    assert cluster_module.dashboard_options() == {"dashboard": True, "dashboard_address": "127.0.0.1:8787"}


# --- Slurm ------------------------------------------------------------------------------------------------------------


def test_settings_of_slurm_are_closed_and_typed(tmp_path: Path):
    file = tmp_path / "slurm.yaml"
    file.write_text("partition: long\njobs: 12\nwalltime_h: 4\nprologue: [module load gcc]\n")
    assert slurm.settings_from(f"slurm:{file}") == SlurmSettings(
        partition="long", jobs=12, walltime_h=4.0, prologue=("module load gcc",)
    )
    assert slurm.settings_from("slurm") == SlurmSettings()
    assert slurm.settings_from("tcp://node1:8786") is None
    file.write_text("")
    assert slurm.settings_from(f"slurm:{file}") == SlurmSettings()
    for text, message in {
        "partitoin: long": r"slurm.yaml: unknown setting 'partitoin'. Did you mean 'partition'\?",
        "jobs: 0": r"slurm.yaml: jobs: found 0",
        "jobs: many": r"slurm.yaml: jobs: found \"many\"",
        "walltime_h: '08:00:00'": r"slurm.yaml: walltime_h: found",
        "[": "not valid YAML",
        "- 3": "slurm.yaml: the whole file",
    }.items():
        file.write_text(text)
        with pytest.raises(UsageProblem, match=message):
            slurm.settings_from(f"slurm:{file}")
    with pytest.raises(UsageProblem, match="cannot be read"):
        slurm.settings_from(f"slurm:{tmp_path / 'nowhere.yaml'}")
    with pytest.raises(UsageProblem, match="expected the address of a Dask scheduler"):
        run(brief, briefs(tmp_path, 1), title="", scheduler="slrum")


def test_memory_and_jobs_follow_the_recordings():
    sized = slurm.sized(SlurmSettings(jobs=10, processes_per_job=2), jobs=5, memory_gb_per_job=2.0)
    assert (sized.jobs, sized.memory_gb_per_process) == (3, 2.5)
    assert slurm.sized(SlurmSettings(jobs=2), jobs=50, memory_gb_per_job=2.0).jobs == 2
    assert slurm.sized(SlurmSettings(memory_gb_per_process=8.0), 1, 2.0).memory_gb_per_process == 8.0
    with pytest.raises(UsageProblem, match=r"memory_gb_per_process: found 1; .* expected to need 2\.0 GB"):
        slurm.sized(SlurmSettings(memory_gb_per_process=1.0), 1, 2.0)


def script_of(settings: SlurmSettings, tmp_path: Path) -> list[str]:
    _, SLURMJob = slurm.jobqueue()

    sized = slurm.sized(replace(settings, logs=str(tmp_path / "logs")), jobs=100, memory_gb_per_job=2.0)
    return SLURMJob("tcp://10.0.0.1:4000", name="w", **slurm.job_options(sized)).job_script().splitlines()


EXPORTS = [
    "export OMP_NUM_THREADS=1",
    "export OPENBLAS_NUM_THREADS=1",
    "export MKL_NUM_THREADS=1",
    "export MALLOC_TRIM_THRESHOLD_=268435456",
    "export MALLOC_MMAP_THRESHOLD_=33554432",
    "export DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=False",
    "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False",
    "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
    "export DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE=0.95",
    "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False",
]


def test_the_job_script_line_by_line(tmp_path: Path):
    settings = SlurmSettings(
        partition="long",
        account="eeg",
        walltime_h=2.5,
        interface="ib0",
        scratch="/scratch/my files",
        extra_directives=("--qos=normal",),
        prologue=("module load gcc", "source .venv/bin/activate"),
        python="/opt/py thon",
    )
    logs = tmp_path / "logs"
    assert script_of(settings, tmp_path) == [
        "#!/usr/bin/env bash",
        "",
        "#SBATCH -J eegpipe",
        f"#SBATCH -e {logs}/eegpipe-%J.err",
        f"#SBATCH -o {logs}/eegpipe-%J.out",
        "#SBATCH -p long",
        "#SBATCH -A eeg",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=1",
        # 2.5 GB of the worker and 0.5 GB around it
        f"#SBATCH --mem={math.ceil(3.0e9 / 2**20)}M",
        "#SBATCH -t 02:30:00",
        "#SBATCH --qos=normal",
        *EXPORTS,
        "module load gcc",
        "source .venv/bin/activate",
        "'/opt/py thon' -m distributed.cli.dask_worker tcp://10.0.0.1:4000 --name w --nthreads 1 "
        "--memory-limit 2.33GiB --nanny --death-timeout 60 --local-directory '/scratch/my files' --no-dashboard "
        "--interface ib0",
    ]


def test_a_job_of_several_processes_has_a_core_and_the_memory_for_each(tmp_path: Path):
    script = script_of(SlurmSettings(processes_per_job=8, memory_gb_per_process=4.0), tmp_path)
    assert "#SBATCH --cpus-per-task=8" in script
    assert f"#SBATCH --mem={math.ceil(32.5e9 / 2**20)}M" in script
    assert " --nthreads 1 --memory-limit 3.73GiB --nworkers 8 --nanny " in script[-1]
    assert script[-1].startswith(f"{sys.executable} -m ")
    assert not any(line.startswith(("#SBATCH -p", "#SBATCH -A")) for line in script)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    slurm.jobqueue()  # imported in the main thread
    fake = FakeSlurm(tmp_path)
    monkeypatch.setenv("PATH", f"{fake.programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in environment().items():
        if name != "PATH":
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "_ASK_S", 1.0)
    yield fake
    fake.end()


@pytest.fixture
def slurm_file(tmp_path: Path) -> str:
    file = tmp_path / "slurm.yaml"
    file.write_text(f"jobs: 2\ninterface: lo\nlogs: {tmp_path / 'logs'}\nscratch: {tmp_path / 'scratch'}\n")
    return f"slurm:{file}"


def test_slurm_cleans_with_a_killed_worker_and_a_dead_node(
    tmp_path: Path, fake_slurm: FakeSlurm, slurm_file: str, log: WorkLog
):
    source = write_source(tmp_path / "bids", ("01", "02", "03", "04", "05", "06"))
    clean_dataset(source, tmp_path / "undisturbed", SETTINGS, workers=1)
    log.path.unlink()

    cleaning = InBackground(clean_dataset, source, tmp_path / "clean", SETTINGS, scheduler=slurm_file)
    _, worker = wait(lambda: log.open_now(), 60)[0]
    dead = os.getsid(worker)
    kill(worker)
    # The other job as a whole, in the middle of a recording.
    node = wait(lambda: [session for session in sessions_at_work(log) if session != dead], 60)[0]
    kill_group(node)
    # What is left of the first job waits: alone it might be done with everything before the loss is noticed.
    os.killpg(dead, signal.SIGSTOP)
    wait(lambda: len(fake_slurm.scripts()) == 3, 60)  # two, and one in place of the dead one
    os.killpg(dead, signal.SIGCONT)
    outcomes = cleaning.end(120)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert snapshot(tmp_path / "clean") == snapshot(tmp_path / "undisturbed")
    assert len(log.started()) <= 6 + 2
    assert len(fake_slurm.scripts()) == 3
    wait(lambda: not fake_slurm.alive(), 5)
    assert "--protocol tls://" in fake_slurm.scripts()[0]  # nobody else's programs run on this scheduler
    assert not list((tmp_path / "logs").glob(".dask-jobqueue.*"))


def sessions_at_work(log: WorkLog) -> list[int]:
    found = []
    for _, process in log.open_now():
        with suppress(ProcessLookupError):
            found.append(os.getsid(process))
    return found


def test_slurm_with_two_processes_a_job(fake_slurm: FakeSlurm, slurm_file: str):
    with Path(slurm_file.removeprefix("slurm:")).open("a") as file:
        file.write("processes_per_job: 2\n")
    jobs = [Job(f"job-{number}", {"seconds": 1.0}) for number in range(6)]
    outcomes = run(who, jobs, title="", scheduler=slurm_file)
    assert len({outcome.row["process"] for outcome in outcomes}) > 2
    assert {tuple(outcome.row["threads"]) for outcome in outcomes} == {(1,)}
    assert {outcome.row["trim"] for outcome in outcomes} == {str(256 * 2**20)}
    assert len(fake_slurm.scripts()) == 2
    wait(lambda: not fake_slurm.alive(), 5)


def who(seconds: float) -> tuple[str, dict]:
    from threadpoolctl import threadpool_info

    time.sleep(seconds)
    threads = sorted({pool["num_threads"] for pool in threadpool_info()})
    return "done", {"process": os.getpid(), "threads": threads, "trim": os.environ["MALLOC_TRIM_THRESHOLD_"]}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_slurm_jobs_end_with_the_run(tmp_path: Path, fake_slurm: FakeSlurm, slurm_file: str, end: signal.Signals):
    """Ctrl-C cancels them; after a kill -9 they find no scheduler and end themselves."""
    program = (
        "import sys; from pathlib import Path; import test_cluster as t\n"
        "try: t.run(t.brief, t.briefs(Path(sys.argv[1]), 4, 30.0), title='', scheduler=sys.argv[2])\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out"), slurm_file],
        stdout=-1,
        stderr=-1,
        text=True,
        start_new_session=True,
    )
    # Two workers connected: what they say on standard error goes to the logs.
    wait(lambda: sum("Registered to" in path.read_text() for path in (tmp_path / "logs").glob("*.err")) == 2)
    time.sleep(1.0)
    os.killpg(process.pid, end)
    output, errors = process.communicate(timeout=30)
    if end == signal.SIGINT:
        assert output == "stopped\n"
        assert "Traceback" not in errors
        wait(lambda: not fake_slurm.alive(), 5)
        assert sorted((fake_slurm.folder / "cancelled").read_text().split()) == ["1", "2"]
    else:
        wait(lambda: not fake_slurm.alive(), 25)  # before a recording would be finished
    assert not list((tmp_path / "out").iterdir())


def test_slurm_jobs_are_cancelled_after_an_error(
    tmp_path: Path, fake_slurm: FakeSlurm, slurm_file: str, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(slurm, "refuse_unfit", broken)
    with pytest.raises(RuntimeError, match="no such thing"):
        run(brief, briefs(tmp_path, 4), title="", scheduler=slurm_file)
    assert len(fake_slurm.scripts()) == 2
    wait(lambda: not fake_slurm.alive(), 5)


def test_what_sbatch_refuses_is_told(tmp_path: Path, fake_slurm: FakeSlurm, slurm_file: str, capfd):
    fake_slurm.refuse()
    with pytest.raises(UsageProblem, match=r"Slurm took no job\. sbatch said: .*invalid partition specified: nowhere"):
        run(brief, briefs(tmp_path, 4), title="", scheduler=slurm_file)
    assert capfd.readouterr().err == ""


def test_jobs_that_end_at_once_are_not_submitted_for_ever(
    tmp_path: Path, fake_slurm: FakeSlurm, slurm_file: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(slurm, "_ASK_S", 0.2)
    fake_slurm.dead_on_arrival()
    with pytest.raises(UsageProblem, match=r"[34] jobs of Slurm ended and no worker came.*module: command not found"):
        run(brief, briefs(tmp_path, 4), title="", scheduler=slurm_file)
    assert len(fake_slurm.scripts()) <= 6


def test_slurm_needs_its_programs_and_dask_jobqueue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageProblem, match="no program sbatch here"):
        run(brief, briefs(tmp_path, 1), title="", scheduler="slurm")
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with pytest.raises(UsageProblem, match=r"pip install 'eegpipe\[slurm\]'"):
        run(brief, briefs(tmp_path, 1), title="", scheduler="slurm")
