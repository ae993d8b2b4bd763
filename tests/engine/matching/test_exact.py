"""The score of the true rotated template."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.matching.exact import TemplateRotator, exact_scores
from engine.matching.matched_volume import matched_volume
from engine.matching.region import fitted_to, needed_box_vox
from tests.engine.matching.scenes import BOX, FILTER, planted, template


def test_a_score_does_not_depend_on_the_box_of_the_file():
    volume = matched_volume(planted().voxels, FILTER, halo_vox=BOX)
    where, rotation = planted().positions_vox, Rotation.random(1, rng=np.random.default_rng(0))[0]
    tight = fitted_to(template(), needed_box_vox(template()))
    scores = [
        exact_scores(volume, TemplateRotator(fitted_to(tight, box), FILTER), where, rotation)
        for box in (tight.box_vox, tight.box_vox + 5, 40)
    ]
    assert scores[1] == pytest.approx(scores[0], rel=1e-6)
    assert scores[2] == pytest.approx(scores[0], rel=1e-6)
