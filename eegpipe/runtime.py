"""Settings of the machine, not of the result: how many workers and processes, which cluster, which device.

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
    Dask cluster, ``tcp://host:8786``, or ``slurm`` or ``slurm:FILE.yaml`` for jobs of Slurm. device: torch's name,
    ``cpu``, ``cuda``, ``cuda:1``. processes: that share one pre-training (docs/training.md); None: one, but on a CPU as
    many as cores, if they can share the draws of a step evenly."""

    workers: int | None = None
    scheduler: str | None = None
    device: str = "cpu"
    processes: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Runtime:
        """From EEGPIPE_WORKERS, EEGPIPE_SCHEDULER, EEGPIPE_DEVICE and EEGPIPE_PROCESSES."""
        return cls(
            workers=_count(environment, "EEGPIPE_WORKERS"),
            scheduler=environment.get("EEGPIPE_SCHEDULER") or None,
            device=environment.get("EEGPIPE_DEVICE") or "cpu",
            processes=_count(environment, "EEGPIPE_PROCESSES"),
        )


def _count(environment: Mapping[str, str], name: str) -> int | None:
    asked = environment.get(name) or None
    if asked is not None and not (asked.isdecimal() and int(asked) > 0):
        raise UsageProblem(f"{name}: found '{asked}', expected a whole number of at least 1.")
    return int(asked) if asked else None


def dashboard_address(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where the scheduler that eegpipe starts shall show Dask's dashboard: EEGPIPE_DASHBOARD, a port or host:port.

    None: nowhere, the default. A port alone is open to this machine only.
    """
    asked = environment.get("EEGPIPE_DASHBOARD") or None
    if asked is None:
        return None
    host, _, port = asked.rpartition(":")
    if not (port.isdecimal() and int(port) < 65536):
        raise UsageProblem(f"EEGPIPE_DASHBOARD: found '{asked}', expected a port or host:port, such as 8787.")
    return f"{host or '127.0.0.1'}:{port}"
