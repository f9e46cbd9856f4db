"""AMIGOS: 40 people, 16 short and 4 long videos, 14 channels of an Emotiv EPOC at 128 Hz; own ratings."""

from __future__ import annotations

from eegpipe.datasets.amigos import layout, original, preprocessed, simulate
from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.simulate.simulator import Simulator

DATASET = Dataset(
    name="amigos",
    title="AMIGOS: EEG and peripheral signals of people watching short and long videos",
    variants=(
        Variant(
            name="preprocessed",
            files="Data_Preprocessed_P01.mat and so on, MATLAB files at 128 Hz",
            tree=(
                "AMIGOS/\n"
                "  data_preprocessed/            or: Physiological Recordings/Matlab Preprocessed Data/\n"
                "    Data_Preprocessed_P01.mat   or: Data_Preprocessed_P01/Data_Preprocessed_P01.mat\n"
                "    ... Data_Preprocessed_P40.mat"
            ),
            facts=preprocessed.FACTS,
            recognise=preprocessed.recognise,
            discover=preprocessed.discover,
            read=preprocessed.read,
            already_processed=True,
            memory_gb=0.4,
            simulator=Simulator(simulate.DESIGN, simulate.write_preprocessed),
        ),
        Variant(
            name="original",
            files="Data_Original_P01.mat and so on, MATLAB files at 128 Hz, with SelfAssessment.xlsx",
            tree=(
                "AMIGOS/\n"
                "  data_original/                or: Physiological Recordings/Matlab Original Data/\n"
                "    Data_Original_P01.mat       or: Data_Original_P01/Data_Original_P01.mat\n"
                "    ... Data_Original_P40.mat\n"
                "  Metadata/\n"
                "    SelfAssessment.xlsx         the ratings"
            ),
            facts=original.FACTS,
            recognise=original.recognise,
            discover=original.discover,
            read=original.read,
            memory_gb=0.4,
            simulator=Simulator(simulate.DESIGN, simulate.write_original),
        ),
    ),
    labels=(),
    ratings=dict(layout.RATINGS),
    irregularities=(
        Irregularity("G1", "", "The first self-assessment is arousal, the second valence; read by name."),
        Irregularity("G2", "", "Each cell begins with 5 s of baseline; it gets an event of its own."),
        Irregularity(
            "G3",
            "",
            "Subjects 8, 24 and 28 have no long videos (no recording), 32 has no ratings of them (valence and arousal "
            "unknown): empty cells keep their place.",
        ),
        Irregularity(
            "G4",
            r"EEG of all (short|long) videos",
            "Signals of some subjects hold NaN (reported for 9, 12, 21, 22, 23, 24, 33): such a trial is left out with "
            "a note; a recording without any other trial is refused.",
        ),
        Irregularity("G5", "", "Videos do not stand in the order of their numbers; matched by VideoIDs."),
        Irregularity("G6", "", "Some trials are reported to have 16 columns instead of 17: left out with a note."),
        Irregularity("G7", "", "In the original files the electrodes are columns 4 to 17 of 25; no other is read."),
        Irregularity("G8", "", "Workbooks hold a column twice (Video_Number): the first one counts."),
    ),
    access="Sign the user licence agreement at https://www.eecs.qmul.ac.uk/mmv/datasets/amigos/",
    size="40 preprocessed files, 4.4 GB of numbers before compression (computed)",
    licence="AMIGOS licence agreement of Queen Mary University of London: academic research only, not to be passed on",
    authors=(
        "Juan Abdon Miranda-Correa",
        "Mojtaba Khomami Abadi",
        "Nicu Sebe",
        "Ioannis Patras",
    ),
    citation=(
        "Miranda-Correa, J. A., Abadi, M. K., Sebe, N., Patras, I. (2021). AMIGOS: a dataset for affect, personality "
        "and mood research on individuals and groups. IEEE Transactions on Affective Computing 12(2), 479-493. "
        "doi:10.1109/TAFFC.2018.2884461"
    ),
    url="https://www.eecs.qmul.ac.uk/mmv/datasets/amigos/",
    manufacturer="Emotiv",
    task_description="Watching 16 short and 4 long videos; each rated after it.",
)
