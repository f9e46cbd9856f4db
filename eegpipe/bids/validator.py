"""The official BIDS validator, run on a folder. It works offline: the schema is inside the program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eegpipe.errors import UsageProblem

_PROGRAM = "bids-validator-deno"


@dataclass(frozen=True)
class Finding:
    """One remark of the validator. ``where`` is the file relative to the folder, ``message`` what it says about it."""

    severity: Literal["error", "warning"]
    code: str
    where: str
    message: str = ""


def validate(root: str | Path) -> list[Finding]:
    """What the official validator finds in a BIDS folder: errors first, then warnings; empty if there is nothing.

    Raises
    ------
    UsageProblem
        If there is no such folder, or the validator is not installed or does not work.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageProblem(f"There is no folder {root}.")
    # Beside this Python first: a virtual environment that is not activated is not on the path.
    program = shutil.which(_PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(_PROGRAM)
    if program is None:
        raise UsageProblem(f"The BIDS validator is not installed. Run 'pip install {_PROGRAM}'.")
    command = [program, str(root.absolute()), "--format", "json"]
    finished = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    try:
        issues = json.loads(finished.stdout)["issues"]
    except (ValueError, KeyError):
        said = (finished.stderr or finished.stdout).strip().splitlines()
        raise UsageProblem(
            f"The BIDS validator gave no answer (exit code {finished.returncode}: {said[-1] if said else 'no words'}). "
            f"Install it again: 'pip install --force-reinstall {_PROGRAM}'."
        ) from None
    findings = [_finding(issue, issues.get("codeMessages", {})) for issue in issues["issues"]]
    return sorted((finding for finding in findings if finding), key=lambda f: (f.severity, f.code, f.where, f.message))


def _finding(issue: dict, messages: dict) -> Finding | None:
    if issue.get("severity") not in ("error", "warning"):
        return None
    code = ": ".join(filter(None, (issue["code"], issue.get("subCode"))))
    message = issue.get("issueMessage") or messages.get(issue["code"], "")
    return Finding(issue["severity"], code, str(issue.get("location", "")).lstrip("/"), message.strip())
