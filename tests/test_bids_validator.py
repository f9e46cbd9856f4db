"""The official validator finds no error in anything that is written here, and finds one where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from eegpipe.bids import Finding, validate, write_recording, write_root
from eegpipe.bids import validator as validator_module
from eegpipe.errors import UsageProblem
from eegpipe.recording import RecordingId

from made_recordings import DATASET, make_recording, with_variant

# Recommended by BIDS, known to nobody here.
UNKNOWN_TO_US = {
    "CapManufacturer",
    "CapManufacturersModelName",
    "CogAtlasID",
    "CogPOID",
    "DeviceSerialNumber",
    "FiducialsCoordinateSystem",
    "FiducialsCoordinateSystemDescription",
    "FiducialsCoordinateUnits",
    "FiducialsCoordinates",
    "HEDVersion",
    "HeadCircumference",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "Instructions",
    "ManufacturersModelName",
    "SoftwareVersions",
    "StimulusPresentation",
    "SubjectArtefactDescription",
    "Description",
}

FOLDERS = {
    "raw": ([RecordingId("01"), RecordingId("02")], None, False),
    "sessions": ([RecordingId("01", "1"), RecordingId("01", "2")], None, False),
    "two tasks": ([RecordingId("00", None, "rest"), RecordingId("00", None, "arithmetic")], None, False),
    "already processed": ([RecordingId("01", "1"), RecordingId("01", "2")], None, True),
    "cleaned": ([RecordingId("01", "1", "rest"), RecordingId("01", "1", "arithmetic")], "clean", True),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_no_error_and_no_warning_that_we_could_cure(tmp_path: Path, kind: str):
    recordings, description, already_processed = FOLDERS[kind]
    for recording in recordings:
        write_recording(make_recording(recording), tmp_path, description=description, sidecar={"Fingerprint": "abc"})
    derivative = {"Name": "eegpipe-clean", "Version": "1", "Description": "Cleaned"} if description else None
    write_root(
        tmp_path,
        about=with_variant(already_processed=already_processed).about(simulated=False),
        description=description,
        derivative=derivative,
        ignore=["quality.tsv"] if description else [],
    )
    if description:
        (tmp_path / "quality.tsv").write_text("recording\tstatus\n")
    findings = validate(tmp_path)
    assert [finding for finding in findings if finding.severity == "error"] == []
    assert {finding.code.rpartition(": ")[2] for finding in findings} <= UNKNOWN_TO_US


def test_an_error_is_found(tmp_path: Path):
    write_recording(make_recording(), tmp_path)
    write_root(tmp_path, about=DATASET.about(simulated=False))
    (tmp_path / "sub-01" / "eeg" / "sub-01_eeg.cnt").write_text("not BIDS")
    first = validate(tmp_path)[0]
    assert isinstance(first, Finding)
    assert (first.severity, first.where) == ("error", "sub-01/eeg/sub-01_eeg.cnt")
    assert first.message


def test_a_missing_or_broken_validator_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(validator_module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UsageProblem, match="pip install bids-validator-deno"):
        validate(tmp_path)
    monkeypatch.setattr(validator_module.shutil, "which", lambda *_, **__: "/bin/false")
    with pytest.raises(UsageProblem, match=r"gave no answer \(exit code 1"):
        validate(tmp_path)
    with pytest.raises(UsageProblem, match="no folder"):
        validate(tmp_path / "absent")
