"""Settings of the machine, not of the result: how many workers, which cluster, which device.

They must not change any output, so they are no parameters of the pipeline: DVC never sees them. The command line takes
them as options, the pipeline's stages from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from eegpipe.errors import UsageProblem


@dataclass(frozen=True)
class Runtime:
    """workers: processes on this machine (None: as many as cores and memory allow). scheduler: address of a running
    Dask cluster, ``tcp://host:8786``. device: torch's name, ``cpu``, ``cuda``, ``cuda:1``."""

    workers: int | None = None
    scheduler: str | None = None
    device: str = "cpu"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Runtime:
        """From EEGPIPE_WORKERS, EEGPIPE_SCHEDULER and EEGPIPE_DEVICE."""
        workers = environment.get("EEGPIPE_WORKERS") or None
        if workers is not None and not (workers.isdecimal() and int(workers) > 0):
            raise UsageProblem(f"EEGPIPE_WORKERS: found '{workers}', expected a whole number of at least 1.")
        return cls(
            workers=int(workers) if workers else None,
            scheduler=environment.get("EEGPIPE_SCHEDULER") or None,
            device=environment.get("EEGPIPE_DEVICE") or "cpu",
        )
