"""SEED-VII: 20 subjects x 4 sessions x 20 film clips of seven emotions; trials at 200 Hz or CNT files at 1000 Hz."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.seed_vii import experiment, preprocessed, raw, simulate
from eegpipe.simulate.simulator import Simulator

DATASET = Dataset(
    name="seed_vii",
    title="SEED-VII: EEG of people watching film clips of six emotions and neutral ones",
    variants=(
        Variant(
            name="preprocessed",
            files="EEG_preprocessed, MATLAB files at 200 Hz",
            tree="""\
SEED-VII/
  EEG_preprocessed/  1.mat to 20.mat
  save_info/         80 files like 14_20221015_1_save_info.csv""",
            facts=preprocessed.FACTS,
            recognise=preprocessed.recognise,
            discover=preprocessed.discover,
            read=preprocessed.read,
            already_processed=True,
            memory_gb=0.7,
            simulator=Simulator(simulate.DESIGN, simulate.write_preprocessed),
        ),
        Variant(
            name="raw",
            files="EEG_raw, NeuroScan files at 1000 Hz",
            tree="""\
SEED-VII/
  EEG_raw/    80 files like 14_20221015_1.cnt
  save_info/  14_20221015_1_save_info.csv and 14_20221015_1_trigger_info.csv for each""",
            facts=raw.FACTS,
            recognise=raw.recognise,
            discover=raw.discover,
            read=raw.read,
            memory_gb=2.7,
            simulator=Simulator(simulate.DESIGN, simulate.write_raw),
        ),
    ),
    labels=experiment.LABELS,
    ratings={experiment.SCORE: experiment.SCORE_SCALE},
    irregularities=(
        Irregularity("T1b", "", "Variable 10 sorts before 2 as text: variables are taken by their number."),
        Irregularity("T1c", "", "10.mat sorts before 2.mat as text: the subject is the number in the file's name."),
        Irregularity("T3a", "", "A CNT file's header may count no samples: they are counted from the file's size."),
        Irregularity("T3b", "", "CNT samples have two or four bytes, not said where: four are checked and read."),
        Irregularity(
            "T3c",
            "",
            "In CNT files near 1 GB the place of the event table may be wrong: it is looked for from the end.",
        ),
        Irregularity("T5", "", "The session is the third field of a CNT file's name, behind the date."),
        Irregularity("T6", "", "There are no official label codes, and public code uses three: words are carried."),
        Irregularity("T7a", "", "Variables are called 1 to 80, which are no MATLAB names: they are read as they are."),
        Irregularity("T7b", "", "A clip's length differs a little between people: it is taken from each file."),
        Irregularity(
            "T7c",
            r"(14_20221015_1|9_20221111_3)\.cnt: marks",
            "The marks of 14_20221015_1.cnt and 9_20221111_3.cnt are unusable: the clips are found by the times in "
            "save_info, and the recording is refused without them.",
        ),
        Irregularity("T7d", "", "A stray mark would shift all later clips: marks are compared with save_info."),
        Irregularity(
            "T12", "", "Features have floor(seconds / 4) windows; trials are cut to whole seconds, and so read."
        ),
        Irregularity("C1", "", "VEO, HEO and ECG stand among the EEG of a CNT file: they are typed by name."),
        Irregularity("C2", "", "CB1 and CB2 are in no 10-05 montage: they are placed at POO7 and POO8."),
        Irregularity("C6", "", "A CNT file's head has fields for a person's name and sex: they are never read."),
    ),
    access="Send the signed licence agreement at https://bcmi.sjtu.edu.cn/home/seed/ and download SEED-VII.",
    size="160-170 GB zipped; EEG_preprocessed about 28 GB before compression",
    licence="SEED licence agreement of BCMI, Shanghai Jiao Tong University: academic research only",
    authors=("Wei-Bang Jiang", "Xuan-Hao Liu", "Wei-Long Zheng", "Bao-Liang Lu"),
    citation=(
        "Jiang, W.-B., Liu, X.-H., Zheng, W.-L., Lu, B.-L. (2024). SEED-VII: a multimodal dataset of six basic "
        "emotions with continuous labels for emotion recognition. IEEE Transactions on Affective Computing. "
        "doi:10.1109/TAFFC.2024.3485057"
    ),
    url="https://bcmi.sjtu.edu.cn/home/seed/seed-vii.html",
    manufacturer="Compumedics NeuroScan (ESI NeuroScan system)",
    task_description="Watching 20 film clips of two to five minutes in each of four sessions; scored after each.",
)
