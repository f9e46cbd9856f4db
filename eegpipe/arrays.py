"""One digest for several arrays, whatever file they lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and values; not over a file's bytes, which depend on the version of zlib."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name}\t{values.dtype.str}\t{values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()
