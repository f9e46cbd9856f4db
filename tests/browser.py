"""A headless browser, where the machine has one: what a script finds in a page of a given width."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no headless browser on this machine")

# The page lies in a frame, because a window cannot be as narrow as a phone, and as its `srcdoc`, because then the
# script may write into the document around it. That one has loaded once the frame has, images and all, so nothing
# here waits for a time: not the real one, nor the browser's virtual one, which runs out on a busy machine.
_FRAME = """<!doctype html><body>
<iframe srcdoc="{page}" style="width:{width}px;height:800px;border:0"></iframe></body>"""
_SCRIPT = """<script>{before};
addEventListener('load', () => {{ parent.document.body.dataset.found = JSON.stringify((() => {{ {found} }})()) }})
</script></body>"""


def look(page: str, found: str, folder: Path, *, width: int, before: str = "") -> tuple[Any, list[str]]:
    """What the body ``found`` of a function returns in ``page`` once it has loaded, and the lines of its console.

    Args:
        page: HTML with an end of its body.
        found: statements of JavaScript that return something JSON can hold.
        folder: an empty one, for the browser's profile and the page.
        width: of the page, in pixels.
        before: statements that run at the end of the page, before it has loaded.
    """
    assert BROWSER is not None
    page = page.replace("</body>", _SCRIPT.format(before=before, found=found))
    (folder / "frame.html").write_text(_FRAME.format(page=html.escape(page), width=width), encoding="utf-8")
    made = subprocess.run(
        [
            *(
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
            ),
            *("--disable-sync", "--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}"),
            *(f"--window-size={width + 40},900", "--dump-dom", (folder / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    measured = re.search(r'<body data-found="([^"]*)"', made.stdout)
    assert measured, made.stderr[-500:]
    return json.loads(html.unescape(measured[1])), [line for line in made.stderr.splitlines() if "CONSOLE" in line]
