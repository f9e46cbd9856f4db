"""MPED: 23 subjects, 28 film clips of seven emotions in two parts, 62 channels at 1000 Hz.

Folders and files of the release are called after persons; nothing that eegpipe writes or says holds these names.
"""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.mped import raw, simulate
from eegpipe.simulate.simulator import Simulator

DATASET = Dataset(
    name="mped",
    title="MPED: EEG of people watching film clips of six emotions and neutral ones",
    variants=(
        Variant(
            name="raw",
            files="raw_EEG_signals, MATLAB files at 1000 Hz",
            tree=(
                "raw_EEG_signals/raw_EEG_Label.mat\n"
                "raw_EEG_signals/<person>/<person>_d.mat\n"
                "raw_EEG_signals/<person>/<person>_dd.mat, for 23 persons\n"
                "(not read: EEG_feature, GSR_RSP_ECG_raw_signals, GSR_RSP_ECG_features)"
            ),
            facts=raw.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            private_names=True,
            memory_gb=4.5,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=tuple(raw.WORDS.values()),
    irregularities=(
        Irregularity(
            "P1", "", "Folders and files are called after persons; they get numbers, and no name is repeated."
        ),
        Irregularity("P2", "", "The mastoids M1 and M2 are rows 33 and 43 of the first 64; kept, but not as EEG."),
        Irregularity("P3", "", "34 trials, not the 30 of the features; rest (2) and label 8 (4) are not carried over."),
        Irregularity("P4", "", "Which clip is which trial, and how trials were cut, is not published; kept whole."),
        Irregularity("X1", "", "Sorted as text, raw_eeg10 comes before raw_eeg2; trials are sorted by number."),
    ),
    access="Send the licence form of https://github.com/Tengfei000/MPED to the authors.",
    size="not published; about 75 GB of numbers before compression",
    licence="Licence form of the MPED database: academic research only",
    authors=("Tengfei Song", "Wenming Zheng", "Cheng Lu", "Yuan Zong", "Xilei Zhang", "Zhen Cui"),
    citation=(
        "Song, T., Zheng, W., Lu, C., Zong, Y., Zhang, X., Cui, Z. (2019). MPED: A multi-modal physiological emotion "
        "database for discrete emotion recognition. IEEE Access 7, 12177-12191. doi:10.1109/ACCESS.2019.2891579"
    ),
    url="https://github.com/Tengfei000/MPED",
    manufacturer="n/a",
    task_description="Watching 28 film clips in two parts: joy, funny, anger, fear, disgust, sadness, neutral.",
)
