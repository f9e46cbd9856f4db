"""What every stage script shares: settings in, problems out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from threadpoolctl import threadpool_limits

from eegpipe.errors import UsageProblem
from eegpipe.params import load
from eegpipe.runtime import Runtime
from eegpipe.terminal import exit_code


def run(main: Callable[..., int | None], *arguments: str) -> None:
    """Call ``main(params, runtime, *arguments)``; exit 0 if good, 1 for a problem with data, 2 for wrong settings.

    NumPy's products get one thread, in processes that are started too. Stages that can use more cores use processes,
    and with a thread a core in each these wait for one another: a pre-training of mdJPT took twice as long.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    threadpool_limits(1, user_api="blas")
    sys.exit(exit_code(lambda: main(load(Path("params.yaml")), Runtime.from_environment(), *arguments)))


def existing(path: str, what: str) -> Path:
    """``path``, or a :class:`UsageProblem` that says what should be there."""
    if not Path(path).exists():
        raise UsageProblem(f"{path}: does not exist, expected {what}.")
    return Path(path)
