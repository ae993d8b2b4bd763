"""Motive lists: bytes of the header, conventions, round trips, refusals."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy.spatial.transform import Rotation

from engine.data.orientations import rotations_from_relion
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError
from engine.io.em_motl import read_motl, write_motl
from tests.engine.io.particle_lists import (
    PLACES,
    RELION_ANGLES,
    VOXEL_SIZES,
    apart_deg,
    particles,
)
from tests.real_data import real_data


def em_bytes(values, *, machine=6, number_type=5, shape=None):
    order = "<" if machine == 6 else ">"
    kind = {5: "f4", 9: "f8", 4: "i4"}[number_type]
    n_x, n_y, n_z = shape or (20, len(values), 1)
    head = struct.pack(f"{order}4B3i", machine, 0, 0, number_type, n_x, n_y, n_z)
    return head.ljust(512, b"\0") + np.asarray(values, dtype=f"{order}{kind}").tobytes()


def motl(tmp_path, data):
    path = tmp_path / "motl.em"
    path.write_bytes(data)
    return path


def one_row(**rows):
    """20 numbers; keys are `r` and the number of the row from 1."""
    values = np.zeros((1, 20))
    for name, value in rows.items():
        values[0, int(name[1:]) - 1] = value
    return values


@pytest.mark.parametrize(("machine", "number_type"), [(6, 5), (3, 5), (5, 9)])
def test_rows_mean_what_pytom_says(tmp_path, machine, number_type):
    values = one_row(
        r1=0.5, r5=7, r8=11, r9=21, r10=31, r11=1, r12=-2, r13=0.5, r17=10, r18=20, r19=30, r20=2
    )
    data = em_bytes(values, machine=machine, number_type=number_type)
    found = read_motl(motl(tmp_path, data), voxel_size_angst=2.0)
    assert found.positions_angst.tolist() == [[61.0, 36.0, 22.0]]
    assert found.figures["score"].tolist() == [0.5]
    assert (found.tomogram_ids, found.class_names) == (("7",), ("2",))
    expected = Rotation.from_euler("zxz", [10.0, 30.0, 20.0], degrees=True)
    assert (found.rotations.inv() * expected).magnitude().max() < 1e-12


def test_the_matrix_is_that_of_toms_point_rotation(tmp_path):
    # tom_pointrotate(r, phi, psi, the): about z by phi, about x by the, about z by psi.
    phi, psi, theta = np.radians([10.0, 20.0, 30.0])

    def about(angle, axis):
        c, s = np.cos(angle), np.sin(angle)
        if axis == "z":
            return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])

    expected = about(psi, "z") @ about(theta, "x") @ about(phi, "z")
    data = em_bytes(one_row(r17=10, r18=20, r19=30))
    found = read_motl(motl(tmp_path, data), voxel_size_angst=1.0)
    assert found.rotations.as_matrix()[0] == pytest.approx(expected, abs=1e-12)


def test_relions_fixed_point_sends_reference_z_to_minus_x(tmp_path):
    rotations = rotations_from_relion(np.array([[0.0, 90.0, 0.0]]))
    one = ParticleSet(np.zeros((1, 3)), rotations, ("1",), ("1",))
    path = tmp_path / "one.em"
    write_motl(path, one, voxel_size_angst=1.0)
    values = np.frombuffer(path.read_bytes(), "<f4", offset=512)
    assert values[[16, 17, 18]].tolist() == [90.0, -90.0, 90.0]
    found = read_motl(path, voxel_size_angst=1.0)
    assert found.rotations.apply([0, 0, 1])[0] == pytest.approx([-1, 0, 0], abs=1e-12)


def test_the_header_is_that_of_a_pc_with_float32(tmp_path):
    path = tmp_path / "three.em"
    write_motl(path, particles(3), voxel_size_angst=10.0)
    data = path.read_bytes()
    assert data[:16] == struct.pack("<4B3i", 6, 0, 0, 5, 20, 3, 1)
    assert len(data) == 512 + 3 * 80
    write_motl(tmp_path / "again.em", particles(3), voxel_size_angst=10.0)
    assert (tmp_path / "again.em").read_bytes() == data


@pytest.mark.parametrize("n", [0, 1, 30])
def test_what_is_written_is_read_back(tmp_path, n):
    before = particles(n)
    path = tmp_path / "picks.em"
    numbers = write_motl(path, before, voxel_size_angst=13.2)
    after = read_motl(path, voxel_size_angst=13.2)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-6)
    assert apart_deg(before, after) < 3e-5
    assert after.tomogram_ids == tuple(str(numbers[name]) for name in before.tomogram_ids)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angles=RELION_ANGLES, place=PLACES, voxel_size_angst=VOXEL_SIZES)
def test_any_particle_survives_the_round_trip(tmp_path, angles, place, voxel_size_angst):
    rotations = rotations_from_relion(np.array([angles]))
    before = ParticleSet(np.array([place]), rotations, ("12",), ("4",))
    path = tmp_path / "one.em"
    write_motl(path, before, voxel_size_angst=voxel_size_angst)
    after = read_motl(path, voxel_size_angst=voxel_size_angst)
    # float32 holds half a voxel to 3e-8 of a voxel.
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=4e-8 * 50.0)
    assert apart_deg(before, after) < 3e-5


def test_no_angles_are_refused_unless_allowed(tmp_path):
    path = motl(tmp_path, em_bytes(one_row(r8=5)))
    with pytest.raises(BadInputError, match="rows 17 to 19, found 0 throughout"):
        read_motl(path, voxel_size_angst=1.0)
    found = read_motl(path, voxel_size_angst=1.0, allow_missing_angles=True)
    assert found.figures["orientation_known"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"data_particles\n", "found another header"),
        (em_bytes(one_row(), number_type=4), "found another header"),
        (em_bytes(one_row(), shape=(19, 1, 1)), "found 19 x 1 x 1"),
        (em_bytes(one_row(r17=1))[:-4], "expected 592 bytes for 1 particles, found 588"),
        (em_bytes(one_row(r17=1), shape=(20, -1, 1)), "found 20 x -1 x 1"),
        (em_bytes(one_row(r17=1, r8=np.nan)), "particle 1 of 1"),
        (em_bytes(one_row(r17=1)), "--voxel-size-angst"),
        (b"", "an empty file"),
    ],
)
def test_bad_lists_are_refused_in_one_line(tmp_path, data, words):
    with pytest.raises(BadInputError, match=words) as caught:
        read_motl(motl(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_bad_voxel_size_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        read_motl(tmp_path / "none.em", voxel_size_angst=1.0)
    with pytest.raises(BadInputError, match="positive voxel size"):
        write_motl(tmp_path / "a.em", particles(1), voxel_size_angst=np.nan)


def test_a_public_em_volume_is_not_a_motive_list():
    with pytest.raises(BadInputError, match="found 100 x 100 x 100; give the list, not a volume"):
        read_motl(real_data("ribosome/pytom_ribo.em"), voxel_size_angst=1.0)
