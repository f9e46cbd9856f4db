"""The published reference arrays of a method, where they are at hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest


@cache
def oracle(file: str) -> dict[str, np.ndarray]:
    """The arrays of a file such as ``"emod_small.npz"``; the test is skipped without it."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("EEGPIPE_ORACLE", root.parent / "shared" / "methods" / "oracle"))
    if not (folder / file).is_file():
        pytest.skip(f"no reference arrays: set EEGPIPE_ORACLE to the folder that holds {file}")
    return dict(np.load(folder / file))
