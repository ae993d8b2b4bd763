from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.data.labels import MITOCHONDRION_STATES
from engine.errors import BadInputError
from models.classifier_training import FitParams, parts_of
from models.mitochondrion_boxes import N_LOOKS, mitochondrion_looks
from models.recipe import PoolRecipe

POOL = PoolRecipe(
    n_tomograms=2, shape=(48, 128, 128), snr_range=(0.05, 0.3), mean_mitochondria=4.0,
    mean_microtubules=0.0, seed=3, mitochondrion_states=True,
)  # fmt: skip


def test_every_look_shows_the_same_mitochondria_otherwise(tmp_path):
    looks = mitochondrion_looks(tmp_path, POOL, 16, 20.0, "cpu")
    assert len(looks) == N_LOOKS
    first, second = looks[:2]
    assert first.class_names == MITOCHONDRION_STATES
    assert len(first) > 1
    assert first.images.shape[1:] == (1, 16, 16, 16)
    np.testing.assert_array_equal(first.kinds, second.kinds)
    for a, b in zip(first.images, second.images, strict=True):
        assert not torch.equal(a, b)
        # One body in other noise, a few nanometres elsewhere.
        assert np.corrcoef(a.flatten(), b.flatten())[0, 1] > 0.2
    # A body that is held out is held out in every look.
    numbers = torch.arange(len(first), dtype=torch.float32).reshape(-1, 1, 1, 1, 1)
    kept = [
        parts_of(replace(look, images=numbers), FitParams(epochs=1, held_out=0.3))[1]
        for look in looks
    ]
    for one in kept:
        torch.testing.assert_close(one.images, kept[0].images)
    again = mitochondrion_looks(tmp_path, POOL, 16, 20.0, "cpu")
    torch.testing.assert_close(again[2].images, looks[2].images)


def test_a_pool_without_states_is_refused(tmp_path):
    plain = POOL.model_copy(update={"mitochondrion_states": False})
    with pytest.raises(BadInputError, match="mitochondrion_states"):
        mitochondrion_looks(tmp_path, plain, 16, 20.0, "cpu")
