"""Twenty kills in one cleaning: what is finished is never done again, and the end is as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from test_clean_stage import DREAMER, snapshot

from eegpipe import bids
from eegpipe.clean.settings import CleanSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.recording import Event, RecordingId

from clean_synthetic import MONTAGE_14, planted
from cluster_processes import WorkLog, kill, kill_group, members, wait

RECORDINGS = 12
DURATION_S = 150.0
KILLS = 20
WORKERS = 2
# The last moment of a kill after the first recording of a run has begun; a recording takes somewhat longer, so that
# runs with a worker that starts anew do not finish too many.
LATEST_S = 0.7


def write_source(root: Path) -> Path:
    for subject in range(1, RECORDINGS + 1):
        recording = planted(MONTAGE_14, rate_hz=128.0, duration_s=DURATION_S, seed=subject).recording
        recording.id = RecordingId(f"{subject:02}")
        recording.events = [Event(1.0, 30.0, "stimulus", trial=1, stimulus="dreamer/01", label="calmness")]
        bids.write_recording(recording, root)
    bids.write_root(root, about=DREAMER.about(simulated=True))
    return root


class Nursery:
    """A process with everything imported; a run of the cleaning is a fork of it, so that a restart costs no imports.

    Each child is the leader of a session, as a command that a shell started.
    """

    def __init__(self, source: Path, out: Path, log: Path) -> None:
        program = (
            "import os, sys, traceback; from pathlib import Path\n"
            "import cluster_processes, distributed, mne, scipy.signal, onnxruntime\n"
            "import eegpipe.clean.chain, eegpipe.clean.page, eegpipe.parallel\n"
            "from eegpipe.clean.settings import CleanSettings\n"
            "from eegpipe.clean.stage import clean_dataset\n"
            "source, out, log = map(Path, sys.argv[1:4])\n"
            "cluster_processes.log_work(log)\n"
            "for line in sys.stdin:\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        os.setsid()\n"
            "        try:\n"
            "            outcomes = clean_dataset(source, out, CleanSettings(), workers=int(line))\n"
            "            status = int(any(one.status == 'failed' for one in outcomes))\n"
            "        except BaseException:\n"
            "            traceback.print_exc(); status = 3\n"
            "        os._exit(status)\n"
            "    print(child, flush=True)\n"
            "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        )
        paths = os.pathsep.join([str(Path(__file__).parent.parent), str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, source, out, log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )

    def start(self) -> int:
        """Begin a run; its process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{WORKERS}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def ended(self) -> int:
        """Wait for the run; its exit status, negative for a signal."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path):
    source, out = write_source(tmp_path / "bids"), tmp_path / "clean"
    clean_dataset(source, tmp_path / "undisturbed", CleanSettings(), workers=WORKERS)
    log, moments = WorkLog(tmp_path / "work.log"), random.Random(20)
    nursery = Nursery(source, out, log.path)
    kills = 0
    in_work = 0
    finished: dict[str, tuple[int, int]] = {}
    try:
        while kills < KILLS:
            main = nursery.start()
            # First a worker dies, in a recording; then, later in the same run, all of it.
            for victim in ("worker", "run"):
                seen = len(log.started())
                _until(lambda: len(log.started()) > seen, main)  # noqa: B023
                # While there is enough to do, at any moment; at last before anything more is finished.
                enough = RECORDINGS - len(finished) // 2 > (KILLS - kills) // 2 + 1
                _pause(moments.uniform(0, LATEST_S) if enough else 0.0)
                if victim == "worker":
                    _until(lambda: _at_work(log), main)
                    if working := _at_work(log):
                        kill(moments.choice(working))
                        kills += 1
                elif _alive(main):
                    in_work += bool(_at_work(log))
                    kill_group(main)
                    kills += 1
            status = nursery.ended()
            assert status in (0, -signal.SIGKILL)
            wait(lambda: not members(main))  # noqa: B023 (workers whose run is gone end by themselves)
            _check_untouched(finished, out)
            finished |= _finished(out)
            if status == 0:
                break
        started_before_the_end = len(log.started())
        main = nursery.start()
        assert nursery.ended() == 0
    finally:
        nursery.close()
    _check_untouched(finished, out)
    assert kills == KILLS
    assert in_work >= KILLS // 4  # beside the workers, which were all killed in a recording
    assert snapshot(out) == snapshot(tmp_path / "undisturbed")
    # Nothing is begun but what is not finished: each kill costs at most what each worker had in hands.
    assert started_before_the_end > RECORDINGS
    assert len(log.started()) <= RECORDINGS + KILLS * WORKERS
    again = clean_dataset(source, out, CleanSettings(), workers=1)
    assert [outcome.status for outcome in again] == ["kept"] * RECORDINGS


def _at_work(log: WorkLog) -> list[int]:
    return [process for _, process in log.open_now() if _alive(process)]


def _until(condition: Callable[[], object], main: int) -> None:
    """Until the condition holds or the run is over."""
    wait(lambda: condition() or not _alive(main), 60, step_s=0.02)


def _pause(seconds: float) -> None:
    with suppress(AssertionError):
        wait(lambda: False, seconds, step_s=0.01)


def _alive(process: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def _finished(out: Path) -> dict[str, tuple[int, int]]:
    """Signal file and record of each finished recording: which file it is, and when it was written."""
    found = {}
    for record in out.glob("sub-*/eeg/*_eeg.json"):
        for path in (record, record.with_suffix(".eeg")):
            found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def _check_untouched(finished: dict[str, tuple[int, int]], out: Path) -> None:
    now = _finished(out)
    assert {name: now.get(name) for name in finished} == finished
