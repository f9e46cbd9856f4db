"""FACED, variant Processed_data: 123 subjects, 28 film clips, 30 scalp channels and 2 mastoids, last 30 s at 250 Hz."""

from __future__ import annotations

from eegpipe.datasets.base import Dataset, Variant
from eegpipe.datasets.faced import processed, simulate
from eegpipe.simulate.plan import Simulator

DATASET = Dataset(
    name="faced",
    title="FACED: EEG of people watching film clips of nine emotions (Processed_data)",
    variants=(
        Variant(
            name="processed",
            files="Processed_data, pickles at 250 Hz (the last 30 s of each clip)",
            tree="Processed_data/ with sub000.pkl to sub122.pkl, and Data/ with sub000/After_remarks.mat and so on",
            facts=processed.FACTS,
            recognise=processed.recognise,
            discover=processed.discover,
            read=processed.read,
            already_processed=True,
            memory_gb=0.3,
            simulator=Simulator(simulate.DESIGN, simulate.write),
        ),
    ),
    labels=processed.LABELS,
    ratings=dict.fromkeys(processed.RATINGS, processed.SCALE),
    licence="Terms of use of Synapse project syn50614194 (account needed)",
    authors=("Jingjing Chen", "Xiaobin Wang", "Chen Huang", "Xin Hu", "Xinke Shen", "Dan Zhang"),
    citation=(
        "Chen, J., Wang, X., Huang, C., Hu, X., Shen, X., Zhang, D. (2023). A large finer-grained affective computing "
        "EEG dataset. Scientific Data 10, 740. doi:10.1038/s41597-023-02650-w"
    ),
    url="https://www.synapse.org/Synapse:syn50614194",
    manufacturer="Neuracle",
    task_description="Watching 28 film clips of nine emotions; twelve ratings after each.",
)
