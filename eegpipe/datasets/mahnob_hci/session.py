"""``session.xml`` of MAHNOB-HCI: attributes of one element, and the number of the subject.

Read with the bare expat parser. A document type is refused where it begins, so that no entity is ever declared and
nothing can be expanded or fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from eegpipe.errors import DataProblem

_LARGEST = 2**20
_CURE = "Download the session again from mahnob-db.eu/hci-tagging."


@dataclass(frozen=True)
class Session:
    """``media``: the clip's file name without ``.avi``; None: not given."""

    where: str
    attributes: Mapping[str, str]
    subject: int | None
    media: str | None

    def whole(self, attribute: str) -> int | None:
        """A whole number; None if the attribute is absent or empty."""
        text = self.attributes.get(attribute, "").strip()
        if not text:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise DataProblem(f"{self.where}: {attribute}", repr(text[:40]), "a whole number", _CURE)
        return int(text)


class _RefusedError(Exception):
    """What the document holds that a session does not."""


def read_session(path: Path, where: str) -> Session:
    """Read one description; anything but a plain ``<session>`` element is a :class:`DataProblem`."""
    size = path.stat().st_size
    if size > _LARGEST:
        raise DataProblem(where, f"{size} bytes", "a small XML file", _CURE)
    elements: list[tuple[str, dict[str, str]]] = []

    def doctype(*_: object) -> None:
        raise _RefusedError("a document type")

    def element(name: str, attributes: dict[str, str]) -> None:
        elements.append((name, attributes))

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = element
    try:
        parser.Parse(path.read_bytes(), True)
    except (_RefusedError, expat.ExpatError, ValueError, LookupError) as error:
        raise DataProblem(where, f"no plain XML ({str(error)[:200]})", "a <session> element", _CURE) from None
    name, attributes = elements[0]
    if name != "session":
        raise DataProblem(where, f"<{name[:40]}>", "a <session> element", _CURE)
    subjects = [found.get("id", "") for tag, found in elements if tag == "subject"]
    subject = int(subjects[0]) if subjects and re.fullmatch("[0-9]{1,3}", subjects[0]) else None
    media = attributes.get("mediaFile", "").strip()
    return Session(where, attributes, subject, re.sub(r"(?i)\.avi$", "", media) or None)
