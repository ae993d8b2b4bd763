import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engine.data.classification import NONE_OF_THESE
from models import classifier_pool
from models.classifier_pool import SetMaker, assemblies, strangers
from models.classifier_recipe import Conditions

BOX_VOX, VOXEL_ANGST = 16, 20.0
CLEAR = Conditions(snr_range=(50.0, 50.0))


def maker(others=(), **options):
    return SetMaker(assemblies(2, 1), CLEAR, BOX_VOX, VOXEL_ANGST, others=others, **options)


def test_strangers_are_the_last_class_and_do_not_change_the_others():
    alone, shared = maker().balanced(6, (3,)), maker(strangers(8, 2)).balanced(6, (3,))
    assert shared.class_names == ("assembly-0", "assembly-1", NONE_OF_THESE)
    assert shared.has_strangers
    assert not alone.has_strangers
    assert shared.known_names == alone.class_names
    assert shared.counts.tolist() == [6, 6, 6]
    assert shared.of_known().counts.tolist() == [6, 6, 0]
    torch.testing.assert_close(
        shared.images.mean(dim=(1, 2, 3, 4)), torch.zeros(18), atol=1e-4, rtol=0.0
    )


def test_without_noise_the_image_is_the_signal():
    clear = Conditions(snr_range=(math.inf, math.inf))
    structures = assemblies(2, 1)
    made = SetMaker(structures, clear, BOX_VOX, VOXEL_ANGST).balanced(1, (3,))
    again = SetMaker(structures, clear, BOX_VOX, VOXEL_ANGST).balanced(1, (3,))
    torch.testing.assert_close(made.images, again.images)
    assert torch.isfinite(made.images).all()
    with pytest.raises(ValidationError, match="infinity is no end"):
        Conditions(snr_range=(0.1, math.inf))


def test_some_strangers_are_noise_alone(monkeypatch):
    made = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr(classifier_pool, "EMPTY_SHARE", share)
        made[share] = maker(strangers(8, 2), with_targets=True).make(np.full(30, 2), (4,))
    # At this SNR the middle is brighter than the rim unless there is nothing.
    middle = {
        share: one.images[:, 0, 5:11, 5:11, 5:11].mean(dim=(1, 2, 3)) for share, one in made.items()
    }
    assert (middle[0.0] > 0.5).float().mean() > 0.5
    assert (middle[1.0].abs() < 0.5).all()
    np.testing.assert_allclose(made[1.0].images.std(dim=(1, 2, 3, 4)), 1.0, rtol=0.01)
    assert not made[1.0].targets.any()
    assert made[0.0].targets.any()


def test_strangers_are_many_and_come_from_their_seed():
    one, same, other = strangers(8, 2), strangers(8, 2), strangers(8, 3)
    assert len({structure.name for structure in one}) == 8
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a.voxels, b.voxels)
        assert not np.array_equal(a.voxels, c.voxels)
