from dataclasses import replace

import numpy as np
import pytest

from engine.data.filaments import Filament
from engine.data.organelles import Organelle
from engine.segmentation.marginal_band import MarginalBand
from engine.segmentation.measurements import measure


def organelle(number, *, name="mitochondrion", border=False, confidence=1.0, volume=0.01):
    return Organelle(
        number, name, volume, 0.3, 0.9, (0.0, 0.0, 0.0), border, confidence,
        is_counted_unbiased=not border,
    )  # fmt: skip


def filament(number, length_nm, *, border=False):
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 10.0 * length_nm]])
    return Filament(number, "microtubule", points, border, False, 1.0)


def measured(organelles=(), filaments=(), **changes):
    band = len([one for one in organelles if one.organelle_class == "mitochondrion"])
    total = sum(one.length_nm for one in filaments)
    given = {
        "mitochondria_band": (band, band),
        "length_band_nm": (total, total),
        "cell_volume_um3": 0.1,
        "thickness_nm": 200.0,
    }
    return measure(organelles, filaments, **{**given, **changes})


def test_four_ways_to_count():
    # The third reaches a far face, the fourth a near one alone.
    near = replace(organelle(4, border=True), is_counted_unbiased=True)
    values = measured([organelle(1), organelle(2), organelle(3, border=True), near])
    assert values["mitochondria_count"].value == 4
    assert values["mitochondria_count_whole"].value == 2
    assert values["mitochondria_count_unbiased"].value == 3
    assert values["mitochondria_density_per_um3"].value == pytest.approx(40.0)


def test_lengths_add_up_and_intervals_hold_them():
    values = measured(filaments=[filament(1, 100.0), filament(2, 300.0, border=True)])
    total = values["microtubule_length_total_nm"]
    assert total.value == pytest.approx(400.0)
    assert total.low < 400.0 < total.high
    assert values["microtubule_length_mean_nm"].value == pytest.approx(200.0)
    assert values["microtubule_censored_fraction"].value == 0.5
    assert values["microtubule_length_density_nm_per_um3"].value == pytest.approx(4000.0)


def test_nothing_found_is_zero_for_counts_and_not_assessable_for_means():
    values = measured()
    assert values["mitochondria_count"].value == 0
    assert values["microtubule_length_total_nm"].value == 0
    assert values["mitochondrion_volume_mean_um3"].value is None
    assert values["microtubule_length_mean_nm"].not_assessable == "no microtubule was found"


def test_without_a_cell_densities_are_not_assessable():
    values = measured([organelle(1)], cell_volume_um3=0.0, thickness_nm=0.0)
    for name in ("mitochondria_density_per_um3", "cell_volume_imaged_um3", "specimen_thickness_nm"):
        assert values[name].value is None
        assert "no cytoplasm" in values[name].not_assessable


def test_what_rests_on_a_weak_output_is_not_assessable():
    values = measured(
        [organelle(1), organelle(2, name="alpha_granule")], weak_outputs=("void", "alpha_granule")
    )
    assert values["alpha_granule_count"].value is None
    assert values["mitochondria_volume_fraction"].value is None
    assert "outline" in values["cell_volume_imaged_um3"].not_assessable
    assert values["mitochondria_count"].value == 1
    assert values["vesicle_count"].value == 0


def test_a_doubtful_instance_widens_the_interval():
    sure = measured([organelle(1), organelle(2)])["mitochondria_count"]
    doubtful = measured([organelle(1), organelle(2, confidence=0.55)])["mitochondria_count"]
    assert (sure.low, sure.high) == (2.0, 2.0)
    assert doubtful.low < 2.0 < doubtful.high


def test_every_value_has_an_interval_or_a_reason():
    for one in measured([organelle(1)], [filament(1, 80.0)]).values():
        if one.value is None:
            assert one.not_assessable
        else:
            assert one.low <= one.value <= one.high


def test_means_inside_mitochondria_are_over_those_that_were_seen():
    seen = [
        replace(organelle(1), crista_volume_ratio=0.2, membrane_spacing_nm=14.0, length_nm=300.0),
        replace(organelle(2), crista_volume_ratio=0.4, membrane_spacing_nm=None, length_nm=200.0),
        replace(organelle(3, border=True), length_nm=900.0),
    ]
    values = measured(seen)
    assert values["crista_volume_ratio_mean"].value == pytest.approx(0.3)
    assert values["crista_volume_ratio_mean"].n == 2
    assert values["mitochondrion_membrane_spacing_mean_nm"].value == 14.0
    # A cut one is shorter than it is.
    assert values["mitochondrion_length_mean_nm"].value == pytest.approx(250.0)
    assert values["mitochondrion_membrane_distance_mean_nm"].not_assessable


def test_what_the_networks_do_not_look_for_is_not_assessable():
    assert measured()["ribosome_count"].not_assessable
    found = measured(n_ribosomes=100)
    count = found["ribosome_count"]
    assert count.value == 100
    assert count.low < 81
    assert count.high > 119
    assert found["ribosome_density_per_um3"].value == pytest.approx(1000.0)
    weak = measured(n_ribosomes=100, weak_outputs=("ribosome",))
    assert "ribosomes" in weak["ribosome_count"].not_assessable


def test_the_band_is_not_assessable_without_a_rim():
    assert "rim" in measured()["microtubule_band_turns"].not_assessable
    band = MarginalBand(2000.0, np.array([2.0, 3.0, 2.0, 0.0]))
    values = measured(band=band)
    assert values["microtubule_band_turns"].value == pytest.approx(1.75)
    integrity = values["microtubule_band_integrity"]
    assert integrity.value == pytest.approx(0.75)
    assert 0.0 <= integrity.low < 0.75 < integrity.high <= 1.0
    weak = measured(band=band, weak_outputs=("void",))
    assert weak["microtubule_band_turns"].not_assessable


def in_state(number, state, probability=1.0):
    return replace(organelle(number), state=state, state_probability=probability)


def test_share_of_abnormal_mitochondria_is_of_those_whose_state_was_told():
    found = [
        in_state(1, "normal"), in_state(2, "swollen"), in_state(3, "round_crista_poor"),
        in_state(4, "normal"), organelle(5),
    ]  # fmt: skip
    share = measured(found)["mito_abnormal_fraction"]
    assert (share.value, share.n) == (0.5, 4)
    assert 0.0 <= share.low < 0.5 < share.high <= 1.0


def test_doubtful_states_widen_the_interval():
    sure = [in_state(n, "normal" if n % 2 else "swollen") for n in range(20)]
    unsure = [replace(one, state_probability=0.55) for one in sure]
    first, second = (measured(each)["mito_abnormal_fraction"] for each in (sure, unsure))
    assert second.high - second.low > 1.2 * (first.high - first.low)


def test_without_a_state_the_share_is_not_assessable():
    assert measured([organelle(1)])["mito_abnormal_fraction"].not_assessable
    assert measured()["mito_abnormal_fraction"].not_assessable == "no mitochondrion was found"


def test_nothing_is_rounder_than_a_ball():
    round_ones = [replace(organelle(n), sphericity=shape) for n, shape in enumerate((0.97, 1.0))]
    found = measured(round_ones)["mitochondrion_sphericity_mean"]
    assert found.low < found.value < found.high
    assert found.high == 1.0
