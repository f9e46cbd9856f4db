"""What every stage script shares: settings in, problems out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.params import Params, load
from eegpipe.runtime import Runtime


def run(main: Callable[..., int | None], *arguments: str) -> None:
    """Call ``main(params, runtime, *arguments)``; exit 0 if good, 1 for a problem with data, 2 for wrong settings."""
    try:
        params: Params = load(Path("params.yaml"))
        code = main(params, Runtime.from_environment(), *arguments)
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        code = 1
    except UsageProblem as problem:
        print(problem, file=sys.stderr)
        code = 2
    sys.exit(code or 0)


def existing(path: str, what: str) -> Path:
    """``path``, or a :class:`UsageProblem` that says what should be there."""
    if not Path(path).exists():
        raise UsageProblem(f"{path}: does not exist, expected {what}.")
    return Path(path)
