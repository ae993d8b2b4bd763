"""The check picture: what is drawn where, same bytes."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PatchCollection
from matplotlib.quiver import Quiver

from engine.data.orientations import rotations_from_relion
from engine.data.particles import ParticleSet
from engine.io.landing_picture import (
    N_MONTAGE,
    landing_figure,
    write_landing_picture,
)
from engine.io.particle_coordinates import ORIENTATION_KNOWN, identities
from tests.analyses import SHAPE, VOXEL_ANGST, tomogram


def picks(places_vox, *, figures=None, angles=(0.0, 90.0, 0.0)):
    places = np.asarray(places_vox, dtype=np.float64).reshape(-1, 3)
    n = len(places)
    rotations = rotations_from_relion(np.tile(angles, (n, 1)))
    return ParticleSet(places * VOXEL_ANGST, rotations, ("cell",) * n, ("a",) * n, figures or {})


def scattered(n, seed=0):
    return picks(np.random.default_rng(seed).uniform(0, np.array(SHAPE) - 1, (n, 3)))


def drawn(figure, kind):
    return [item for axes in figure.axes[:2] for item in axes.collections if isinstance(item, kind)]


@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_any_number_of_picks_gives_the_same_bytes_twice(tmp_path, n):
    for name in ("a.png", "b.png"):
        write_landing_picture(tmp_path / name, scattered(n), tomogram(), radius_angst=60.0)
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert first == (tmp_path / "b.png").read_bytes()


def test_a_pick_is_circled_in_both_slabs_and_its_arrow_points_along_reference_z():
    figure = landing_figure(picks([(10, 30, 20)]), tomogram(), radius_angst=50.0)
    circles = drawn(figure, PatchCollection)
    centres = [item.get_paths()[0].get_extents() for item in circles]
    assert [(box.x0 + box.x1) / 2 for box in centres] == pytest.approx([20.0, 20.0])
    assert [(box.y0 + box.y1) / 2 for box in centres] == pytest.approx([30.0, 10.0])
    # RELION's (0, 90, 0) sends reference +z to -x.
    for arrows in drawn(figure, Quiver):
        assert arrows.U.tolist() == pytest.approx([-3.2])
        assert arrows.V.tolist() == pytest.approx([0.0], abs=1e-12)


def test_picks_without_orientation_get_no_arrows():
    unknown = ParticleSet(
        np.full((2, 3), 100.0), identities(2), ("a",) * 2, ("",) * 2,
        {ORIENTATION_KNOWN: np.zeros(2)},
    )  # fmt: skip
    figure = landing_figure(unknown, tomogram(), radius_angst=50.0)
    assert drawn(figure, Quiver) == []
    assert any("No orientations" in text.get_text() for text in figure.texts)


def test_the_best_picks_inside_are_cut_out_with_the_pick_in_the_middle():
    places = [(10, 20, 5 + i) for i in range(20)] + [(10, 20, 500)]
    scores = np.arange(21.0)
    figure = landing_figure(picks(places, figures={"score": scores}), tomogram(), radius_angst=50.0)
    montage = figure.axes[2 : 2 + N_MONTAGE]
    titles = [axes.get_title() for axes in montage]
    assert len(figure.axes) == 2 + N_MONTAGE + 2
    assert titles[0] == "pick 20"
    assert "pick 21" not in titles
    section = montage[0].images[0].get_array()
    half = section.shape[0] // 2
    expected = -tomogram().voxels[9:12, 20, 24].mean(dtype=np.float64)
    assert section[half, half] == pytest.approx(expected)


def test_a_cut_beyond_the_border_is_blank_there():
    figure = landing_figure(picks([(0, 0, 0)]), tomogram(), radius_angst=50.0)
    section = np.ma.filled(figure.axes[2].images[0].get_array(), np.nan)
    half = section.shape[0] // 2
    assert np.isnan(section[:half]).all()
    assert np.isfinite(section[half:, half:]).all()


def test_a_simulated_tomogram_says_so():
    figure = landing_figure(scattered(3), tomogram(simulated=True), radius_angst=50.0)
    assert any("SIMULATED" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("shift_vox", [(0, 0, 0), (1, 0, 0), (0, 0, -1)])
def test_a_shift_of_one_voxel_shows_in_the_means(shift_vox):
    rng = np.random.default_rng(0)
    places = np.array([(z, y, x) for z in (6, 13) for y in (12, 24, 36) for x in (12, 32, 52)])
    volume = rng.normal(0.0, 0.2, SHAPE).astype(np.float32)
    for z, y, x in places:
        volume[z, y, x] += 3.0
    dots = replace(tomogram(), voxels=volume)
    figure = landing_figure(picks(places + np.array(shift_vox)), dots, radius_angst=75.0)
    for axes, (row, column) in zip(figure.axes[-2:], ((1, 2), (0, 2)), strict=True):
        section = -np.ma.filled(axes.images[0].get_array(), np.nan)
        peak = np.unravel_index(np.nanargmax(section), section.shape)
        middle = section.shape[0] // 2
        assert peak == (middle - shift_vox[row], middle - shift_vox[column])
