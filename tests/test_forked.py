"""A function over items in copies of a process: same results, errors that come through, no process that stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eegpipe import forked
from eegpipe.errors import DataProblem, UsageProblem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_results_are_in_order_and_each_item_is_done_once(workers):
    values = np.arange(7.0)
    done = []
    results = forked.in_order(lambda number: (values[number] ** 2, os.getpid()), 7, workers, lambda: done.append(1))
    assert [result for result, _ in results] == [number**2 for number in range(7)]
    assert len({process for _, process in results}) == min(workers, 7)
    assert len(done) == 7


def test_no_item_is_no_work():
    assert forked.in_order(lambda _: 1 / 0, 0, 2) == []


def test_what_is_raised_comes_through():
    problem = DataProblem("here", "this", "that", "Do it.")

    def fails(number):
        if number == 3:
            raise problem
        return number

    with pytest.raises(DataProblem, match=r"here: found this, expected that\. Do it\."):
        forked.in_order(fails, 8, 2)


def test_what_cannot_be_sent_comes_through_in_words():
    class Local(Exception):
        pass

    def fails(_):
        raise Local("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        forked.in_order(fails, 2, 2)


def test_a_process_that_is_killed_is_told():
    def killed(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(UsageProblem, match="EEGPIPE_WORKERS=1"):
        forked.in_order(killed, 4, 2)


def test_copies_end_when_the_first_process_is_killed():
    script = (
        "import os, time; from eegpipe import forked\n"
        "def item(number):\n"
        "    os.write(1, b'%d\\n' % os.getpid()); time.sleep(0.2); return number\n"
        "forked.in_order(item, 10_000, 2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        pids: set[int] = set()
        while len(pids) < 2:
            pids.add(int(process.stdout.readline()))
        process.kill()
    for _ in range(100):
        if not any(_runs(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {pids}")


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
