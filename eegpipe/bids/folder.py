"""Recordings in a BIDS folder: list, read, write, remove.

A recording is six files with one stem (``sub-01_ses-1_task-emotion``; a cleaned one carries ``_desc-clean``) and the
electrode positions, which BIDS wants once for all recordings of a session. Its ``*_eeg.json`` is removed first and
written last: a recording without one does not exist, so an interrupted write leaves nothing half-done.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.bids import brainvision, sidecars
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.fingerprint import digest, file_digest
from eegpipe.recording import Recording, RecordingId

if TYPE_CHECKING:
    import mne

FINGERPRINT = "Fingerprint"
_SUFFIXES = ("eeg.vhdr", "eeg.vmrk", "eeg.eeg", "channels.tsv", "events.tsv", "eeg.json")  # the last is written last
_SHARED = ("space-CapTrak_electrodes.tsv", "space-CapTrak_coordsystem.json")
_STAGING = ".eegpipe-"
_AGAIN = "Run the stage that writes this folder again."


def _path(root: Path, recording: RecordingId, description: str | None, suffix: str) -> Path:
    if suffix in _SHARED:
        stem = recording.stem.partition("_task-")[0]
    else:
        stem = f"{recording.stem}_desc-{description}" if description else recording.stem
    return root / recording.folder / f"{stem}_{suffix}"


def list_recordings(root: str | Path, *, description: str | None = None) -> list[RecordingId]:
    """The recordings of a folder, by number (subject 2 before 10), with ``desc-<description>`` or without any.

    Raises
    ------
    UsageProblem
        If there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageProblem(f"There is no folder {root}.")
    wanted = f"_desc-{description}" if description else ""
    pattern = re.compile(rf"sub-([0-9A-Za-z]+)(?:_ses-([0-9A-Za-z]+))?_task-([0-9A-Za-z]+){wanted}_eeg\.json")
    found = []
    for path in [*root.glob("sub-*/eeg/*_eeg.json"), *root.glob("sub-*/ses-*/eeg/*_eeg.json")]:
        match = pattern.fullmatch(path.name)
        if match:
            recording = RecordingId(match[1], match[2], match[3])
            if path.parent == root / recording.folder:
                found.append(recording)
    return sorted(found, key=natural_order)


def natural_order(recording: RecordingId) -> list[list[tuple[int, int, str]]]:
    """Sort key that compares the numbers inside labels as numbers."""

    def parts(label: str) -> list[tuple[int, int, str]]:
        pieces = (piece for piece in re.split(r"([0-9]+)", label) if piece)
        return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces]

    return [parts(label) for label in (recording.subject, recording.session or "", recording.task)]


def recording_files(root: str | Path, recording: RecordingId, *, description: str | None = None) -> list[Path]:
    """The files of a recording that exist, in a fixed order; the last one is its ``*_eeg.json``.

    The positions among them belong to the other recordings of the session too.
    """
    paths = (_path(Path(root), recording, description, suffix) for suffix in (*_SHARED, *_SUFFIXES))
    return [path for path in paths if path.is_file()]


def recording_digest(root: str | Path, recording: RecordingId, *, description: str | None = None) -> str:
    """SHA-256 over what the files of a recording say.

    The fingerprint in its ``*_eeg.json`` does not count: a recording that was made again and came out the same is the
    same to the next stage.
    """
    parts: dict[str, Any] = {}
    for path in recording_files(root, recording, description=description):
        if path.name.endswith("_eeg.json"):
            text = _read_json(path, Path(root))
            parts[path.name] = {key: value for key, value in text.items() if key != FINGERPRINT}
        else:
            parts[path.name] = file_digest(path)
    return digest(parts)


def read_sidecar(root: str | Path, recording: RecordingId, *, description: str | None = None) -> dict[str, Any]:
    """The ``*_eeg.json`` of a recording; empty if it is not there or cut short."""
    try:
        return _read_json(_path(Path(root), recording, description, "eeg.json"), Path(root))
    except DataProblem:
        return {}


def count_trials(root: str | Path, recording: RecordingId, *, description: str | None = None) -> int:
    """Stimulus events of a recording; 0 if its table cannot be read."""
    try:
        rows = _read_rows(Path(root), recording, description, "events.tsv")
        return sum(row["trial_type"] == "stimulus" for row in rows)
    except (OSError, KeyError, ValueError):
        return 0


def _read_json(path: Path, root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        where = path.relative_to(root).as_posix()
        raise DataProblem(where, f"no readable JSON ({error.__class__.__name__})", "an object", _AGAIN) from None


def is_complete(root: str | Path, recording: RecordingId, *, description: str | None = None) -> bool:
    """Whether a recording is there and can be read, as far as names, sizes and tables tell."""
    root = Path(root)
    try:
        facts = _read_json(_path(root, recording, description, "eeg.json"), root)
        _check_length(root, recording, description, facts, _channel_rows(root, recording, description))
    except (DataProblem, OSError, KeyError, ValueError):
        return False
    return all(_path(root, recording, description, suffix).is_file() for suffix in ("eeg.vhdr", "eeg.vmrk"))


def _channel_rows(root: Path, recording: RecordingId, description: str | None) -> list[dict[str, str]]:
    return sidecars.read_table(_path(root, recording, description, "channels.tsv"))


def _check_length(
    root: Path,
    recording: RecordingId,
    description: str | None,
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
) -> None:
    signal = _path(root, recording, description, "eeg.eeg")
    samples = round(facts["RecordingDuration"] * facts["SamplingFrequency"])
    found = signal.stat().st_size if signal.is_file() else 0
    if found != len(rows) * samples * 4 or not found:
        raise DataProblem(
            signal.relative_to(root).as_posix(),
            f"{found} bytes",
            f"{len(rows) * samples * 4} ({len(rows)} channels of {samples} float32 samples)",
            _AGAIN,
        )


# --- reading ----------------------------------------------------------------------------------------------------------


def read_recording(root: str | Path, recording: RecordingId, *, description: str | None = None) -> Recording:
    """Read a recording that :func:`write_recording` wrote, with everything that a Recording holds.

    Voltages are the float32 microvolts of the file in volts, as float64.

    Raises
    ------
    DataProblem
        If a file is missing, cut short or not what was written.
    """
    root = Path(root)
    facts_path = _path(root, recording, description, "eeg.json")
    where = facts_path.relative_to(root).as_posix()
    facts = _read_json(facts_path, root)
    try:
        where = _path(root, recording, description, "channels.tsv").relative_to(root).as_posix()
        rows = _channel_rows(root, recording, description)
        _check_length(root, recording, description, facts, rows)
        raw = _read_signal(root, recording, description, facts, rows)
        where = _path(root, recording, description, "events.tsv").relative_to(root).as_posix()
        events = sidecars.events_from(_read_rows(root, recording, description, "events.tsv"))
        where = facts_path.relative_to(root).as_posix()
        history = facts["SoftwareFilters"]
        return Recording(
            id=recording,
            raw=raw,
            events=events,
            reference=facts["EEGReference"],
            line_hz=float(facts["PowerLineFrequency"]),
            history={} if history == sidecars.NOTHING else history,
            sex=facts.get("SubjectSex"),
            age=facts.get("SubjectAge"),
            notes=tuple(facts.get(sidecars.NOTES, ())),
        )
    except KeyError as error:
        raise DataProblem(where, f"no {error}", "the columns and keys that eegpipe writes", _AGAIN) from None
    except (ValueError, OSError) as error:
        raise DataProblem(where, f"something unreadable ({error})", "what eegpipe writes", _AGAIN) from None


def _read_rows(root: Path, recording: RecordingId, description: str | None, suffix: str) -> list[dict[str, str]]:
    path = _path(root, recording, description, suffix)
    return sidecars.read_table(path) if path.is_file() else []


def _read_signal(
    root: Path,
    recording: RecordingId,
    description: str | None,
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
) -> mne.io.BaseRaw:
    import mne

    header = _path(root, recording, description, "eeg.vhdr")
    raw = mne.io.read_raw_brainvision(header, preload=True, verbose="ERROR")
    if [row["name"] for row in rows] != raw.ch_names:
        raise ValueError(f"other channels than {header.name}")
    kinds = {bids: kind for kind, bids in sidecars.CHANNEL_TYPES.items()}
    units = [channel["unit"] for channel in raw.info["chs"]]
    raw.set_channel_types({row["name"]: kinds[row["type"]] for row in rows}, on_unit_change="ignore", verbose="ERROR")
    for channel, unit, row in zip(raw.info["chs"], units, rows, strict=True):
        channel["unit"] = mne.io.constants.FIFF.FIFF_UNIT_S if row["units"] == "S" else unit
    raw.info["bads"] = [row["name"] for row in rows if row["status"] == "bad"]
    with raw.info._unlock():
        raw.info["line_freq"] = float(facts["PowerLineFrequency"])
        raw.info["sfreq"] = float(facts["SamplingFrequency"])  # the header has its inverse, rounded
    positions = sidecars.positions_from(_read_rows(root, recording, description, _SHARED[0]))
    if positions:
        montage = mne.channels.make_dig_montage(positions, coord_frame="head")
        raw.set_montage(montage, on_missing="ignore", verbose="ERROR")
    return raw


# --- writing ----------------------------------------------------------------------------------------------------------


def write_recording(
    recording: Recording,
    root: str | Path,
    *,
    description: str | None = None,
    sidecar: Mapping[str, Any] | None = None,
) -> None:
    """Write a recording as BrainVision float32 with its sidecars, in place of an earlier one of the same name.

    The files are made in a folder of their own and moved when all are there. Root files are written by
    :func:`eegpipe.bids.write_root`, once, after all recordings.

    Parameters
    ----------
    sidecar
        Further keys of ``*_eeg.json``, such as ``"Fingerprint"``; plain values.

    Raises
    ------
    DataProblem
        If the signal holds a value that is NaN, infinite or beyond the range of float32.
    """
    root = Path(root)
    name = recording.id
    target = _path(root, name, description, "eeg.vhdr")
    staging = root / f"{_STAGING}{target.stem}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        brainvision.write(recording.raw, staging, target.stem)
        electrodes = sidecars.electrodes_table(recording.raw)
        texts = {
            _SHARED[0]: electrodes,
            _SHARED[1]: sidecars.json_text(sidecars.COORDINATES) if electrodes else "",
            "channels.tsv": sidecars.channels_table(recording.raw),
            "events.tsv": sidecars.events_table(recording.events) if recording.events else "",
            "eeg.json": sidecars.json_text(sidecars.facts(recording, sidecar or {})),
        }
        for suffix, text in texts.items():
            if text:
                file = staging / _path(root, name, description, suffix).name
                file.write_text(text, encoding="utf-8", newline="\n")
        _unlink_own(root, name, description)
        (root / name.folder).mkdir(parents=True, exist_ok=True)
        for suffix in (*_SHARED, *_SUFFIXES):
            target = _path(root, name, description, suffix)
            if (staging / target.name).exists():
                (staging / target.name).replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_recording(root: str | Path, recording: RecordingId, *, description: str | None = None) -> None:
    """Remove the files of a recording, ``*_eeg.json`` first, and whatever else nothing in its folder needs then."""
    root = Path(root)
    _unlink_own(root, recording, description)
    _tidy(root, root / recording.folder)


def _unlink_own(root: Path, recording: RecordingId, description: str | None) -> None:
    for suffix in reversed(_SUFFIXES):
        _path(root, recording, description, suffix).unlink(missing_ok=True)


def _tidy(root: Path, folder: Path) -> None:
    """Remove positions without a recording, then the folders that are empty."""
    if folder.is_dir() and not any(folder.glob("*_eeg.json")):
        for suffix in _SHARED:
            for path in folder.glob(f"*_{suffix}"):
                path.unlink()
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def remove_leftovers(root: str | Path) -> None:
    """Remove what interrupted writes left behind: unfinished folders, and recordings that lack their ``*_eeg.json``."""
    root = Path(root)
    for staging in root.glob(f"{_STAGING}*"):
        shutil.rmtree(staging)
    own = "|".join(re.escape(suffix) for suffix in _SUFFIXES)
    pattern = re.compile(rf"(sub-[^_]+(?:_ses-[^_]+)?_task-[^_]+(?:_desc-[^_]+)?)_(?:{own})")
    for folder in [*root.glob("sub-*/eeg"), *root.glob("sub-*/ses-*/eeg")]:
        for path in sorted(folder.iterdir()):
            match = pattern.fullmatch(path.name)
            if match and not (folder / f"{match[1]}_eeg.json").exists():
                path.unlink()
        _tidy(root, folder)
