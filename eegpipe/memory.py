"""How much memory the signals of a training may take: what the user says, else half of what is free.

A setting of the machine: whether a signal lies in memory or is read from a file changes no result.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from eegpipe.errors import UsageProblem

# The rest is for the network, the batches and whatever else runs.
_SHARE = 0.5
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def allowed_bytes(environment: Mapping[str, str] = os.environ) -> int:
    """Bytes of signal that this process may hold in memory.

    ``EEGPIPE_MEMORY``, such as ``8GB`` or ``500MB``, or half of the free memory; divided among the processes of one
    training on this machine.

    Raises
    ------
    UsageProblem
        The variable is no amount of memory.
    """
    asked = environment.get("EEGPIPE_MEMORY") or None
    total = free_bytes() * _SHARE if asked is None else _amount(asked)
    return int(total / int(environment.get("LOCAL_WORLD_SIZE") or environment.get("WORLD_SIZE") or 1))


def _amount(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]B)", text.strip())
    if not found:
        raise UsageProblem(f"EEGPIPE_MEMORY: found '{text}', expected an amount such as 500MB or 8GB.")
    return float(found[1]) * _UNITS[found[2]]


def free_bytes() -> int:
    """Memory that can be had without swapping: of the machine, or of the control group if it leaves less (a container,
    a job of Slurm)."""
    return min(_free_in_machine(), *_free_in_groups())


def _free_in_machine() -> int:
    facts = Path("/proc/meminfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Other systems do not tell: a quarter of all, of which half may be taken.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def _free_in_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What is left under the limit of each control group around this process; without limits one very large number."""
    yield 2**63
    if not own.is_file():
        return
    for line in own.read_text().splitlines():
        _, controllers, inside = line.split(":", 2)
        if controllers == "":  # version 2
            place, limit, used, cached = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            place, limit, used, cached = (
                root / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        folder = place / inside.lstrip("/")
        while folder != place.parent:
            try:
                most = (folder / limit).read_text().strip()
                taken = int((folder / used).read_text())
                # What is only cached of files goes when memory is needed.
                facts = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
                if most != "max":
                    yield max(0, int(most) - taken + int(facts.get(cached, 0)))
            except (OSError, ValueError):  # no such group in this view of the file system
                pass
            folder = folder.parent
