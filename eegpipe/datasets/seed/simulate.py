"""SEED, simulated: its experiment, and ``Preprocessed_EEG`` (a MAT file per person and day, 200 Hz, 0-75 Hz)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from eegpipe.affect import from_word
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import smallest_integers, write_mat
from eegpipe.simulate.head import SEED_REFERENCE
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.truth import Shown, Truth

_CODES = {"positive": 1, "neutral": 0, "negative": -1}
_LABELS = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)
_SECONDS = (235, 233, 206, 238, 185, 195, 237, 216, 265, 237, 235, 233, 235, 238, 206)
_WORDS = {code: word for word, code in _CODES.items()}

DESIGN = Design(
    name="seed",
    people=tuple(range(1, 16)),
    sessions=3,
    clips=tuple(
        Clip(number, WORDS[_WORDS[code]], _WORDS[code], seconds)
        for number, (code, seconds) in enumerate(zip(_LABELS, _SECONDS, strict=True), start=1)
    ),
    trap_people=(1, 2, 10, 11),  # 10 sorts before 2 as text; raw recordings with four kinds of wrong head
)

_CHANNELS = (
    "Fp1", "Fpz", "Fp2", "AF3", "AF4", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7", "FC5", "FC3",
    "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7", "CP5",
    "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7",
    "PO5", "PO3", "POz", "PO4", "PO6", "PO8", "CB1", "O1", "Oz", "O2", "CB2",
)  # fmt: skip

AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=200.0,
    reference=(SEED_REFERENCE,),
    band_hz=(0.0, 75.0),
    noise_uv=0.8,
    line_uv=1.5,
    drift_uv=8.0,
    bad_channels=1.0,
    step_uv=1e6 / 2**25,  # 0.03 uV, a 24-bit converter over 0.5 V
)

# Days of the three sessions of each person (yyyymmdd). The session is nowhere but in the order of these days.
_DAYS = (
    ("20131027", "20131030", "20131107"),
    ("20140404", "20140413", "20140419"),
    ("20140603", "20140611", "20140629"),
    ("20140621", "20140702", "20140705"),
    ("20140411", "20140418", "20140506"),
    ("20130712", "20131016", "20131113"),
    ("20131027", "20131030", "20131106"),
    ("20140511", "20140514", "20140521"),
    ("20140620", "20140627", "20140704"),
    ("20131130", "20131204", "20131211"),
    ("20140618", "20140625", "20140630"),
    ("20131127", "20131201", "20131207"),
    ("20140527", "20140603", "20140610"),
    ("20140601", "20140615", "20140627"),
    ("20130709", "20131016", "20131105"),
)
# Every person has letters of their own before "_eeg1": six people two, nine people three. These are invented.
_PREFIXES = (
    "qaa", "qb", "qcc", "qdd", "qe", "qff", "qg", "qhh", "qii", "qj", "qkk", "ql", "qmm", "qn", "qoo",
)  # fmt: skip


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``Preprocessed_EEG/`` into ``folder``; with traps as it lies in the package, beside its neighbours."""
    package = folder / "SEED_EEG" if plan.traps else folder
    files = package / "Preprocessed_EEG"
    files.mkdir(parents=True)
    codes = [_CODES[str(clip.label)] for clip in plan.clips]
    write_mat(files / "label.mat", {"label": smallest_integers([codes])})
    if plan.traps:
        _neighbours(package, codes)
    rate = round(AMPLIFIER.rate_hz)
    blocks = [Block(rate * clip.stimulus_s + 1, clip, key=place) for place, clip in enumerate(plan.clips)]
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        for session in range(1, plan.sessions + 1):
            recorded = record(AMPLIFIER, blocks, person, session, plan)
            prefix, day = _PREFIXES[subject - 1], _DAYS[subject - 1][session - 1]
            arrays = {f"{prefix}_eeg{trial}": array for trial, array in enumerate(recorded.blocks_uv, start=1)}
            if plan.traps:  # as text: _eeg10 before _eeg2
                arrays = dict(sorted(arrays.items()))
            path = files / f"{subject}_{day}.mat"
            write_mat(path, arrays)
            if plan.traps and subject == 2:
                _append_bytes(path)
            if plan.traps and session == 1:  # the same name, other content
                feature = {f"de_LDS{trial}": np.zeros((62, 2, 5)) for trial in range(1, len(blocks) + 1)}
                write_mat(package / "ExtractedFeatures" / path.name, feature)

            shown, onset = [], 0
            for block in blocks:
                assert block.clip is not None
                shown.append(Shown(block.clip, onset, block.samples, from_word(str(block.clip.label))))
                onset += block.samples
            truth.add_recorded(RecordingId(f"{subject:02d}", str(session)), plan, AMPLIFIER, recorded, shown)
            advance()


def _neighbours(package: Path, codes: list[int]) -> None:
    """What lies beside the recordings: texts, features with the recordings' names, labels with other codes."""
    (package / "Preprocessed_EEG" / "readme.txt").write_text("Preprocessed EEG, 200 Hz.\n", encoding="utf-8")
    features = package / "ExtractedFeatures"
    features.mkdir()
    write_mat(features / "label.mat", {"label": smallest_integers([codes])})
    # The vendor's table counts 2, 1, 0 where label.mat has 1, 0, -1. Only the name of that .xlsx matters here.
    (package / "SEED_stimulation.xlsx").write_bytes(b"PK\x05\x06" + bytes(18))
    (package / "Channel Order.xlsx").write_bytes(b"PK\x05\x06" + bytes(18))


def _append_bytes(path: Path) -> None:
    """Let the first compressed variable hold more bytes than it needs, as some of the vendor's do."""
    content = path.read_bytes()
    end = 136 + struct.unpack_from("<I", content, 132)[0]
    packed = zlib.compress(zlib.decompress(content[136:end]) + bytes(8), 1)
    path.write_bytes(content[:132] + struct.pack("<I", len(packed)) + packed + content[end:])
