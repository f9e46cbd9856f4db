"""SEED: 15 subjects x 3 sessions x 15 film clips, 62 channels; as cut trials at 200 Hz and as raw recordings."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.seed import preprocessed, raw, simulate, simulate_raw
from eegpipe.simulate.simulator import Simulator

_PREPROCESSED_TREE = """
SEED_EEG/
  Preprocessed_EEG/
    1_20131027.mat      <subject>_<yyyymmdd>.mat, 45 files
    ...
    label.mat
    readme.txt
""".strip()

_RAW_TREE = """
SEED_EEG/
  SEED_RAW_EEG/         or Chinese/01-EEG-raw/
    1_1.cnt             <subject>_<session>.cnt, 45 files
    ...
    time.txt
""".strip()

DATASET = Dataset(
    name="seed",
    title="SEED: EEG of people watching film clips of negative, neutral and positive emotion",
    variants=(
        Variant(
            name="preprocessed",
            files="Preprocessed_EEG, MATLAB files at 200 Hz",
            tree=_PREPROCESSED_TREE,
            facts=preprocessed.FACTS,
            recognise=preprocessed.recognise,
            discover=preprocessed.discover,
            read=preprocessed.read,
            already_processed=True,
            memory_gb=0.7,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
        Variant(
            name="raw",
            files="SEED_RAW_EEG, NeuroScan files at 1000 Hz",
            tree=_RAW_TREE,
            facts=raw.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            memory_gb=2.5,
            simulator=Simulator(simulate.DESIGN, simulate_raw.write),
        ),
    ),
    labels=("negative", "neutral", "positive"),
    irregularities=(
        Irregularity(
            "T1a", "", "The letters before _eeg1 differ per subject; trials are found by the rest of the name."
        ),
        Irregularity("T1b", "", "_eeg10 sorts before _eeg2 as text; trials are ordered by their number."),
        Irregularity("T1c", "", "10_... sorts before 2_... as text; subjects are ordered by their number."),
        Irregularity("T2b", "", "Some public readers take the preprocessed files for 1000 Hz; 200 Hz is asserted."),
        Irregularity("T2c", "", "A preprocessed trial has one sample more than whole seconds; all samples are kept."),
        Irregularity("T3a", "", "A raw header declares no or a wrong number of samples; the file's size decides."),
        Irregularity("T3b", "", "Raw samples have four bytes, which other programs guess; two bytes are refused."),
        Irregularity("T3c", "", "A raw header points beside the event table; the table is looked for from the end."),
        Irregularity("T4", "", "M1 and M2 lie inside the raw channels (33rd and 43rd); channels are taken by name."),
        Irregularity(
            "T5", "", "The session is only the rank of a preprocessed file's date; raw names hold its number."
        ),
        Irregularity("T6", "", "Codes of labels differ between files and data sets; labels are kept as words."),
        Irregularity(
            "T12", "", "A trial of the features has a quarter of the seconds, rounded down; they are not read."
        ),
        Irregularity("C1", "", "VEO and HEO are not named as eye channels for other programs; they are typed by name."),
        Irregularity("C2", "", "CB1 and CB2 are in no 10-05 system; they are placed at POO7 and POO8."),
        Irregularity("C5", "", "Tables of type 3 count events in samples instead of bytes; both are read."),
        Irregularity("C6", "", "Raw headers have fields for name, sex and handedness; they are never read."),
        Irregularity("S1", "", "Some MATLAB files carry bytes behind a compressed variable; they are let pass."),
        Irregularity(
            "S2", "", "ExtractedFeatures has the names of the preprocessed files; it is told apart by its content."
        ),
    ),
    access="Ask BCMI, Shanghai Jiao Tong University, with the signed licence agreement: https://bcmi.sjtu.edu.cn/home/seed/",
    size="raw about 45 GB (45 files of 1.0 GB); preprocessed up to 15 GB",
    licence="SEED licence agreement of BCMI, Shanghai Jiao Tong University: academic research only",
    authors=("Wei-Long Zheng", "Bao-Liang Lu"),
    citation=(
        "Zheng, W.-L., Lu, B.-L. (2015). Investigating critical frequency bands and channels for EEG-based emotion "
        "recognition with deep neural networks. IEEE Transactions on Autonomous Mental Development 7(3), 162-175. "
        "doi:10.1109/TAMD.2015.2431497"
    ),
    url="https://bcmi.sjtu.edu.cn/home/seed/",
    manufacturer="Compumedics NeuroScan (ESI NeuroScan system)",
    task_description="Watching 15 Chinese film clips of about four minutes, five of each emotion.",
)
