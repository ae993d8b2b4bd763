import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.case import case_features, mean_measurement
from diagnostics.features.table import FEATURES, feature_named
from engine.data.measurements import Measurement, QualityFlag
from engine.errors import BadInputError
from tests.diagnostics import synthetic

COUNT = feature_named("mitochondria_count")


def test_a_donors_value_is_the_mean_over_tomograms_and_keeps_their_number():
    case = synthetic.case()
    found = case.values["mitochondria_count"]
    assert found.value == pytest.approx(7.0)
    assert found.n == 3
    assert found.low < 7.0 < found.high
    assert set(case.values) == {feature.name for feature in FEATURES}


def test_the_interval_covers_the_mean_of_a_donors_tomograms():
    rng = np.random.default_rng(1)
    n_cases, true_mean, held = 1500, 20.0, 0
    for _ in range(n_cases):
        values = rng.normal(true_mean, 3.0, size=4)
        found = mean_measurement(COUNT, [Measurement(float(v), "1", v, v, 1) for v in values])
        held += found.low <= true_mean <= found.high
    # 95 % by construction; three standard errors of the share either way.
    assert 0.933 < held / n_cases < 0.967


def test_agreeing_tomograms_keep_the_uncertainty_of_their_own_measurement():
    zeros = [Measurement(0.0, "1", 0.0, 3.0, 0) for _ in range(3)]
    found = mean_measurement(COUNT, zeros)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(3.0 / np.sqrt(3))


def test_one_tomogram_carries_its_own_interval_and_says_so():
    case = case_features("D", [synthetic.measurements(1, count=4.0)])
    assert case.values["mitochondria_count"] == Measurement(4.0, "1", 3.0, 5.0, 1)
    assert [flag.code for flag in case.flags] == ["single_tomogram"]


def test_one_tomogram_without_interval_gets_none_invented():
    found = mean_measurement(COUNT, [Measurement(2.0, "1", None, None, 1)])
    assert found == Measurement(2.0, "1", None, None, 1)


def test_what_no_tomogram_allows_to_assess_is_a_reason_and_never_zero():
    missing = (("mitochondrion_sphericity_mean", "every mitochondrion is cut"),)
    found = synthetic.case(missing=missing).values["mitochondrion_sphericity_mean"]
    assert found.value is None
    assert found.not_assessable == "every mitochondrion is cut"
    assert found.n == 0


def test_a_partly_assessable_feature_is_the_mean_of_the_others_and_flagged():
    missing = (("vesicle_count", "ice covers the cell"),)
    tomograms = [synthetic.measurements(1), synthetic.measurements(2, missing=missing)]
    case = case_features("D", tomograms)
    assert case.values["vesicle_count"].n == 1
    flag = next(flag for flag in case.flags if flag.code == "partly_assessable")
    assert "Vesicles per tomogram (1 of 2)" in flag.message


def test_flags_are_united_and_named_by_tomogram():
    case = synthetic.case(flags=(QualityFlag("warning", "thin", "specimen is thin"),))
    messages = [flag.message for flag in case.flags]
    assert messages == [f"T-{n}: specimen is thin" for n in (1, 2, 3)]


def test_one_simulated_tomogram_makes_the_case_simulated():
    real, simulated = (synthetic.measurements(n, simulated=n == 2) for n in (1, 2))
    assert case_features("D", [real, simulated]).simulated
    assert not case_features("D", [real]).simulated


def test_the_order_of_tomograms_does_not_count():
    tomograms = [synthetic.measurements(n, count=float(n)) for n in (1, 2, 3)]
    assert case_features("D", tomograms) == case_features("D", tomograms[::-1])


def test_no_tomogram_and_a_repeated_one_are_refused():
    with pytest.raises(BadInputError, match="at least one"):
        case_features("D", [])
    with pytest.raises(BadInputError, match="twice"):
        case_features("D", [synthetic.measurements(1), synthetic.measurements(1)])


def test_another_unit_is_refused():
    wrong = synthetic.measurements(1)
    values = dict(wrong.values)
    values["microtubule_length_total_nm"] = Measurement(5.0, "um", 4.0, 6.0, 1)
    with pytest.raises(BadInputError, match="unit nm, found um"):
        case_features("D", [type(wrong)("T-9", values, (), wrong.provenance)])


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=6
    )
)
def test_limits_stay_possible_and_hold_the_mean(triples):
    share = feature_named("mitochondria_volume_fraction")
    measured = [Measurement(v, "1", v - below, v + above, 1) for v, below, above in triples]
    found = mean_measurement(share, measured)
    assert 0.0 <= found.low <= found.value <= found.high
    assert found.high <= max(1.0, found.value)
