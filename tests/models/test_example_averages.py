"""A stack that begins with many wrong names and few examples sorts itself."""

import numpy as np
import pytest
import torch

from engine.data.classification import Classification
from engine.errors import BadInputError
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions
from models.example_averages import ExampleAverageParams, sorted_by_averages

BOX, VOXEL_ANGST, EACH = 12, 26.0, 30
# Three with examples, and a fourth that is like none of them.
STRUCTURES = assemblies(4, 70)
CONDITIONS = Conditions(microscopies=("tilt_series",), snr_range=(0.3, 0.3))
NAMES = ("a", "b", "c")
PARAMS = ExampleAverageParams(shares=(0.6, 0.9), iterations=(1, 1))
ONE_ROUND = ExampleAverageParams(shares=(0.8,), iterations=(1,))
WRONG = 0.35


def started(kinds, rng):
    """A third of the known named wrongly, and half of the strangers not noticed."""
    known = kinds < len(NAMES)
    said = np.where(known, kinds, rng.integers(3, size=len(kinds)))
    wrong = rng.random(len(kinds)) < WRONG
    said[wrong] = (said[wrong] + rng.integers(1, 3, size=wrong.sum())) % 3
    sure = rng.uniform(0.4, 0.7, size=len(kinds)) + 0.2 * ~wrong
    probabilities = np.tile((1.0 - sure)[:, None] / 2.0, (1, 3))
    probabilities[np.arange(len(kinds)), said] = sure
    is_none = ~known & (rng.random(len(kinds)) < 0.5)
    embeddings = rng.normal(size=(len(kinds), 4)).astype(np.float32)
    return Classification(NAMES, probabilities, embeddings, np.where(is_none, 1.0, -1.0), is_none)


@pytest.fixture(scope="module")
def stack():
    return SetMaker(STRUCTURES, CONDITIONS, BOX, VOXEL_ANGST).balanced(EACH, (1,))


@pytest.fixture(scope="module")
def examples():
    made = SetMaker(STRUCTURES[:3], CONDITIONS, BOX, VOXEL_ANGST).balanced(2, (2,))
    return LabelledSubtomograms(made.images, made.kinds, NAMES)


def test_wrong_names_are_mended_and_strangers_get_averages_of_their_own(stack, examples):
    kinds = stack.kinds.numpy()
    start = started(kinds, np.random.default_rng(0))
    shares = []
    made = sorted_by_averages(stack.images, examples, start, PARAMS, shares.append)
    found = made.found
    known = kinds < 3
    before = (start.kinds[known] == kinds[known]).mean()
    assert before < 0.75
    assert (found.kinds[known] == kinds[known]).mean() > 0.9
    assert found.is_none[~known].mean() > 0.9
    assert found.is_none[known].mean() < 0.15
    assert found.probabilities.sum(axis=1) == pytest.approx(1.0)
    # The three classes, and the stranger at least.
    assert made.averages.shape[1:] == (BOX,) * 3
    assert len(made.averages) == len(made.n_members) >= 4
    assert sum(made.n_members) == len(kinds)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_noise_alone_is_none_of_the_classes(stack, examples):
    """Also where too little is unlike the examples to average it."""
    known = torch.as_tensor(np.flatnonzero(stack.kinds.numpy() < 3))
    noise = torch.randn((10, 1, BOX, BOX, BOX), generator=torch.Generator().manual_seed(0))
    kinds = np.concatenate([stack.kinds[known].numpy(), np.full(10, 3)])
    start = started(kinds, np.random.default_rng(1))
    images = torch.cat([stack.images[known], noise])
    found = sorted_by_averages(images, examples, start, ONE_ROUND).found
    assert (found.kinds[:-10] == kinds[:-10]).mean() > 0.9
    assert found.is_none[-10:].all()
    assert found.is_none[:-10].mean() < 0.1


def test_known_ones_that_seemed_strange_come_back(stack, examples):
    """A group of one class's own members does not stay a class of its own."""
    known = torch.as_tensor(np.flatnonzero(stack.kinds.numpy() < 3))
    kinds = stack.kinds[known].numpy()
    rng = np.random.default_rng(2)
    start = started(kinds, rng)
    strange = rng.random(len(kinds)) < 0.25
    start = Classification(
        NAMES, start.probabilities, start.embeddings, np.where(strange, 1.0, -1.0), strange
    )
    found = sorted_by_averages(stack.images[known], examples, start, ONE_ROUND).found
    assert (found.kinds == kinds).mean() > 0.9
    assert found.is_none.mean() < 0.2


def test_classes_that_began_with_one_anothers_members_are_named_by_their_examples(stack, examples):
    """Two of three names exchanged throughout: only the examples can tell."""
    known = torch.as_tensor(np.flatnonzero(stack.kinds.numpy() < 3))
    kinds = stack.kinds[known].numpy()
    exchanged = np.array([1, 0, 2])[kinds]
    start = started(exchanged, np.random.default_rng(3))
    assert (start.kinds == kinds).mean() < 0.5
    found = sorted_by_averages(stack.images[known], examples, start, ONE_ROUND).found
    assert (found.kinds == kinds).mean() > 0.9


def test_too_few_to_average_are_refused(stack, examples):
    start = started(stack.kinds.numpy()[:20], np.random.default_rng(0))
    with pytest.raises(BadInputError, match="at least 36 subtomograms"):
        sorted_by_averages(stack.images[:20], examples, start)
