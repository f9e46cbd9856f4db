"""Makes ``typer eegpipe inspect PATH`` work.

Typer's own runner wants ``typer MODULE run COMMAND``: it imports the module named first, then adds the app that it
finds there to its command group, as the one command ``run``. This module is imported by ``eegpipe/__init__.py`` only
when that runner has imported the package, and wraps the group's ``add_command`` so that the sub-commands of ``run`` are
also registered beside it. The class is private to Typer; ``tests/test_cli.py`` runs the literal command.
"""

from __future__ import annotations

import sys
from typing import Any

from eegpipe.cli import app

__all__ = ["app"]


def _install(group_class: Any) -> None:
    add_command = group_class.add_command

    def add_command_and_its_children(group: Any, command: Any, name: str | None = None) -> None:
        add_command(group, command, name)
        for child_name, child in getattr(command, "commands", {}).items():
            if child_name not in group.commands:
                add_command(group, child, child_name)

    group_class.add_command = add_command_and_its_children


_install(sys.modules["typer.cli"].TyperCLIGroup)
