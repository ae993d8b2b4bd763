import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from engine.classification.confidence import (
    calibration_error,
    fitted_open_set,
    fitted_stranger_class,
    fitted_temperature,
    probabilities_of,
    stranger_log_odds,
)
from engine.classification.prototypes import prototypes_of
from engine.errors import BadInputError


def drawn(rng, n, temperature, n_classes=4):
    """Logits whose true temperature is known: classes are drawn from them."""
    honest = rng.normal(0.0, 2.0, size=(n, n_classes))
    probabilities = softmax(honest, axis=1)
    kinds = np.array([rng.choice(n_classes, p=row) for row in probabilities])
    return honest * temperature, kinds


@settings(max_examples=10, deadline=None)
@given(temperature=st.floats(0.4, 4.0), seed=st.integers(0, 1000))
def test_the_temperature_that_logits_were_raised_by_is_found(temperature, seed):
    logits, kinds = drawn(np.random.default_rng(seed), 3000, temperature)
    assert fitted_temperature(logits, kinds) == pytest.approx(temperature, rel=0.15)


def test_calibration_error_is_small_after_and_large_before():
    logits, kinds = drawn(np.random.default_rng(1), 5000, 4.0)
    before = calibration_error(softmax(logits, axis=1), kinds)
    found = fitted_temperature(logits, kinds)
    after = calibration_error(probabilities_of(logits, found), kinds)
    assert before > 0.1
    assert after < 0.02


def test_calibration_error_of_a_known_table():
    """Sure to 0.8 and right in half of the cases: 0.3 off; sure to 1 and right: 0."""
    probabilities = np.array([[0.8, 0.2]] * 4 + [[0.0, 1.0]] * 4)
    kinds = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    assert calibration_error(probabilities, kinds) == pytest.approx(0.15)
    assert np.isnan(calibration_error(np.zeros((0, 2)), np.zeros(0, dtype=int)))
    assert fitted_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int)) == 1.0


def clouds(rng, centres, n=200):
    kinds = np.repeat(np.arange(len(centres)), n)
    return centres[kinds] + 0.3 * rng.normal(size=(len(kinds), centres.shape[1])), kinds


def test_what_is_far_from_all_classes_is_none_of_them():
    rng = np.random.default_rng(2)
    centres = 3.0 * np.eye(6)[:3]
    features, kinds = clouds(rng, centres)
    held_out, held_out_kinds = clouds(rng, centres)
    model = fitted_open_set(features, kinds, held_out, held_out_kinds, 3)
    strange, _ = clouds(rng, 3.0 * np.eye(6)[4:5])
    assert (model.scores(strange) > model.limit).mean() > 0.99
    assert (model.scores(held_out) > model.limit).mean() == pytest.approx(0.05, abs=0.01)


def test_a_stranger_beside_a_tight_class_is_none_of_them_though_a_loose_class_reaches_as_far():
    rng = np.random.default_rng(4)
    spreads = np.array([0.1, 1.0])

    def drawn(n):
        kinds = np.repeat([0, 1], n)
        centres = np.array([[0.0] * 4, [9.0, 0.0, 0.0, 0.0]])
        return centres[kinds] + spreads[kinds, None] * rng.normal(size=(2 * n, 4)), kinds

    model = fitted_open_set(*drawn(300), *drawn(300), 2)
    strangers = rng.normal(size=(200, 4))
    strangers *= 1.0 / np.linalg.norm(strangers, axis=1, keepdims=True)
    assert (model.scores(strangers) > model.limit).mean() > 0.95
    assert (model.scores(drawn(300)[0]) > model.limit).mean() < 0.1


def test_one_example_names_its_neighbours():
    rng = np.random.default_rng(3)
    features, kinds = clouds(rng, 3.0 * np.eye(5)[:4])
    first = np.array([np.flatnonzero(kinds == kind)[0] for kind in range(4)])
    prototypes = prototypes_of(features[first], kinds[first], 4)
    assert (prototypes.nearest(features) == kinds).mean() > 0.98
    # The length of a feature says nothing.
    np.testing.assert_array_equal(prototypes.nearest(7.0 * features), prototypes.nearest(features))


def test_a_class_without_example_is_refused():
    with pytest.raises(BadInputError, match=r"classes \[1\] have no example"):
        prototypes_of(np.ones((2, 3)), np.array([0, 2]), 3)
    with pytest.raises(BadInputError, match=r"classes \[1\] have no example"):
        fitted_open_set(np.ones((2, 3)), np.array([0, 2]), np.ones((1, 3)), np.zeros(1, int), 3)


def test_the_odds_of_a_stranger_are_those_of_its_probability():
    logits = np.random.default_rng(0).normal(0.0, 3.0, size=(50, 4))
    probability = softmax(logits, axis=1)[:, -1]
    np.testing.assert_allclose(
        stranger_log_odds(logits), np.log(probability / (1.0 - probability)), rtol=1e-9
    )


def test_one_known_in_twenty_lies_above_the_limit_of_strangers():
    logits = np.random.default_rng(1).normal(size=(2000, 3))
    limit = fitted_stranger_class(logits, logits).limit
    assert (stranger_log_odds(logits) > limit).mean() == pytest.approx(0.05, abs=1e-3)


def test_strangers_that_are_like_none_of_those_shown_are_far_from_the_classes():
    """Log odds say nothing of them, the distance does; it counts alike, however wide odds lie."""
    rng = np.random.default_rng(2)
    kinds = np.repeat([0, 1], 300)
    near = np.eye(2)[kinds] + 0.1 * rng.normal(size=(600, 2))
    far = 2.0 + 0.1 * rng.normal(size=(300, 2))
    distance = fitted_open_set(near, kinds, near, kinds, 2)
    for spread in (1.0, 30.0):
        logits = spread * rng.normal(size=(900, 3))
        model = fitted_stranger_class(logits[:600], near, distance)
        assert (model.scores(logits[:600], near) > model.limit).mean() == pytest.approx(
            0.05, abs=2e-3
        )
        assert (model.scores(logits[600:], far) > model.limit).mean() > 0.99
        # Far from strangers, where even odds are: fewer than one in twenty.
        surely = logits[:600] + np.array([60.0 * spread, 0.0, 0.0])
        model = fitted_stranger_class(surely, near, distance)
        assert (model.scores(surely, near) > model.limit).mean() < 0.01
        assert model.limit == pytest.approx(model.weight)
        assert fitted_stranger_class(logits[:600], near).scores(logits, near) == pytest.approx(
            stranger_log_odds(logits)
        )
