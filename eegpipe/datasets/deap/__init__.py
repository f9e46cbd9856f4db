"""DEAP, variant data_preprocessed_python: 32 subjects, 40 one-minute music videos, 32 EEG + 8 other channels, 128 Hz."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Variant
from eegpipe.datasets.deap import python, simulate
from eegpipe.simulate.plan import Simulator

DATASET = Dataset(
    name="deap",
    title="DEAP: EEG and peripheral signals of people watching music videos (data_preprocessed_python)",
    variants=(
        Variant(
            name="python",
            files="data_preprocessed_python, Python 2 pickles at 128 Hz",
            tree="data_preprocessed_python/ with s01.dat to s32.dat",
            facts=python.FACTS,
            recognise=python.recognise,
            discover=python.discover,
            read=python.read,
            already_processed=True,
            memory_gb=0.4,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=(),
    ratings=dict.fromkeys(python.RATINGS, python.SCALE),
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
