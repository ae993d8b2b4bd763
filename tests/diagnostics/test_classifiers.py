import json

import numpy as np
import pytest
from firthmodels import FirthLogisticRegression
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from diagnostics.classifiers import (
    CLASSIFIERS,
    FirthLogistic,
    LinearDiscriminant,
    batch_log_odds,
    classifier_from_state,
)
from diagnostics.discriminant import discriminants
from diagnostics.firth import firth_fits
from diagnostics.preparation import prepare
from engine.errors import BadInputError
from tests.diagnostics.published_data import endometrial

NAMES = list(CLASSIFIERS)


def cohort(n=23, p=2, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) < (n + 1) // 2
    return rng.normal(size=(n, p)) + shift * y[:, None], y


def in_units(model):
    """Coefficients per unit of each feature."""
    return np.array(model.weights) / np.array(model.preparation.scale)


def test_firthmodels_reproduces_heinze_and_schemper():
    x, y = endometrial()
    fitted = FirthLogisticRegression(backend="numpy", gtol=1e-8, xtol=1e-8, max_iter=100).fit(x, y)
    assert fitted.coef_ == pytest.approx([2.92927304, -0.03475172, -2.60416363], abs=5e-6)
    assert fitted.intercept_ == pytest.approx(3.77455860, abs=5e-6)


def test_firth_weights_of_the_endometrial_data():
    x, y = endometrial()
    model = FirthLogistic.fit(x, y)
    assert in_units(model) == pytest.approx([2.92927304, -0.03475172, -2.60416363], abs=1e-5)
    assert model.probability(x).mean() == pytest.approx(y.mean())


def test_many_firth_fits_at_once_agree_with_firthmodels():
    x, y = endometrial()
    rng = np.random.default_rng(0)
    labels = np.array([y, *(rng.permutation(y) for _ in range(5))])
    preparation = prepare(x)
    weights, _ = firth_fits(preparation.apply(x), labels)
    for row, found in zip(labels, weights / np.array(preparation.scale), strict=True):
        fitted = FirthLogisticRegression(backend="numpy", gtol=1e-8, xtol=1e-8, max_iter=100)
        assert found == pytest.approx(fitted.fit(x, row).coef_, abs=1e-5)


def test_discriminant_points_where_sklearn_points():
    x, y = cohort()
    ours = in_units(LinearDiscriminant.fit(x, y))
    theirs = LinearDiscriminantAnalysis().fit(x, y).coef_[0]
    assert ours / np.linalg.norm(ours) == pytest.approx(theirs / np.linalg.norm(theirs))


def test_discriminant_of_a_textbook_case():
    x = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2], [4, 1], [6, 1], [4, 3], [6, 3]])
    y = np.arange(8) >= 4
    weights, intercepts = discriminants(x, y[None])
    pooled = np.diag([8 / 6, 8 / 6])
    expected = np.linalg.solve(pooled, [4.0, 1.0])
    assert weights[0] == pytest.approx(expected, rel=1e-6)
    assert intercepts[0] == pytest.approx(-expected @ [3.0, 1.5], rel=1e-6)


def test_shrinkage_is_that_of_ledoit_and_wolf():
    x, y = cohort(n=12, p=6, seed=2)
    residuals = x - np.where(y[:, None], x[y].mean(axis=0), x[~y].mean(axis=0))
    amount = ledoit_wolf_shrinkage(residuals, assume_centered=True)
    pooled = residuals.T @ residuals / 10
    target = np.trace(pooled) / 6 * np.eye(6)
    difference = x[y].mean(axis=0) - x[~y].mean(axis=0)
    plain = np.linalg.solve((1 - amount) * pooled + amount * target, difference)
    found = discriminants(x, y[None])[0][0]
    assert found @ plain / np.linalg.norm(found) / np.linalg.norm(plain) > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_batch_agrees_with_one_fit_at_a_time(name):
    x, y = cohort(n=15, p=2, seed=3)
    x[2, 1] = np.nan
    rng = np.random.default_rng(1)
    labels = np.array([rng.permutation(y) for _ in range(12)])
    together = batch_log_odds(name, x[1:], labels[:, 1:], x[:1], 8 / 15)
    single = [
        CLASSIFIERS[name].fit(x[1:], row[1:], prior=8 / 15).log_odds(x[:1])[0] for row in labels
    ]
    assert together[:, 0] == pytest.approx(single, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_json(name):
    x, y = cohort()
    model = CLASSIFIERS[name].fit(x, y)
    again = classifier_from_state(json.loads(json.dumps(model.to_state())))
    assert again == model
    assert again.probability(x).tolist() == model.probability(x).tolist()


@pytest.mark.parametrize("state", [{}, {"model": "tree"}, {"model": "lda", "fill": [1]},
    {"model": "lda", "fill": [1], "scale": [1, 2], "weights": [1], "intercept": 0}])  # fmt: skip
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(BadInputError):
        classifier_from_state(state)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    factor=st.floats(1e-6, 1e6),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 1000),
)
def test_units_of_a_feature_do_not_matter(name, factor, offset, seed):
    x, y = cohort(n=16, seed=seed)
    before = CLASSIFIERS[name].fit(x, y).probability(x)
    changed = x * [factor, 1.0] + [offset * factor, 0.0]
    after = CLASSIFIERS[name].fit(changed, y).probability(changed)
    assert after == pytest.approx(before, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_exchanging_the_labels_mirrors_the_probabilities(name):
    x, y = cohort(seed=4)
    forward = CLASSIFIERS[name].fit(x, y).probability(x)
    backward = CLASSIFIERS[name].fit(x, ~y).probability(x)
    assert forward == pytest.approx(1 - backward, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_separated_constant_repeated_and_absent_features_give_finite_answers(name):
    x, y = cohort(n=12, p=2, seed=5)
    x = np.column_stack([x, 9.0 * y, np.full(12, 3.3), x[:, 0], np.full(12, np.nan)])
    model = CLASSIFIERS[name].fit(x, y)
    probability = model.probability(x)
    assert np.isfinite(probability).all()
    assert ((probability > 0.5) == y).all()


def test_an_absent_value_counts_as_the_mean():
    x, y = cohort()
    model = LinearDiscriminant.fit(x, y)
    absent, mean = x[:1].copy(), x[:1].copy()
    absent[0, 0], mean[0, 0] = np.nan, x[:, 0].mean()
    assert model.probability(absent) == pytest.approx(model.probability(mean))
    assert model.contributions(absent)[0, 0] == 0


def test_contributions_add_up_to_the_log_odds():
    x, y = cohort()
    model = FirthLogistic.fit(x, y)
    total = model.contributions(x).sum(axis=1) + model.intercept
    assert total == pytest.approx(model.log_odds(x))


@pytest.mark.parametrize("name", NAMES)
def test_one_class_is_refused(name):
    with pytest.raises(BadInputError, match="both classes"):
        CLASSIFIERS[name].fit(np.ones((4, 1)), np.ones(4, dtype=bool))
