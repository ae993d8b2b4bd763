"""Dynamo tables: conventions pinned by known answers, round trips, refusals."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy.spatial.transform import Rotation

from engine.data.orientations import relion_from_rotations, rotations_from_relion
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError
from engine.io.dynamo_table import read_dynamo_table, recorded_table_sampling, write_dynamo_table
from tests.engine.io.particle_lists import (
    PLACES,
    RELION_ANGLES,
    VOXEL_SIZES,
    apart_deg,
    particles,
)
from tests.real_data import real_data


def row(**columns):
    """A line of 35 columns; keys are `c` and the number of the column from 1."""
    values = np.zeros(35)
    for name, value in columns.items():
        values[int(name[1:]) - 1] = value
    return " ".join(f"{value:g}" for value in values) + "\n"


def table(tmp_path, text):
    path = tmp_path / "picks.tbl"
    path.write_text(text)
    return path


def test_the_known_pair_of_dynamo_and_relion_is_one_orientation(tmp_path):
    # Identical reconstructions in both programs; the pair that the package eulerangles tests.
    path = table(tmp_path, row(c7=-47.2730, c8=1.1777, c9=-132.3000))
    found = read_dynamo_table(path, voxel_size_angst=1.0)
    assert relion_from_rotations(found.rotations)[0] == pytest.approx([137.7, 1.1777, 42.727])


def test_the_matrix_is_the_one_that_relion_makes_of_a_table(tmp_path):
    tdrot, tilt, narot = np.radians([30.0, 60.0, 75.0])

    def clockwise(angle, axis):
        c, s = np.cos(angle), np.sin(angle)
        if axis == "z":
            return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])

    expected = clockwise(tdrot, "z") @ clockwise(tilt, "x") @ clockwise(narot, "z")
    path = table(tmp_path, row(c7=30, c8=60, c9=75))
    found = read_dynamo_table(path, voxel_size_angst=1.0)
    assert found.rotations.as_matrix()[0] == pytest.approx(expected, abs=1e-12)


def test_the_inverse_is_what_dynamos_own_function_prints(tmp_path):
    # dynamo_euler2matrix([30, 60, 90]) in Matlab; a point of the template lands at inv(m) * r.
    printed = [[-0.25, -0.4330127, 0.8660254], [0.8660254, -0.5, 0.0], [0.4330127, 0.75, 0.5]]
    found = read_dynamo_table(table(tmp_path, row(c7=30, c8=60, c9=90)), voxel_size_angst=1.0)
    assert found.rotations.inv().as_matrix()[0] == pytest.approx(np.array(printed), abs=1e-7)


def test_relions_fixed_point_sends_reference_z_to_minus_x(tmp_path):
    rotations = rotations_from_relion(np.array([[0.0, 90.0, 0.0]]))
    one = ParticleSet(np.zeros((1, 3)), rotations, ("1",), ("1",))
    write_dynamo_table(tmp_path / "one.tbl", one, voxel_size_angst=1.0)
    columns = (tmp_path / "one.tbl").read_text().split()
    assert [float(value) for value in columns[6:9]] == pytest.approx([-90.0, 90.0, 90.0])
    found = read_dynamo_table(tmp_path / "one.tbl")
    assert found.rotations.apply([0, 0, 1])[0] == pytest.approx([-1, 0, 0], abs=1e-12)


def test_coordinates_count_from_1_and_shifts_are_added(tmp_path):
    path = table(tmp_path, row(c4=0.5, c5=-1, c6=2, c8=10, c20=7, c22=3, c24=1, c25=11, c26=21))
    found = read_dynamo_table(path, voxel_size_angst=2.0)
    assert found.positions_angst.tolist() == [[44.0, 18.0, 1.0]]
    assert (found.tomogram_ids, found.class_names) == (("7",), ("3",))
    assert "score" not in found.figures


@pytest.mark.parametrize("n", [0, 1, 30])
def test_what_is_written_is_read_back(tmp_path, n):
    before = particles(n)
    path = tmp_path / "picks.tbl"
    numbers = write_dynamo_table(path, before, voxel_size_angst=13.2)
    after = read_dynamo_table(path, default_voxel_size_angst=13.2)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-6)
    assert apart_deg(before, after) < 1e-6
    assert after.tomogram_ids == tuple(str(numbers[name]) for name in before.tomogram_ids)
    if n:
        assert after.figures["score"] == pytest.approx(before.figures["score"], abs=1e-9)
        assert recorded_table_sampling(path).tolist() == [13.2] * n


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angles=RELION_ANGLES, place=PLACES, voxel_size_angst=VOXEL_SIZES)
def test_any_particle_survives_the_round_trip(tmp_path, angles, place, voxel_size_angst):
    rotations = rotations_from_relion(np.array([angles]))
    before = ParticleSet(np.array([place]), rotations, ("12",), ("4",))
    path = tmp_path / "one.tbl"
    write_dynamo_table(path, before, voxel_size_angst=voxel_size_angst)
    after = read_dynamo_table(path, voxel_size_angst=voxel_size_angst)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-6)
    assert apart_deg(before, after) < 1e-6
    assert (after.tomogram_ids, after.class_names) == (("12",), ("4",))


def test_the_same_particles_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_dynamo_table(tmp_path / name, particles(5), voxel_size_angst=10.0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_score_stays_missing_and_large_numbers_whole(tmp_path):
    rotations = Rotation.from_euler("x", [[0.2], [0.3]])
    figures = {"score": np.array([np.nan, 0.5])}
    before = ParticleSet(np.zeros((2, 3)), rotations, ("20240913", "5"), ("1", "1"), figures)
    write_dynamo_table(tmp_path / "a.tbl", before, voxel_size_angst=1.0)
    after = read_dynamo_table(tmp_path / "a.tbl")
    assert np.isnan(after.figures["score"][0])
    assert after.tomogram_ids == ("20240913", "5")


def test_no_angles_are_refused_unless_allowed(tmp_path):
    path = table(tmp_path, row(c24=5, c25=5, c26=5))
    with pytest.raises(BadInputError, match="columns 7 to 9, found 0 throughout; allow missing"):
        read_dynamo_table(path, voxel_size_angst=1.0)
    found = read_dynamo_table(path, voxel_size_angst=1.0, allow_missing_angles=True)
    assert found.figures["orientation_known"].tolist() == [0.0]
    write_dynamo_table(tmp_path / "again.tbl", found, voxel_size_angst=1.0)
    with pytest.raises(BadInputError, match="found 0 throughout"):
        read_dynamo_table(tmp_path / "again.tbl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_rlnCoordinateX 1\n", "found other text"),
        ("1 2 3\n", "26 to 42 columns in every row, found 3"),
        (row(c8=1) + row(c8=1).rstrip() + " 1\n", "found 35 or 36"),
        (row(c8=1) + row(c8=1, c24=np.nan), "particle 2 of 2"),
        (row(c8=1, c20=np.inf), "particle 1 of 1"),
        ("\n", "expected the voxel size"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(BadInputError, match=words) as caught:
        read_dynamo_table(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_the_voxel_size_is_needed_and_the_file_too(tmp_path):
    with pytest.raises(BadInputError, match="--voxel-size-angst"):
        read_dynamo_table(table(tmp_path, row(c8=1)))
    with pytest.raises(MissingFileError):
        read_dynamo_table(tmp_path / "none.tbl")
    with pytest.raises(BadInputError, match="positive voxel size"):
        write_dynamo_table(tmp_path / "a.tbl", particles(1), voxel_size_angst=0.0)


def test_the_public_table_of_empiar_10064_is_read():
    path = real_data("ribosome/empiar_10064_picked_b8.tbl")
    found = read_dynamo_table(path, voxel_size_angst=20.96, allow_missing_angles=True)
    assert len(found) == 4427
    assert found.positions_angst[0] / 20.96 == pytest.approx([80.0, 16.087, 66.75])
    assert set(found.tomogram_ids) == {"1", "2", "3", "4"}
