"""The Unified Channel Schema."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from eegpipe import channels
from eegpipe.errors import UsageProblem


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        ("FPZ", "Fpz"), ("fp1", "Fp1"), ("CZ", "Cz"), ("EEG T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8"),
        ("Fc5.", "FC5"), ("Cz..", "Cz"), ("CB1", "CB1"), ("A2", "A2"), ("HEOR", None), ("EEG A2-A1", None), ("", None),
    ],
)  # fmt: skip
def test_vendor_spellings(vendor, name):
    assert channels.canonical(vendor) == name


def test_ids_never_change():
    # Ids are stored in segment stores: rows may only be added at the end.
    names = (
        "Fp1 Fpz Fp2 AF3 AF4 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 C6 T8 "
        "TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO5 PO3 POz PO4 PO6 PO8 CB1 O1 Oz O2 CB2 "
        "AF7 AF8 F9 F10 TP9 TP10 A1 A2 M1 M2"
    )
    assert list(channels.schema())[:72] == names.split()
    assert [channels.channel_id(name) for name in channels.schema()] == list(range(len(channels.schema())))


def test_positions_are_those_of_the_template():
    montage = mne.channels.make_standard_montage("colin27_1005")
    template = montage.get_positions()["ch_pos"]
    to_head = mne.channels.compute_native_head_t(montage)
    aliases = {"CB1": "POO7", "CB2": "POO8"}
    for name in channels.schema():
        expected = mne.transforms.apply_trans(to_head, template[aliases.get(name, name)])
        np.testing.assert_allclose(channels.position(name), expected, atol=2e-5, err_msg=name)


def test_old_names_are_the_same_places():
    template = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    for old, new in channels.ALIASES.items():
        np.testing.assert_allclose(template[old], template[new], atol=1e-9)


def test_left_is_left_and_front_is_front():
    left, right, front, back = (channels.position(name) for name in ("T7", "T8", "Fpz", "Oz"))
    assert left[0] < 0 < right[0]
    assert back[1] < front[1]
    assert set(channels.schema()) >= channels.REFERENCES


def test_unknown_names_are_met_with_the_nearest():
    for ask in (channels.channel_id, channels.position):
        with pytest.raises(UsageProblem, match="Did you mean 'Fpz'"):
            ask("FpZ")
