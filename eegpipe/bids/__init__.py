"""Recording <-> BIDS-EEG: the folder in which recordings are kept between stages, raw and cleaned alike.

MNE-BIDS reads what is written here, and the tests hold it to that. It is not used to write, because jobs side by side
would race for its root files and its BrainVision files round a float32 microvolt twice, nor to read, because it puts
lock files into the folder that it reads.
"""

from eegpipe.bids.conversion import convert
from eegpipe.bids.folder import (
    list_recordings,
    read_recording,
    read_sidecar,
    recording_digest,
    recording_files,
    remove_leftovers,
    remove_recording,
    write_recording,
)
from eegpipe.bids.root import about, write_root
from eegpipe.bids.validator import Finding, validate

__all__ = [
    "Finding",
    "about",
    "convert",
    "list_recordings",
    "read_recording",
    "read_sidecar",
    "recording_digest",
    "recording_files",
    "remove_leftovers",
    "remove_recording",
    "validate",
    "write_recording",
    "write_root",
]
