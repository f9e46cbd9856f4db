"""SEED-V: 16 subjects x 3 sessions x 15 film clips of five emotions, raw NeuroScan recordings at 1000 Hz."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.seed_v import raw, simulate
from eegpipe.simulate.simulator import Simulator

_TREE = """
SEED-V/
  EEG_raw/
    1_1_20180804.cnt    <subject>_<session>_<yyyymmdd>.cnt, 48 files
    ...
  trial_start_end_timestamp.txt
""".strip()

DATASET = Dataset(
    name="seed_v",
    title="SEED-V: EEG of people watching film clips of disgust, fear, sadness, neutral and happy emotion",
    variants=(
        Variant(
            name="raw",
            files="EEG_raw, NeuroScan files at 1000 Hz",
            tree=_TREE,
            facts=raw.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            memory_gb=2.5,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=raw.LABELS,
    irregularities=(
        Irregularity("T1c", "", "10_... sorts before 2_... as text; subjects are ordered by their number."),
        Irregularity("T3a", "", "A header declares no or a wrong number of samples; the file's size decides."),
        Irregularity("T3b", "", "Samples have four bytes, which other programs guess; two bytes are refused."),
        Irregularity("T3c", "", "A header points beside the event table; the table is looked for from the end."),
        Irregularity(
            "T3d",
            "",
            "7_1_20180411.cnt has a wrong head; it is read by its size, or its _repaired copy if there is one.",
        ),
        Irregularity("T4", "", "M1 and M2 lie inside the channels (33rd and 43rd); channels are taken by name."),
        Irregularity("T5", "", "The session is the name's second field, the set of clips; dates are in another order."),
        Irregularity("T6", "", "Code 0 is disgust here and neutral in SEED-IV; labels are kept as words."),
        Irregularity(
            "T12", "", "A trial of the features has a quarter of the seconds, rounded down; they are not read."
        ),
        Irregularity("C1", "", "VEO and HEO are not named as eye channels for other programs; they are typed by name."),
        Irregularity("C2", "", "CB1 and CB2 are in no 10-05 system; they are placed at POO7 and POO8."),
        Irregularity("C5", "", "Tables of type 3 count events in samples instead of bytes; both are read."),
        Irregularity("C6", "", "Headers have fields for name, sex and handedness; they are never read."),
        Irregularity("X1", "", "Names sort otherwise as text than as numbers; the order is that of the numbers."),
    ),
    access="Ask BCMI, Shanghai Jiao Tong University, with the signed licence agreement: https://bcmi.sjtu.edu.cn/home/seed/",
    size="39 GB or more (48 files of 0.74 to 1.0 GB)",
    licence="SEED licence agreement of BCMI, Shanghai Jiao Tong University: academic research only",
    authors=("Wei Liu", "Jie-Lin Qiu", "Wei-Long Zheng", "Bao-Liang Lu"),
    citation=(
        "Liu, W., Qiu, J.-L., Zheng, W.-L., Lu, B.-L. (2022). Comparing recognition performance and robustness of "
        "multimodal deep learning models for multimodal emotion recognition. IEEE Transactions on Cognitive and "
        "Developmental Systems 14(2), 715-729. doi:10.1109/TCDS.2021.3071170"
    ),
    url="https://bcmi.sjtu.edu.cn/home/seed/seed-v.html",
    manufacturer="Compumedics NeuroScan (ESI NeuroScan system)",
    task_description="Watching 15 film clips of one to five minutes in each of three sessions, three of each emotion.",
)
