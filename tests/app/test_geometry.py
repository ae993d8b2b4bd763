"""Surfaces and lines of an analysis, as other programs read them."""

import json
import struct

import numpy as np
import pytest

from app.cli import run
from app.geometry import geometry_of_analysis
from engine.data.filaments import Filament
from engine.io.analysis_files import write_analysis
from engine.io.filament_star import filament_segments
from engine.io.mrc import read_labels
from engine.io.ply import FACE, VERTEX
from engine.io.star import read_star
from tests.analyses import VOXEL_ANGST, analysis, empty_analysis, tomogram
from tests.app.test_cli_bad_input import error_line


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    out = tmp_path_factory.mktemp("analysed") / "analysis"
    write_analysis(analysis(), tomogram(), out)
    return out


@pytest.fixture(scope="module")
def written(analysed, tmp_path_factory):
    out = tmp_path_factory.mktemp("geometry") / "out"
    found = geometry_of_analysis(analysed, out)
    assert set(found.files) == {
        "filaments.star", "filaments.mod", "organelles.ply", "organelles.glb", "provenance.json",
    }  # fmt: skip
    return out


def model_contours(path):
    """An IMOD model's contours, (n, 3) each; a reader of its own."""
    data = path.read_bytes()
    assert data[:8] == b"IMODV1.2"
    assert data[-4:] == b"IEOF"
    x_max, y_max, z_max, n_objects = struct.unpack(">4i", data[136:152])
    place, contours = 240, []
    while data[place : place + 4] != b"IEOF":
        if data[place : place + 4] == b"OBJT":
            place += 4 + 64 + 64 + 4 * 4 + 3 * 4 + 4 + 8 + 2 * 4
            continue
        assert data[place : place + 4] == b"CONT"
        n = struct.unpack(">i", data[place + 4 : place + 8])[0]
        place += 20
        contours.append(np.frombuffer(data, ">f4", 3 * n, place).reshape(n, 3))
        place += 12 * n
    return (z_max, y_max, x_max), n_objects, contours


def ply_content(path):
    data = path.read_bytes()
    head, _, body = data.partition(b"end_header\n")
    lines = head.decode().splitlines()
    n_vertices, n_faces = (int(line.split()[2]) for line in lines if line.startswith("element"))
    vertices = np.frombuffer(body, VERTEX, n_vertices)
    return vertices, np.frombuffer(body, FACE, n_faces, n_vertices * VERTEX.itemsize)


def test_an_imod_model_holds_the_lines_in_its_own_voxels(written):
    shape, n_objects, contours = model_contours(written / "filaments.mod")
    assert shape == tomogram().voxels.shape
    assert n_objects == 1
    for line, contour in zip(analysis().filaments, contours, strict=True):
        # The centre of the first voxel is (0.5, 0.5, 0) there.
        back = (contour.astype(np.float64) - [0.5, 0.5, 0.0])[:, ::-1] * VOXEL_ANGST
        assert back == pytest.approx(line.points_angst, abs=6e-3)


def test_segments_lie_on_the_line_and_point_along_it(written):
    segments = read_star(written / "filaments.star")
    line = analysis().filaments[0]
    distance = np.linalg.norm(
        segments.positions_angst[:, None] - line.points_angst[None], axis=2
    ).min(axis=1)
    assert distance.max() < 60.0
    along = line.points_angst[-1] - line.points_angst[0]
    axes = segments.rotations.apply([0.0, 0.0, 1.0])[:, ::-1]
    assert (axes @ along / np.linalg.norm(along) > 0.99).all()
    assert len(segments) == round(line.length_nm / 8.2)


def test_segments_of_a_bent_line_are_equally_far_apart():
    angle = np.linspace(0.0, np.pi / 2, 400)
    points = 3000.0 * np.stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)], axis=1)
    bent = Filament(4, "microtubule", points, False, False, 0.9)
    found = filament_segments([bent], tomogram_id="cell", spacing_nm=10.0)
    steps = np.linalg.norm(np.diff(found.positions_angst, axis=0), axis=1)
    assert steps == pytest.approx(np.full(len(steps), 100.0), rel=1e-3)
    radial = found.positions_angst / 3000.0
    axes = found.rotations.apply([0.0, 0.0, 1.0])[:, ::-1]
    assert np.abs((axes * radial).sum(axis=1)).max() < 0.02
    assert (found.figures["tube_id"] == 4).all()


def test_surfaces_enclose_their_organelles(written, analysed):
    vertices, faces = ply_content(written / "organelles.ply")
    ids, voxel_size_angst = read_labels(analysed / "instances.mrc")
    corners = np.stack([faces[name] for name in "abc"], axis=1)
    points = np.stack([vertices[name] for name in "xyz"], axis=1).astype(np.float64)
    for organelle in analysis().instances.organelles:
        number = organelle.instance_id
        own = corners[(vertices["instance_id"][corners] == number).all(axis=1)]
        a, b, c = (points[own[:, i]] for i in range(3))
        volume_nm3 = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0
        expected = (ids == number).sum() * (voxel_size_angst / 10.0) ** 3
        assert volume_nm3 == pytest.approx(expected, rel=0.1)
        middle = np.argwhere(ids == number).mean(axis=0)[::-1] * voxel_size_angst / 10.0
        assert points[np.unique(own)].mean(axis=0) == pytest.approx(middle, abs=5.0)


def test_the_same_analysis_gives_the_same_bytes(written, analysed, tmp_path):
    geometry_of_analysis(analysed, tmp_path / "again")
    for path in written.glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_nothing_found_is_no_empty_file(tmp_path, capsys):
    write_analysis(empty_analysis(), tomogram(), tmp_path / "analysis")
    words = ["geometry", str(tmp_path / "analysis"), "--out", str(tmp_path / "out")]
    assert run(["--json", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == ["provenance.json"]
    assert printed["n_filaments"] == printed["n_organelles"] == 0


def test_other_folders_are_refused_in_one_line(tmp_path, analysed, capsys):
    assert run(["geometry", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert error_line(capsys.readouterr().err)
    assert run(["geometry", str(analysed), "--out", str(analysed)]) == 2
    assert "another folder" in error_line(capsys.readouterr().err)


def test_ome_zarr_holds_tomogram_classes_and_instances(analysed, tmp_path):
    zarr = pytest.importorskip("zarr")
    found = geometry_of_analysis(analysed, tmp_path / "out", ome_zarr=True)
    root = zarr.open_group(tmp_path / "out" / "analysis.ome.zarr", mode="r")
    assert root["0"].shape == analysis().instances.ids.shape
    assert np.array_equal(root["labels/instances/0"][...], analysis().instances.ids)
    assert np.array_equal(root["labels/classes/0"][...], analysis().labels.labels)
    assert "provenance.json" in found.files
