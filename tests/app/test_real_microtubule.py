"""The shipped networks on a real volume of which the truth is known."""

import numpy as np
import pytest

from app.wiring import shipped_networks
from engine.io.mrc import read_tomogram
from engine.segmentation.analyse import analyse_tomogram
from tests.real_data import real_data

# The axis was measured twice by other means; it crosses the whole box.
LENGTH_NM, AXIS_DEG = 227.0, 17.6


def test_the_real_microtubule_is_one_line_through_its_whole_box():
    path = real_data("microtubule/mt_13pf.mrc")
    tomogram = read_tomogram(path, voxel_size_angst=10.52, contrast="bright")
    found = analyse_tomogram(tomogram, shipped_networks("cpu"))
    (line,) = found.filaments
    assert line.length_nm == pytest.approx(LENGTH_NM, rel=0.07)
    assert line.starts_at_border
    assert line.ends_at_border
    _, along_y, along_x = line.points_angst[-1] - line.points_angst[0]
    assert np.degrees(np.arctan2(abs(along_x), abs(along_y))) == pytest.approx(AXIS_DEG, abs=2.0)
    classes = {organelle.organelle_class for organelle in found.instances.organelles}
    assert "mitochondrion" not in classes
