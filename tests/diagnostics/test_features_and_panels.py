import re

import numpy as np
import pytest

from diagnostics.features.table import FEATURES, FEATURES_BY_NAME, display_number, feature_named
from diagnostics.panels import PANELS, panel_named
from diagnostics.panels.rules import panel_from_yaml
from engine.errors import BadInputError
from engine.segmentation.measurements import measure

UNIT_ENDINGS = {
    "/um": "_per_um",
    "nm": "_nm",
    "um3": "_um3",
    "/um3": "_per_um3",
    "nm/um3": "_nm_per_um3",
}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_name_carries_its_unit_and_says_what_it_is(feature):
    if feature.unit == "1":
        assert not re.search(r"_(nm|um\d?)$", feature.name)
    else:
        ending = UNIT_ENDINGS[feature.unit]
        assert feature.name.replace("_total_nm", "_nm").replace("_mean_", "_").endswith(ending)
    assert feature.definition.endswith(".")
    assert feature.label[0].isupper()
    assert feature.display_factor > 0


def test_feature_names_are_unique():
    assert len(FEATURES_BY_NAME) == len(FEATURES)


# Measured since the shipped reference cohort was: a case has nothing to be set against yet.
NOT_IN_THE_COHORT = {
    "mitochondrion_membrane_spacing_mean_nm",
    "crista_volume_ratio_mean",
    "crista_junctions_mean",
    "ribosome_count",
    "ribosome_density_per_um3",
    "matrix_granules_mean",
    "matrix_granule_diameter_mean_nm",
}


def test_every_feature_is_measured_by_the_engine_in_the_unit_of_the_table():
    found = measure(
        (), (), mitochondria_band=(0, 0), length_band_nm=(0.0, 0.0),
        cell_volume_um3=1.0, thickness_nm=200.0,
    )  # fmt: skip
    units = {name: m.unit for name, m in found.items()}
    assert {f.name: f.unit for f in FEATURES} == {
        name: unit for name, unit in units.items() if name not in NOT_IN_THE_COHORT
    }
    assert set(units) >= NOT_IN_THE_COHORT


def test_an_unknown_feature_is_named_in_the_error():
    with pytest.raises(BadInputError, match="no_such_feature"):
        feature_named("no_such_feature")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("mitochondria_count", 3.6666, "3.7"),
        ("microtubule_length_total_nm", 12345.0, "12.35"),
        ("mitochondria_volume_fraction", 0.0512, "5.12"),
        ("mitochondrion_volume_mean_um3", 1e-6, "< 0.0001"),
        ("mitochondria_count", 0.0, "0.0"),
    ],
)
def test_numbers_are_printed_in_display_units_and_never_rounded_to_zero(name, value, shown):
    assert display_number(feature_named(name), value) == shown


@pytest.mark.parametrize("name", list(PANELS))
def test_every_panel_is_complete_and_names_source_and_status(name):
    panel = panel_named(name)
    assert panel.doi.startswith("10.")
    assert panel.statements
    assert all(one.source and one.status in ("verified", "unverified") for one in panel.statements)
    assert {"cancer", "benign", "healthy"} == set(panel.groups)
    assert np.isclose(panel.threshold, 0.5)


def test_an_unverified_statement_prints_its_status():
    statements = panel_named("platelet").statements
    assert any(one.status == "unverified" for one in statements)
    for one in statements:
        assert ("[unverified]" in one.printed) == (one.status == "unverified")


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "name: x", "model: forest\nname: x", "name: [unclosed"]
)
def test_a_panel_file_with_faults_is_refused(text):
    with pytest.raises(BadInputError):
        panel_from_yaml(text)


def test_an_unknown_panel_is_refused():
    with pytest.raises(BadInputError, match="platelet"):
        panel_named("astrology")
