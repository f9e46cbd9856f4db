"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell in the background starts programs deaf to Ctrl-C, and they would hand that on to those that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Minutes each, in one process; last, they would have it to themselves.
LONGEST = ("test_pipeline.py", "test_corpus.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest first, then those with most tests: two processes end at about the same time."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONGEST, -tests[item.path], item.path))


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real, openly licensed recordings; tests that need it are skipped where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "realdata"
    folder = Path(os.environ.get("EEGPIPE_REALDATA", beside))
    if not (folder / "physionet_eegmat").is_dir():
        pytest.skip("no real recordings: set EEGPIPE_REALDATA to a folder that holds physionet_eegmat/")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_on_the_disk(tmp_path_factory) -> Iterator[None]:
    """The files of a test file go when it is done; together they would be 20 GB."""
    yield
    for path in tmp_path_factory.getbasetemp().iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
