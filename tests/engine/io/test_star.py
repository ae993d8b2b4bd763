"""Particle STAR files: conventions pinned by known answers, round trips, refusals by name."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from engine.data.orientations import rotations_from_relion
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError
from engine.io.star import RELION5_CENTRE, read_star, write_star
from tests.engine.io.particle_lists import (
    PLACES,
    RELION_ANGLES,
    VOXEL_SIZES,
    apart_deg,
    particles,
)
from tests.real_data import real_data

FLAVOURS = ("relion31", "relion4", "relion5")
SHAPES = {"tomo_1": (200, 500, 501), "tomo_2": (301, 400, 400)}
PLACE = {"rlnCoordinateX": 3, "rlnCoordinateY": 4, "rlnCoordinateZ": 5}
CENTRED = {name.replace("Coord", "CenteredCoord") + "Angst": n for name, n in PLACE.items()}
ANGLES = {"rlnAngleRot": 0, "rlnAngleTilt": 90, "rlnAnglePsi": 0}


def block(name, columns):
    labels = [f"_{label} #{i}" for i, label in enumerate(columns, 1)]
    row = " ".join(str(value) for value in columns.values())
    return "\n".join([f"data_{name}", "", "loop_", *labels, row, "", ""])


def star(tmp_path, columns, optics=None):
    path = tmp_path / "picks.star"
    path.write_text((block("optics", optics) if optics else "") + block("particles", columns))
    return path


def test_relions_fixed_point_sends_reference_z_to_minus_x(tmp_path):
    found = read_star(star(tmp_path, PLACE | ANGLES), voxel_size_angst=1.0)
    assert found.rotations.apply([0, 0, 1])[0] == pytest.approx([-1, 0, 0], abs=1e-12)


def test_coordinates_count_voxels_from_the_centre_of_the_first(tmp_path):
    found = read_star(star(tmp_path, PLACE | ANGLES), voxel_size_angst=10.0)
    assert found.positions_angst.tolist() == [[50.0, 40.0, 30.0]]
    assert found.tomogram_ids == ("picks",)


def test_relion_5_counts_from_half_the_size_even_for_odd_sizes(tmp_path):
    # TomogramSet::loadTomogram: centre = d3Vector(w0/2.0, h0/2.0, d0/2.0).
    assert RELION5_CENTRE == 0.5
    path = star(tmp_path, CENTRED | ANGLES)
    found = read_star(path, voxel_size_angst=10.0, tomogram_shapes={"picks": (100, 201, 300)})
    assert found.positions_angst.tolist() == [[505.0, 1009.0, 1503.0]]
    middle = ParticleSet(np.array([[500.0, 1005.0, 1500.0]]), found.rotations, ("picks",), ("",))
    write_star(
        path, middle, flavour="relion5", voxel_size_angst=10.0, tomogram_shapes=(100, 201, 300)
    )
    assert "picks 0.000000000 0.000000000 0.000000000 " in path.read_text()


def test_coordinates_from_a_centre_need_the_shape(tmp_path):
    path = star(tmp_path, CENTRED | ANGLES)
    with pytest.raises(BadInputError, match="expected the shape of tomogram 'picks'"):
        read_star(path, voxel_size_angst=10.0)
    with pytest.raises(BadInputError, match="expected the shape of tomogram 'tomo_"):
        write_star(path, particles(1), flavour="relion5", voxel_size_angst=10.0)


def test_origin_shifts_are_subtracted(tmp_path):
    shift = {"rlnOriginXAngst": 1, "rlnOriginYAngst": 2, "rlnOriginZAngst": -3}
    found = read_star(star(tmp_path, PLACE | ANGLES | shift), voxel_size_angst=10.0)
    assert found.positions_angst.tolist() == [[53.0, 38.0, 29.0]]


def test_origin_shifts_in_voxels_are_refused_unless_zero(tmp_path):
    with pytest.raises(BadInputError, match=r"rlnOriginX to be 0 .* convert it to rlnOriginXAngst"):
        read_star(star(tmp_path, PLACE | ANGLES | {"rlnOriginX": 1}), voxel_size_angst=10.0)
    read_star(star(tmp_path, PLACE | ANGLES | {"rlnOriginX": 0}), voxel_size_angst=10.0)


def test_the_box_orientation_turns_shift_and_particle(tmp_path):
    box = {name.replace("Angle", "TomoSubtomogram"): angle for name, angle in ANGLES.items()}
    columns = PLACE | box
    shift = {"rlnOriginXAngst": 0, "rlnOriginYAngst": 0, "rlnOriginZAngst": 2}
    found = read_star(star(tmp_path, columns | shift), voxel_size_angst=10.0)
    assert found.rotations.apply([0, 0, 1])[0] == pytest.approx([-1, 0, 0], abs=1e-12)
    # The shift of 2 Å along the box's z lies along -x of the tomogram, and is subtracted.
    assert found.positions_angst[0] == pytest.approx([50.0, 40.0, 32.0])


@pytest.mark.parametrize(
    ("column", "optics", "expected_angst"),
    [
        ({"rlnDetectorPixelSize": 14}, None, 14.0),
        ({}, {"rlnOpticsGroup": 1, "rlnTomoTiltSeriesPixelSize": 1.35}, 1.35),
        ({}, {"rlnOpticsGroup": 1, "rlnImagePixelSize": 2.7}, 2.7),
        ({"rlnPixelSize": 3.5}, None, 3.5),
    ],
)
def test_the_voxel_size_comes_from_the_file(tmp_path, column, optics, expected_angst):
    path = star(tmp_path, PLACE | ANGLES | column, optics)
    found = read_star(path, default_voxel_size_angst=99.0)
    assert found.positions_angst[0, 2] == pytest.approx(3 * expected_angst)
    # What the caller gives stands above the file.
    assert read_star(path, voxel_size_angst=2.0).positions_angst[0, 2] == 6.0


def test_no_voxel_size_is_refused_and_a_default_taken(tmp_path):
    path = star(tmp_path, PLACE | ANGLES)
    with pytest.raises(BadInputError, match="--voxel-size-angst"):
        read_star(path)
    assert read_star(path, default_voxel_size_angst=2.0).positions_angst[0, 2] == 6.0


def test_no_angles_are_refused_unless_allowed(tmp_path):
    path = star(tmp_path, PLACE)
    with pytest.raises(BadInputError, match="found no angles; allow missing angles"):
        read_star(path, voxel_size_angst=1.0)
    found = read_star(path, voxel_size_angst=1.0, allow_missing_angles=True)
    assert found.figures["orientation_known"].tolist() == [0.0]
    write_star(tmp_path / "again.star", found, flavour="relion4", voxel_size_angst=1.0)
    assert "rlnAngle" not in (tmp_path / "again.star").read_text()


@pytest.mark.parametrize("name", ["rlnCenteredCoordinateXPix", "wrpCoordinateX1", "myShiftX"])
def test_a_column_that_is_not_known_is_refused_by_name(tmp_path, name):
    with pytest.raises(BadInputError, match=name) as caught:
        read_star(star(tmp_path, PLACE | ANGLES | {name: 1}), voxel_size_angst=1.0)
    assert "\n" not in str(caught.value)


def test_half_a_triple_and_a_missing_number_are_refused(tmp_path):
    columns = PLACE | {"rlnAngleRot": 0, "rlnAngleTilt": 0}
    with pytest.raises(BadInputError, match="found no rlnAnglePsi"):
        read_star(star(tmp_path, columns), voxel_size_angst=1.0)
    with pytest.raises(BadInputError, match="particle 1 of 1"):
        read_star(star(tmp_path, PLACE | ANGLES | {"rlnCoordinateX": "nan"}), voxel_size_angst=1.0)


@pytest.mark.parametrize("text", ["x", "data_\n", "data_particles\n\nloop_\n_rlnAngleRot #1\n1\n"])
def test_other_files_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "picks.star"
    path.write_text(text)
    with pytest.raises(BadInputError) as caught:
        read_star(path, voxel_size_angst=1.0)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingFileError):
        read_star(tmp_path / "none.star")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("n", [0, 1, 30])
def test_what_is_written_is_read_back(tmp_path, flavour, n):
    before = particles(n)
    more = {name: np.linspace(0, 1e-9, n) for name in ("p_value", "q_value", "probability")}
    before = ParticleSet(
        before.positions_angst,
        before.rotations,
        before.tomogram_ids,
        before.class_names,
        {**before.figures, **more, "cut_off": np.full(n, np.nan)},
    )
    path = tmp_path / "picks.star"
    write_star(path, before, flavour=flavour, voxel_size_angst=13.2, tomogram_shapes=SHAPES)
    after = read_star(path, default_voxel_size_angst=13.2, tomogram_shapes=SHAPES)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-6)
    assert apart_deg(before, after) < 1e-6
    assert (after.tomogram_ids, after.class_names) == (before.tomogram_ids, before.class_names)
    assert set(after.figures) == set(before.figures)
    for name, values in before.figures.items():
        assert np.array_equal(after.figures[name], values, equal_nan=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angles=RELION_ANGLES, place=PLACES, voxel_size_angst=VOXEL_SIZES)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_any_particle_survives_the_round_trip(tmp_path, flavour, angles, place, voxel_size_angst):
    rotations = rotations_from_relion(np.array([angles]))
    before = ParticleSet(np.array([place]), rotations, ("tomo_1",), ("4",))
    path = tmp_path / "one.star"
    write_star(
        path,
        before,
        flavour=flavour,
        voxel_size_angst=voxel_size_angst,
        tomogram_shapes=SHAPES,
    )
    after = read_star(path, voxel_size_angst=voxel_size_angst, tomogram_shapes=SHAPES)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-6)
    assert apart_deg(before, after) < 1e-6


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_same_particles_give_the_same_bytes(tmp_path, flavour):
    for name in ("a", "b"):
        write_star(
            tmp_path / name,
            particles(5),
            flavour=flavour,
            voxel_size_angst=10.0,
            tomogram_shapes=SHAPES,
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", ["007", "1e5", "two words", "NA", "None", "true", "loop_"])
def test_names_that_look_like_something_else_are_kept(tmp_path, name):
    before = particles(2, names=(name,), classes=(name,))
    path = tmp_path / "picks.star"
    write_star(path, before, flavour="relion4", voxel_size_angst=10.0)
    after = read_star(path)
    assert (after.tomogram_ids, after.class_names) == ((name,) * 2, (name,) * 2)


@pytest.mark.parametrize("name", ["nan", "<NA>", "data_x", "_x"])
def test_names_that_the_parser_takes_for_something_else_are_refused_not_changed(tmp_path, name):
    path = tmp_path / "picks.star"
    before = particles(2, names=(name,))
    write_star(path, before, flavour="relion4", voxel_size_angst=10.0)
    with pytest.raises(BadInputError) as caught:
        read_star(path)
    assert "\n" not in str(caught.value)


def test_labels_end_in_a_number_as_relion_cuts_them(tmp_path):
    # MetaDataTable::readStarLoop takes what stands between "_" and " #".
    path = tmp_path / "picks.star"
    write_star(path, particles(1), flavour="relion4", voxel_size_angst=10.0)
    labels = [line for line in path.read_text().splitlines() if line.startswith("_")]
    assert all(len(line.split(" #")) == 2 for line in labels)
    assert any(line.startswith("_tomodxTemplate #") for line in labels)


def test_public_picks_of_pytom_match_pick_are_read():
    path = real_data("microtubule/picks/SPEF1MT2_001_8.48Apx_particles.star")
    found = read_star(path)
    assert len(found) == 2500
    assert found.positions_angst[0] / 8.48 == pytest.approx([135, 769, 691])
    assert found.figures["score"][0] == 0.582118
    assert {"cut_off", "search_std"} <= set(found.figures)
    assert set(found.tomogram_ids) == {"SPEF1MT2_001_8.48Apx"}


def test_public_particles_of_cilia_and_microtubules_are_read():
    found = read_star(real_data("cilia/CCDC147C_001_particles_fitted.star"))
    assert found.positions_angst[0] / 14.0 == pytest.approx([79.238626, 572.391002, 146.0])
    assert found.figures["tube_id"][0] == 1.0
    path = real_data("microtubule/chlamydomonas_microtubules.star")
    with pytest.raises(BadInputError, match="expected the voxel size"):
        read_star(path)
    assert read_star(path, voxel_size_angst=1.96).tomogram_ids[0] == "tomo_0133"
