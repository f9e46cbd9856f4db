"""DEAP, variant data_preprocessed_python: one Python 2 pickle a person, a dict of ``data`` and ``labels``."""

from __future__ import annotations

import math
import re
from pathlib import Path

from eegpipe.datasets.base import Discovery, RecordingEntry
from eegpipe.datasets.deap import experiment
from eegpipe.datasets.deap.preprocessed import FACTS, checked, recording, shapes
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

TREE = """\
DEAP/
  data_preprocessed_python/s01.dat ... s32.dat   (an archive may unpack to this folder twice)
  metadata_csv/participant_ratings.csv           (familiarity, if there)
  metadata_csv/participant_questionnaire.csv     (sex and age, if there)"""
_FILE = re.compile(r"s([0-9]{2})\.dat")
_FOLDER = "data_preprocessed_python"
_CURE = "Copy the file from the vendor's data_preprocessed_python again."


def recognise(root: Path) -> bool:
    return experiment.find_recordings(root, _FILE, _FOLDER) is not None


def discover(root: Path) -> Discovery:
    return experiment.discover(root, FACTS, _FILE, "dat", _FOLDER, needs_ratings=False)


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts, file = FACTS.expected(root), entry.files[0]
    wanted = shapes(facts)
    # Protocol 0 writes a byte in up to four characters.
    content = read_pickle(root / file, file, largest=5 * math.prod(wanted["data"]) * 8 + 2**20)
    if not isinstance(content, dict) or not wanted.keys() <= content.keys():
        names = f"the keys {numbers_text(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        raise DataProblem(file, names, "a dict with 'data' and 'labels'", _CURE)
    data, labels = (checked(content[key], key, shape, file, _CURE) for key, shape in wanted.items())
    return recording(root, entry, facts, data, labels, _CURE)
