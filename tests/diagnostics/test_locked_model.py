import json

import numpy as np
import pytest

from cohorts.tables import FeatureTable, donor_means
from diagnostics.classifiers import LinearDiscriminant
from diagnostics.locked_model import lock_model, model_from_json, model_to_json
from diagnostics.panels import panel_named
from diagnostics.prediction import predict_case, typicality
from diagnostics.reference import load_reference, reference_from_table
from diagnostics.validation import validate_leave_one_donor_out
from engine.data.measurements import QualityFlag
from engine.errors import BadInputError, ModelFileError
from tests.diagnostics import synthetic

PANEL = panel_named("platelet")


def predict(case, reference=None):
    return predict_case(case, reference or synthetic.reference(), synthetic.model(), PANEL)


def test_the_model_is_the_classifier_fitted_on_donor_means():
    means = donor_means(synthetic.table())
    columns = [means.features.index(name) for name in PANEL.features]
    x = means.values[:, columns]
    y = np.array([label == "cancer" for label in means.labels])
    fitted = LinearDiscriminant.fit(x, y)
    assert synthetic.model().classifier.to_state() == fitted.to_state()
    assert synthetic.model().probability(x[0]) == pytest.approx(fitted.probability(x)[0])


def test_the_validation_inside_is_that_of_leaving_one_donor_out():
    table = FeatureTable(synthetic.table().frame, PANEL.features)
    oracle = validate_leave_one_donor_out(table, "group", "donor", "cancer", "lda")
    kept = synthetic.model().validation
    assert (kept.accuracy.correct, kept.accuracy.n) == (oracle.accuracy.correct, 23)
    assert [one.probability for one in kept.predictions] == [
        one.probability for one in oracle.predictions
    ]
    assert {one.group for one in kept.predictions} == {"cancer", "benign", "healthy"}


def test_a_model_file_gives_the_model_back():
    text = model_to_json(synthetic.model())
    assert model_from_json(text) == synthetic.model()
    assert model_to_json(model_from_json(text)) == text


@pytest.mark.parametrize("key", ["threshold", "midpoint", "validation", "training_sha256"])
def test_an_altered_model_file_is_refused(key):
    content = json.loads(model_to_json(synthetic.model()))
    content[key] = {"threshold": 0.4, "midpoint": [1.0, 2.0], "validation": {}}.get(key, "0" * 64)
    with pytest.raises(ModelFileError, match="altered"):
        model_from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"sha256": "x", "format": "other"}'])
def test_what_is_no_model_file_is_refused(text):
    with pytest.raises(ModelFileError):
        model_from_json(text)


def test_the_hash_of_the_table_does_not_depend_on_the_order_of_rows_or_columns():
    table = synthetic.table()
    shuffled = table.frame.iloc[::-1][list(table.frame.columns[::-1])]
    again = FeatureTable(shuffled, table.features)
    assert lock_model(again, PANEL, simulated=True).training_sha256 == (
        synthetic.model().training_sha256
    )


def test_one_changed_value_of_the_table_changes_its_hash():
    frame = synthetic.table().frame.copy()
    frame.loc[0, "vesicle_count"] += 1e-9
    changed = FeatureTable(frame, synthetic.table().features)
    found = reference_from_table("x", changed, description="", simulated=True).sha256
    assert found != synthetic.model().training_sha256


def test_too_few_donors_are_refused():
    frame = synthetic.table().frame
    few = frame[frame["donor"].isin(["cancer-01", "cancer-02", "benign-01", "healthy-01"])]
    with pytest.raises(BadInputError, match="at least 8 donors"):
        lock_model(FeatureTable(few, synthetic.table().features), PANEL, simulated=True)


def test_a_table_without_a_feature_of_the_panel_is_refused():
    table = FeatureTable(synthetic.table().frame, ("vesicle_count",))
    with pytest.raises(BadInputError, match="mitochondria_count"):
        lock_model(table, PANEL, simulated=True)


def test_the_predicted_probability_is_the_locked_models():
    case = synthetic.case()
    values = np.array([case.values[name].value for name in PANEL.features])
    found = predict(case)
    assert found.probability == synthetic.model().probability(values)
    assert found.low < found.probability < found.high
    assert found.positive == (found.probability >= 0.5)
    total = found.midpoint_log_odds + sum(part.log_odds for part in found.contributions)
    assert 1 / (1 + np.exp(-total)) == pytest.approx(found.probability)


def test_more_tomograms_narrow_the_interval():
    few, many = (
        synthetic.case_features(
            "D",
            [synthetic.measurements(i, count=4.0, length=7000.0) for i in range(n)],
        )
        for n in (1, 8)
    )
    wide, narrow = predict(few), predict(many)
    assert wide.probability == pytest.approx(narrow.probability)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_case_outside_the_cohort_gets_no_probability():
    far = synthetic.case_features(
        "D", [synthetic.measurements(n, count=60.0, length=1.0) for n in (1, 2, 3)]
    )
    found = predict(far)
    assert found.probability is None
    assert any("outside the reference cohort" in reason for reason in found.withheld)
    assert max(item.p_value for item in found.typicality) < 0.01


def test_a_case_in_the_middle_of_a_group_is_typical_of_it():
    model = synthetic.model()
    found = typicality(np.array(model.classes[1].means), model)
    assert found[1].p_value == pytest.approx(1.0)
    assert found[1].group == "controls"


def test_typicality_is_uniform_for_further_donors_of_a_group():
    model, rng = synthetic.model(), np.random.default_rng(0)
    covariance = np.array(model.within_covariance)
    # The pooled covariance is estimated once: over many cases of one cohort the shares are only
    # near uniform, so the bounds are wide.
    draws = rng.multivariate_normal(model.classes[0].means, covariance, size=400)
    shares = [typicality(x, model)[0].p_value for x in draws]
    assert 0.02 < np.mean(np.array(shares) < 0.1) < 0.2


def test_a_missing_feature_of_the_model_withholds_the_result():
    found = predict(synthetic.case(missing=(("mitochondria_count", "no cytoplasm"),)))
    assert found.probability is None
    assert "Mitochondria per tomogram could not be assessed: no cytoplasm" in found.withheld


def test_an_error_flag_withholds_the_result():
    found = predict(synthetic.case(flags=(QualityFlag("error", "empty", "nothing to see"),)))
    assert any("nothing to see" in reason for reason in found.withheld)


def test_a_real_case_gets_no_probability_from_simulated_donors():
    found = predict(synthetic.case(simulated=False))
    assert found.probability is None
    assert any("simulated" in reason for reason in found.withheld)
    assert predict(synthetic.case(simulated=False), synthetic.reference(False)).probability


def case_of_thickness(thickness_nm):
    tomograms = []
    for number in (1, 2, 3):
        found = synthetic.measurements(number)
        thickness = synthetic.measured(thickness_nm, "nm", 1.0)
        values = {**found.values, "specimen_thickness_nm": thickness}
        tomograms.append(type(found)(found.tomogram_id, values, (), found.provenance))
    return synthetic.case_features("D", tomograms)


def test_a_recording_unlike_the_cohorts_withholds_the_result():
    withheld = predict(case_of_thickness(9.0)).withheld
    assert any("thickness of the specimen is 9 nm" in reason for reason in withheld)


def test_a_recording_a_few_percent_thinner_than_the_cohorts_still_compares():
    thinnest, _ = synthetic.reference(True).extremes["specimen_thickness_nm"]
    assert predict(case_of_thickness(0.96 * thinnest)).withheld == ()
    assert predict(case_of_thickness(0.85 * thinnest)).withheld


def test_a_case_beyond_the_training_range_is_warned_of():
    case = synthetic.case_features(
        "D", [synthetic.measurements(n, count=7.0, length=2500.0) for n in (1, 2, 3)]
    )
    found = predict(case)
    assert any("extrapolates" in warning for warning in found.warnings) or found.withheld


def test_an_unknown_reference_is_refused():
    with pytest.raises(BadInputError, match="no_such_cohort"):
        load_reference("no_such_cohort")
