"""EmoEEG-MC: what both of its forms share - channels, stimuli, clip lengths, ratings, and where its folders lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eegpipe.datasets.folders import find_folder

SUBJECT = re.compile(r"sub-([0-9]{2})")
FOLDERS = ("ds005540", "ds005540-download", "emoeeg_mc", "emoeeg-mc", "on005540", "1.0.7")
CURE = "Download the file again: openneuro.org/datasets/ds005540."
IMAGERY, VIDEO = "ima", "vid"
CONTEXTS = {IMAGERY: "imagery", VIDEO: "video"}

_ORDER = (
    "Fp1 Fpz Fp2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 "
    "C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2 F9 F10 TP9 TP10"
)
CHANNELS = tuple(_ORDER.split())
TRIGGERS = 4  # further channels of the raw files, whose names are not published

_WORDS = {
    "sad": "sadness", "dis": "disgust", "fear": "fear", "neu": "neutral", "joy": "joy", "ten": "tenderness",
    "ins": "inspiration",
}  # fmt: skip
# In the order of the reordered files; the same names stand for 21 films and for 21 imagined scenes.
STIMULI = tuple(f"{start}{number}" for start in _WORDS for number in (4, 5, 8))
LABELS = tuple(_WORDS.values())

# Seconds of each film between its first mark and the rating, from the event tables of an early release (within 1 s in
# all subjects whose tables were compared).
CLIP_S: Mapping[str, float] = {
    "sad4": 74.0, "sad5": 109.5, "sad8": 72.7, "dis4": 72.9, "dis5": 81.5, "dis8": 255.0, "fear4": 83.8,
    "fear5": 91.4, "fear8": 98.3, "neu4": 106.4, "neu5": 104.6, "neu8": 112.0, "joy4": 58.0, "joy5": 121.7,
    "joy8": 100.6, "ten4": 115.8, "ten5": 65.9, "ten8": 111.4, "ins4": 116.6, "ins5": 108.0, "ins8": 67.1,
}  # fmt: skip
# Imagined scenes end when the person presses a button: about a minute, not asserted.
IMAGERY_S = 60.0

SCALE = (0.0, 7.0)
RATINGS = (
    "joy", "inspiration", "tenderness", "sadness", "fear", "disgust", "arousal", "valence", "familiarity", "liking",
)  # fmt: skip


def label(stimulus: str) -> str:
    """``"sadness"`` of ``"sad4"``."""
    return _WORDS[stimulus.rstrip("458")]


def find_root(root: Path) -> Path | None:
    """The folder of the data set that holds ``sub-02`` and so on, whichever end of it the user named."""
    folder = find_folder(root, SUBJECT, FOLDERS)
    if folder is None:
        below = find_folder(root, SUBJECT, (*FOLDERS, "derivatives"))
        folder = below if below is None or below == root else below.parent
    if folder is not None and folder.name == "derivatives":
        folder = folder.resolve().parent
    return folder


def readme(root: Path) -> str | None:
    """The name of the data set's README, as this release spells it."""
    names = {file.name.lower(): file.name for file in root.iterdir() if file.is_file()}
    return next((names[name] for name in ("readme.md", "readme", "readme.txt") if name in names), None)
