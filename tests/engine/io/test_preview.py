from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from engine.io.colours import CLASS_COLOURS
from engine.io.preview import best_sections, nice_length_nm, write_preview
from tests.analyses import analysis, empty_analysis, tomogram


def picture(path):
    return np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB")).astype(int)


def near_colour(image, colour, tolerance=12):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=2) < tolerance).sum())


def test_what_was_found_is_drawn_in_its_colour(tmp_path):
    write_preview(tmp_path / "full.png", analysis(), tomogram())
    write_preview(tmp_path / "empty.png", empty_analysis(), tomogram())
    full, empty = picture(tmp_path / "full.png"), picture(tmp_path / "empty.png")
    for name in ("mitochondrion", "alpha_granule", "microtubule"):
        assert near_colour(full, CLASS_COLOURS[name]) > 200
        assert near_colour(empty, CLASS_COLOURS[name]) == 0


def test_the_same_analysis_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, analysis(), tomogram())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_simulated_tomogram_is_called_so_in_the_picture(tmp_path):
    write_preview(tmp_path / "real.png", analysis(simulated=False), tomogram(simulated=False))
    write_preview(tmp_path / "sim.png", analysis(), tomogram())
    assert (
        near_colour(picture(tmp_path / "sim.png"), "#A03000", 4)
        > 1500
        > near_colour(picture(tmp_path / "real.png"), "#A03000", 4)
    )


def test_the_sections_go_through_what_was_found():
    xy, xz = best_sections(analysis())
    assert 5 <= xy.position_vox < 15
    assert 10 <= xz.position_vox < 25


def test_an_empty_volume_is_cut_in_the_middle():
    xy, xz = best_sections(empty_analysis())
    assert (xy.position_vox, xz.position_vox) == (10, 24)


@pytest.mark.parametrize("shape", [(2, 40, 10), (30, 8, 90), (3, 3, 3), (60, 60, 60)])
def test_odd_shapes_are_drawn(tmp_path, shape):
    write_preview(tmp_path / "p.png", empty_analysis(shape), tomogram(shape=shape))
    assert picture(tmp_path / "p.png").size > 0


@pytest.mark.parametrize(
    ("width_nm", "wanted"), [(100, 20), (400, 100), (1000, 200), (5000, 1000), (9, 2)]
)
def test_scale_bars_have_round_lengths(width_nm, wanted):
    assert nice_length_nm(width_nm) == wanted
