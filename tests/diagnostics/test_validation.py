import json

import numpy as np
import pandas as pd
import pytest

from cohorts.tables import FeatureTable
from diagnostics.classifiers import CLASSIFIERS
from diagnostics.validation import validate_leave_one_donor_out
from engine.errors import BadInputError


def table(n=(12, 5, 6), shift=1.6, rows=4, seed=0, features=("count", "length_nm")):
    """Cancer, benign and healthy donors; within-donor correlation 0.3."""
    rng = np.random.default_rng(seed)
    found = []
    for i, group in enumerate(np.repeat(["cancer", "benign", "healthy"], n)):
        donor = rng.normal(size=len(features)) * np.sqrt(0.3) + shift * (group == "cancer")
        found += [
            (f"D{i:02d}", group, *(donor + rng.normal(size=len(features)) * np.sqrt(0.7)))
            for _ in range(rows)
        ]
    return FeatureTable(pd.DataFrame(found, columns=["donor", "group", *features]), features)


def validate(features, model="lda", n_permutations=199, **further):
    return validate_leave_one_donor_out(
        features, "group", "donor", "cancer", model, n_permutations=n_permutations, **further
    )


def replaced(features, frame):
    return FeatureTable(frame, features.features)


@pytest.mark.parametrize("model", list(CLASSIFIERS))
def test_predictions_agree_with_the_plain_loop(model):
    features = table()
    means = features.frame.groupby("donor")[list(features.features)].mean()
    y = features.frame.groupby("donor")["group"].first().to_numpy() == "cancer"
    result = validate(features, model)
    for i, prediction in enumerate(result.predictions):
        keep = np.arange(len(y)) != i
        fitted = CLASSIFIERS[model].fit(means.to_numpy()[keep], y[keep], prior=12 / 23)
        expected = fitted.probability(means.to_numpy()[i : i + 1])[0]
        assert prediction.donor == means.index[i]
        assert prediction.probability == pytest.approx(expected)


def test_figures_follow_from_the_predictions():
    result = validate(table())
    content = result.to_json()
    json.dumps(content, allow_nan=False)
    positive = [p for p in content["predictions"] if p["label"] == "cancer"]
    right = [p for p in content["predictions"] if p["correct"]]
    assert content["n_donors"] == 23
    assert content["accuracy"]["n"] == 23
    assert content["accuracy"]["correct"] == len(right)
    assert content["sensitivity"]["value"] == sum(p["predicted"] == "cancer" for p in positive) / 12
    for name in ("auc", "accuracy", "sensitivity", "specificity"):
        figure = content[name]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
        assert figure["method"]


def test_a_clear_difference_is_found_and_none_is_not():
    assert validate(table(shift=2.5)).permutation_p == pytest.approx(1 / 200)
    chance = [validate(table(shift=0, seed=seed), n_permutations=99) for seed in range(8)]
    assert np.mean([result.permutation_p <= 0.05 for result in chance]) <= 0.25
    assert 0.3 < np.mean([result.auc.value for result in chance]) < 0.65


def test_a_constant_feature_gives_the_auc_of_a_coin():
    features = table()
    frame = features.frame.assign(count=1.0, length_nm=2.0)
    result = validate(replaced(features, frame))
    assert result.auc.value == 0.5
    assert result.permutation_p == 1.0
    assert any("Constant" in note for note in result.notes)


def test_the_order_of_rows_does_not_matter():
    features = table()
    shuffled = replaced(features, features.frame.sample(frac=1, random_state=3))
    first = {p.donor: p.probability for p in validate(features).predictions}
    second = {p.donor: p.probability for p in validate(shuffled).predictions}
    assert first == pytest.approx(second)


def test_the_same_call_gives_the_same_bytes():
    assert json.dumps(validate(table()).to_json()) == json.dumps(validate(table()).to_json())


def test_repeating_the_rows_of_donors_changes_nothing():
    features = table()
    twice = replaced(features, pd.concat([features.frame, features.frame]))
    once, again = validate(features), validate(twice)
    assert again.n_donors == 23
    assert again.auc == once.auc
    assert again.accuracy == once.accuracy


def test_tomogram_noise_that_names_the_donor_does_not_help():
    rng = np.random.default_rng(8)
    frame = table(shift=0).frame
    marks = {donor: rng.normal(size=3) * 50 for donor in frame["donor"].unique()}
    frame[["a", "b", "c"]] = [marks[donor] for donor in frame["donor"]]
    result = validate(FeatureTable(frame, ("a", "b", "c")))
    assert result.accuracy.value < 0.8


@pytest.mark.parametrize("model", list(CLASSIFIERS))
def test_separated_classes_keep_finite_figures(model):
    features = table(shift=40.0)
    result = validate(features, model)
    assert result.accuracy.correct == 23
    assert result.auc.value == 1
    assert 0.7 < result.auc.low < 1
    assert result.calibration.slope.value is None
    json.dumps(result.to_json(), allow_nan=False)


@pytest.mark.parametrize("model", list(CLASSIFIERS))
def test_more_features_than_donors(model):
    features = table(n=(5, 0, 5), features=tuple(f"f{i}" for i in range(15)))
    result = validate(features, model, n_permutations=99)
    assert np.isfinite([p.probability for p in result.predictions]).all()


@pytest.mark.parametrize("model", list(CLASSIFIERS))
def test_two_donors_a_class(model):
    result = validate(table(n=(2, 0, 2), shift=3.0), model, n_permutations=99)
    assert result.n_donors == 4
    assert any("provisional" in note for note in result.notes)


def test_missing_values_are_filled_inside_the_folds():
    features = table()
    frame = features.frame.copy()
    frame.loc[frame["donor"] == "D03", "count"] = np.nan
    frame.loc[frame["donor"] == "D04", ["count", "length_nm"]] = np.nan
    frame.loc[frame["donor"] == "D05", "group"] = ""
    result = validate(replaced(features, frame))
    assert result.n_donors == 21
    assert dict(result.excluded) == {"D04": "no feature is assessable", "D05": "no label"}
    assert "D03" in [p.donor for p in result.predictions]
    assert any("count" in note for note in result.notes)


def test_two_groups_are_both_named_in_predictions():
    features = table(n=(6, 0, 6))
    assert {p.predicted for p in validate(features).predictions} <= {"cancer", "healthy"}
    many = validate(table())
    assert {p.predicted for p in many.predictions} <= {"cancer", "not cancer"}


def test_a_whole_number_label_matches_its_decimal_form():
    features = table(n=(6, 0, 6))
    frame = features.frame.assign(
        group=features.frame["group"].map({"cancer": "1.0", "healthy": "0.0"})
    )
    result = validate_leave_one_donor_out(
        replaced(features, frame), "group", "donor", "1", n_permutations=99
    )
    assert result.n_positive == 6
    assert result.params.positive == "1.0"


def test_folds_leave_whole_sites_out():
    features = table()
    frame = features.frame.assign(site=[f"S{int(d[1:]) % 4}" for d in features.frame["donor"]])
    result = validate(replaced(features, frame), folds="site")
    assert "4 folds" in result.scheme
    assert result.n_donors == 23


def test_a_donor_on_both_sides_of_a_fold_is_an_error():
    features = table()
    frame = features.frame.assign(site=["A", "B"] * (len(features.frame) // 2))
    with pytest.raises(BadInputError, match="D00"):
        validate(replaced(features, frame), folds="site")


def test_a_donor_with_two_labels_is_an_error():
    features = table()
    frame = features.frame.copy()
    frame.loc[0, "group"] = "healthy"
    with pytest.raises(BadInputError, match=r"D00 \(cancer, healthy\)"):
        validate(replaced(features, frame))


def test_a_fold_that_takes_a_whole_class_is_an_error():
    features = table()
    frame = features.frame.assign(site=features.frame["group"])
    with pytest.raises(BadInputError, match="only one class"):
        validate(replaced(features, frame), folds="site")


def test_wrong_arguments_are_refused():
    features = table()
    with pytest.raises(BadInputError, match="one of the labels"):
        validate_leave_one_donor_out(features, "group", "donor", "malignant")
    with pytest.raises(BadInputError, match="model"):
        validate(features, "forest")
    with pytest.raises(BadInputError, match="two donors in each class"):
        validate(table(n=(1, 0, 6)))


@pytest.mark.slow
def test_permutation_p_is_uniform_under_no_difference():
    p_values = [validate(table(shift=0, seed=s), n_permutations=199).permutation_p
                for s in range(300)]  # fmt: skip
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.035)


@pytest.mark.slow
def test_a_published_effect_size_gives_about_nineteen_right():
    right = [validate(table(shift=1.6 * np.sqrt(0.3 + 0.7 / 4), seed=s), n_permutations=99)
             .accuracy.correct for s in range(150)]  # fmt: skip
    assert np.mean(right) == pytest.approx(19.4, abs=0.8)
