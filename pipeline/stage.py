"""What every stage script shares: settings in, problems out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from eegpipe.errors import UsageProblem
from eegpipe.params import load
from eegpipe.runtime import Runtime
from eegpipe.terminal import exit_code


def run(main: Callable[..., int | None], *arguments: str) -> None:
    """Call ``main(params, runtime, *arguments)``; exit 0 if good, 1 for a problem with data, 2 for wrong settings."""
    sys.exit(exit_code(lambda: main(load(Path("params.yaml")), Runtime.from_environment(), *arguments)))


def existing(path: str, what: str) -> Path:
    """``path``, or a :class:`UsageProblem` that says what should be there."""
    if not Path(path).exists():
        raise UsageProblem(f"{path}: does not exist, expected {what}.")
    return Path(path)
