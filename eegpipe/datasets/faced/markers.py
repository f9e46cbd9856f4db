"""FACED's markers (``evt.bdf``): which of them are clips.

A clip is the number of a video (1-28), then 101 (start), then 102 (end). Some recordings hold markers of another task
too, a start without a video, texts, and more or fewer of the markers around the experiment (100, 201, 202): none of
these is used to find a clip.
"""

from __future__ import annotations

import re
from pathlib import Path

from eegpipe.datasets.faced.clips import Presented
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.edf import Annotation
from eegpipe.errors import DataProblem

_VIDEOS = range(1, 29)
_START, _END = 101, 102
# Markers of the experiment that say nothing about clips: its beginning (100), and about 35 s before and after it.
_AROUND = (100, 201, 202)
# What another release of early recordings of the same laboratory (THU-EP) holds instead.
_OTHER_RELEASE = range(240, 252)
_CURE = "Copy the file from the vendor's archive again."

_LABEL = b"BDF Annotations"
_MOST_SIGNALS = 4  # in the header; there are two
_LARGEST = 16 * 2**20
# EDF+'s time-stamped annotation: onset, duration or none, texts.
_STAMP = re.compile(rb"([+-][0-9]{1,6}(?:\.[0-9]{0,9})?)(?:\x15[0-9.]{0,16})?\x14([^\0]{0,200}?)\x14\0")


def read_markers(path: Path, where: str) -> list[Annotation]:
    """All annotations of ``evt.bdf``, in order of time.

    They are looked for in the whole file, as other software does: how its data records are laid out is not known. What
    is damaged or missing shows in the clips, each of which must be there.
    """
    size = path.stat().st_size
    content = path.read_bytes() if size <= _LARGEST else b""
    if not content.startswith(b"\xffBIOSEMI") or _LABEL not in content[: 256 * _MOST_SIGNALS]:
        found = f"{size} bytes" + (" that begin otherwise" if size else "")
        raise DataProblem(where, found, f"a BDF file with '{_LABEL.decode()}', about 40 kB", _CURE)
    found_at = []
    for match in _STAMP.finditer(content):
        for text in match[2].decode("utf-8", errors="replace").split("\x14"):
            if text:
                found_at.append(Annotation(float(match[1]), 0.0, text))
    return sorted(found_at, key=lambda one: one.onset_s)


def clips(markers: list[Annotation], where: str) -> tuple[list[Presented], list[str]]:
    """The clips in order of time, and one note about markers that were not used, if any is unusual.

    A start counts only right after the number of a video, an end only right after that start; texts are passed over.
    """
    texts = [one.text.strip() for one in markers]
    codes = [
        (int(text), one.onset_s) for text, one in zip(texts, markers, strict=True) if re.fullmatch(r"[0-9]{1,4}", text)
    ]
    found: list[Presented] = []
    used: set[int] = set()
    for index in range(len(codes) - 2):
        (video, _), (start, start_s), (end, end_s) = codes[index : index + 3]
        if video in _VIDEOS and start == _START and end == _END:
            found.append(Presented(video, start_s, round(end_s - start_s, 6)))
            used.update((index, index + 1, index + 2))
    others = [code for index, (code, _) in enumerate(codes) if index not in used and code not in _AROUND]
    if not found and any(code in _OTHER_RELEASE for code in others):
        numbers = numbers_text(sorted(set(others)))
        cure = "This is the release THU-EP, which eegpipe does not read; take FACED's own files."
        raise DataProblem(f"{where}: markers of another release", f"the markers {numbers}", "1-28, 101 and 102", cure)
    words = sorted({"".join(filter(str.isprintable, text))[:40] for text in texts if not text.isdecimal()})
    ignored = [f"{len(others)} markers that belong to no clip ({numbers_text(sorted(set(others)))})"] if others else []
    if words:
        count = sum(not text.isdecimal() for text in texts)
        ignored.append(f"{count} texts ({numbers_text(repr(word) for word in words)})")
    return found, [f"Not used: {' and '.join(ignored)}."] if ignored else []
