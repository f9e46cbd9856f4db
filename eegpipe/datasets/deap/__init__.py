"""DEAP: 32 subjects, 40 one-minute music videos; the recordings, and what the authors made of them in two formats."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.deap import experiment, matlab, original, preprocessed, python
from eegpipe.datasets.deap import simulate_original as raw_simulator
from eegpipe.datasets.deap import simulate_preprocessed as cut_simulator
from eegpipe.simulate.simulator import Simulator

DATASET = Dataset(
    name="deap",
    title="DEAP: EEG and peripheral signals of people watching music videos",
    variants=(
        Variant(
            name="python",
            files="data_preprocessed_python, Python 2 pickles at 128 Hz",
            tree=python.TREE,
            facts=preprocessed.FACTS,
            recognise=python.recognise,
            discover=python.discover,
            read=python.read,
            already_processed=True,
            memory_gb=0.4,
            simulator=Simulator(cut_simulator.DESIGN, cut_simulator.write_python),
        ),
        Variant(
            name="matlab",
            files="data_preprocessed_matlab, MATLAB files at 128 Hz",
            tree=matlab.TREE,
            facts=preprocessed.FACTS,
            recognise=matlab.recognise,
            discover=matlab.discover,
            read=matlab.read,
            already_processed=True,
            memory_gb=0.6,
            simulator=Simulator(cut_simulator.DESIGN, cut_simulator.write_matlab),
        ),
        Variant(
            name="original",
            files="data_original, BioSemi recordings at 512 Hz",
            tree=original.TREE,
            facts=original.FACTS,
            recognise=original.recognise,
            discover=original.discover,
            read=original.read,
            memory_gb=1.2,
            simulator=Simulator(raw_simulator.DESIGN, raw_simulator.write),
        ),
    ),
    labels=(),
    ratings=dict.fromkeys(experiment.RATINGS, experiment.SCALE)
    | {experiment.FAMILIARITY: experiment.FAMILIARITY_SCALE},
    irregularities=(
        Irregularity("D1", "", "Status words of s24 to s32 hold bits above the code; the low byte is taken."),
        Irregularity("D2", "", "Some status words never return to 0; the code is cut out first, then looked for."),
        Irregularity(
            "D3", "", "The status of s24 to s32 has no label, s29 to s32 have 49 channels; the last one is it."
        ),
        Irregularity("D4", "", "s23 has Geneva's electrodes with Twente's status; the order is read from the names."),
        Irregularity("D5", "", "Electrodes stand in the order of Twente (s01 to s22) or Geneva; names decide."),
        Irregularity("D6", "", "GSR1 is a conductance (nS) in Twente's files; it is turned into ohm, as in Geneva's."),
        Irregularity("D7", "", "Code 1 has three meanings and code 6 none; videos are found by code 4 alone."),
        Irregularity("D8", "", "The preprocessed trials begin 3 s before the video; these are the baseline event."),
        Irregularity(
            "D9", "", "Recordings are in order of presentation, the other forms in that of Experiment_id; joined by it."
        ),
        Irregularity(
            "D10", "", "Start_time is said to be in microseconds and is in 0.1 ms; checked against the codes."
        ),
        Irregularity(
            "D11", "", "Familiarity is blank for participants 2, 15, 23, and the table may begin with a mark."
        ),
        Irregularity("D12", "", "The pickles are Python 2's; text in them is read as bytes, and nothing in them runs."),
        Irregularity("D13", "", "Public code swaps valence (column 1 of labels) and arousal (column 2)."),
        Irregularity("D14", "", "Archives unpack to a doubled folder, and stray files are noted, not read."),
        Irregularity("D15", "", "The preprocessed signal holds 4 to 45 Hz only; this is said beside the signal."),
        Irregularity("D16", "", "A video may lack its end code; its 60 s count from its start."),
    ),
    access=(
        "Print, sign and scan the end user licence agreement, and ask Queen Mary University of London: "
        "https://www.eecs.qmul.ac.uk/mmv/datasets/deap/download.html"
    ),
    size="recordings about 6 GB; each of the preprocessed forms about 3 GB",
    licence="DEAP licence agreement of Queen Mary University of London: academic research only, not to be passed on",
    authors=(
        "Sander Koelstra",
        "Christian Mühl",
        "Mohammad Soleymani",
        "Jong-Seok Lee",
        "Ashkan Yazdani",
        "Touradj Ebrahimi",
        "Thierry Pun",
        "Anton Nijholt",
        "Ioannis Patras",
    ),
    citation=(
        "Koelstra, S., Mühl, C., Soleymani, M., Lee, J.-S., Yazdani, A., Ebrahimi, T., Pun, T., Nijholt, A., "
        "Patras, I. (2012). DEAP: a database for emotion analysis using physiological signals. IEEE Transactions on "
        "Affective Computing 3(1), 18-31. doi:10.1109/T-AFFC.2011.15"
    ),
    url="https://www.eecs.qmul.ac.uk/mmv/datasets/deap/",
    manufacturer="BioSemi",
    task_description="Watching 40 one-minute excerpts of music videos; rated after each.",
)
