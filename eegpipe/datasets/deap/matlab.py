"""DEAP, variant data_preprocessed_matlab: one MATLAB file a person, the variables ``data`` and ``labels``."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from eegpipe.datasets.base import Discovery, RecordingEntry
from eegpipe.datasets.deap import experiment
from eegpipe.datasets.deap.preprocessed import FACTS, checked, recording, shapes
from eegpipe.datasets.formats.matlab import read_variable
from eegpipe.recording import Recording

TREE = """\
DEAP/
  data_preprocessed_matlab/s01.mat ... s32.mat   (an archive may unpack to this folder twice)
  metadata_csv/participant_ratings.csv           (familiarity, if there)
  metadata_csv/participant_questionnaire.csv     (sex and age, if there)"""
_FILE = re.compile(r"s([0-9]{2})\.mat")
_FOLDER = "data_preprocessed_matlab"
_CURE = "Copy the file from the vendor's data_preprocessed_matlab again."


def recognise(root: Path) -> bool:
    return experiment.find_recordings(root, _FILE, _FOLDER) is not None


def discover(root: Path) -> Discovery:
    return experiment.discover(root, FACTS, _FILE, "mat", _FOLDER, needs_ratings=False)


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts, file = FACTS.expected(root), entry.files[0]
    data, labels = (
        checked(_floats(read_variable(root / file, file, key, largest=_room(shape))), key, shape, file, _CURE)
        for key, shape in shapes(facts).items()
    )
    # MATLAB runs through the trials first: one copy, or every trial would walk through all the memory.
    return recording(root, entry, facts, np.ascontiguousarray(data), labels, _CURE)


def _room(shape: tuple[int, ...]) -> int:
    """Bytes of an array of float64 with its head."""
    return 8 * math.prod(shape) + 4096


def _floats(value: object) -> object:
    """MATLAB stores an array of doubles in less room where all its numbers are whole."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else value
