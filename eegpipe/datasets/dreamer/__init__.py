"""DREAMER: 23 subjects, 18 film clips, 14 channels of an Emotiv EPOC at 128 Hz, all in one DREAMER.mat."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Irregularity, Variant
from eegpipe.datasets.dreamer import reader, simulate
from eegpipe.simulate.simulator import Simulator

DATASET = Dataset(
    name="dreamer",
    title="DREAMER: EEG of people watching film clips, recorded with a consumer headset",
    variants=(
        Variant(
            name="mat",
            files="DREAMER.mat, one MATLAB file at 128 Hz",
            tree="DREAMER/\n  DREAMER.mat",
            facts=reader.FACTS,
            recognise=reader.recognise,
            discover=reader.discover,
            read=reader.read,
            read_together=reader.read_together,
            memory_gb=0.4,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=tuple(dict.fromkeys(reader.TARGETS)),
    ratings=dict.fromkeys(reader.RATINGS, reader.SCALE),
    irregularities=(
        Irregularity(
            "R1", "", "Scores are stored as uint8, where 1 - 3 is 254; they are made float before arithmetic."
        ),
        Irregularity("R2", "", "Arrays are time x channel, in cells of structs of cells; the shape is asserted."),
        Irregularity("R3", "", "Signals lie thousands of microvolt from zero; kept, the cleaning stage removes it."),
        Irregularity("R4", "", "Clips differ in length and no table is published; the length is that of the array."),
    ),
    access="Ask for access to the restricted Zenodo record: https://zenodo.org/records/546113",
    size="about 450 MB, one file (reported)",
    licence="Terms of the restricted Zenodo record 546113: academic research only, not to be passed on",
    authors=("Stamos Katsigiannis", "Naeem Ramzan"),
    citation=(
        "Katsigiannis, S., Ramzan, N. (2018). DREAMER: a database for emotion recognition through EEG and ECG signals "
        "from wireless low-cost off-the-shelf devices. IEEE Journal of Biomedical and Health Informatics 22(1), "
        "98-107. doi:10.1109/JBHI.2017.2688239"
    ),
    url="https://zenodo.org/records/546113",
    manufacturer="Emotiv",
    task_description="Watching 18 film clips of nine emotions, each after a neutral baseline; rated after each.",
)
