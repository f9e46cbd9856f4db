"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real, openly licensed recordings; tests that need it are skipped where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "realdata"
    folder = Path(os.environ.get("EEGPIPE_REALDATA", beside))
    if not (folder / "physionet_eegmat").is_dir():
        pytest.skip("no real recordings: set EEGPIPE_REALDATA to a folder that holds physionet_eegmat/")
    return folder
