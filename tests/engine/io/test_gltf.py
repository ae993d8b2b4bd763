"""Files of surfaces are what the glTF 2.0 standard asks for, and stand where the copies do."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.data.orientations import no_rotations
from engine.errors import BadInputError
from engine.io.gltf import GltfScene, gltf_bytes, write_gltf
from engine.matching.template_shape import TemplateShape, surface_mesh

SIZES = {5126: 4, 5125: 4}
WIDTHS = {"SCALAR": 1, "VEC3": 3}


def blob_shape(centre_zyx=(12, 12, 12), box=24, sigma=3.0):
    grid = np.stack(np.meshgrid(*[np.arange(box)] * 3, indexing="ij"), axis=-1)
    squared = ((grid - np.array(centre_zyx)) ** 2).sum(axis=-1)
    density = np.exp(-squared / (2 * sigma**2)).astype(np.float32)
    return TemplateShape("blob", density, 0.5, 10.0)


def scene(n=5, shapes=None, figures=None):
    shapes = shapes or (blob_shape(), blob_shape((12, 9, 15)))
    rng = np.random.default_rng(1)
    return GltfScene(
        names=tuple(f"shape {i}" for i in range(len(shapes))),
        meshes=tuple(surface_mesh(shape) for shape in shapes),
        colours=("#d55e00", "#0072b2")[: len(shapes)],
        kinds=np.arange(n) % len(shapes),
        positions_nm=rng.uniform(0, 100, (n, 3)),
        rotations=Rotation.random(n, rng=rng) if n else no_rotations(),
        copy_names=tuple(f"copy {i}" for i in range(n)),
        figures=figures or {},
        notes={"simulated": True, "voxel_size_angst": 10.0},
    )


def parsed(content):
    """Document and buffer; everything that the container must satisfy is checked."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    chunks, place = [], 12
    while place < len(content):
        size, kind = struct.unpack_from("<I4s", content, place)
        assert size % 4 == 0
        assert place % 4 == 0
        chunks.append((kind, content[place + 8 : place + 8 + size]))
        place += 8 + size
    assert place == len(content)
    assert [kind for kind, _ in chunks] == [b"JSON", b"BIN\0"]
    return json.loads(chunks[0][1]), chunks[1][1]


def accessor(document, buffer, index):
    found = document["accessors"][index]
    view = document["bufferViews"][found["bufferView"]]
    assert view["byteOffset"] % SIZES[found["componentType"]] == 0
    assert view["byteOffset"] + view["byteLength"] <= document["buffers"][0]["byteLength"]
    width = WIDTHS[found["type"]]
    assert view["byteLength"] == found["count"] * width * SIZES[found["componentType"]]
    dtype = "<f4" if found["componentType"] == 5126 else "<u4"
    values = np.frombuffer(buffer, dtype, found["count"] * width, view["byteOffset"])
    return values.reshape(found["count"], width)


def vertices_of(document, buffer, mesh):
    attributes = document["meshes"][mesh]["primitives"][0]["attributes"]
    return accessor(document, buffer, attributes["POSITION"])


def test_container_and_accessors_are_those_of_the_standard():
    document, buffer = parsed(gltf_bytes(scene()))
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["generator"].startswith("TomoDx")
    assert document["extras"]["simulated"] is True
    assert document["extras"]["voxel_size_angst"] == 10.0
    assert document["extras"]["unit"] == "nanometre"
    assert 0 <= len(buffer) - document["buffers"][0]["byteLength"] < 4
    for number, mesh in enumerate(document["meshes"]):
        (primitive,) = mesh["primitives"]
        position = document["accessors"][primitive["attributes"]["POSITION"]]
        vertices = vertices_of(document, buffer, number)
        assert position["min"] == vertices.min(axis=0).tolist()
        assert position["max"] == vertices.max(axis=0).tolist()
        normals = accessor(document, buffer, primitive["attributes"]["NORMAL"])
        assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0, abs=1e-5)
        indices = accessor(document, buffer, primitive["indices"])
        assert len(indices) % 3 == 0
        assert indices.max() == len(vertices) - 1 == len(normals) - 1
        assert document["materials"][primitive["material"]]["name"] == mesh["name"]


def test_there_is_a_node_for_every_copy():
    document, _ = parsed(gltf_bytes(scene(5)))
    assert len(document["nodes"]) == 5
    assert document["scenes"][document["scene"]]["nodes"] == [0, 1, 2, 3, 4]
    assert [node["mesh"] for node in document["nodes"]] == [0, 1, 0, 1, 0]
    for node in document["nodes"]:
        assert np.linalg.norm(node["rotation"]) == pytest.approx(1.0)


def placed(node, vertices):
    """Vertices where a viewer puts them: the standard's own formula for a quaternion."""
    x, y, z, w = node["rotation"]
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return vertices @ matrix.T + node["translation"]


def test_a_node_carries_the_centre_of_its_mesh_to_the_copy():
    # The second blob's centre lies 3 voxels (3 nm) towards +x and -y of its box's centre.
    made = scene(6)
    document, buffer = parsed(gltf_bytes(made))
    for number, node in enumerate(document["nodes"]):
        vertices = vertices_of(document, buffer, node["mesh"])
        offset_nm = np.array([[0.0, 0.0, 0.0], [3.0, -3.0, 0.0]][node["mesh"]])
        expected = made.positions_nm[number] + made.rotations[number].apply(offset_nm)
        assert placed(node, vertices).mean(axis=0) == pytest.approx(expected, abs=0.05)


def test_surfaces_face_outwards_and_are_closed():
    mesh = surface_mesh(blob_shape((12, 9, 15)))
    a, b, c = (mesh.vertices_nm[mesh.triangles[:, i]].astype(float) for i in range(3))
    radius_nm = 3.0 * np.sqrt(2 * np.log(2.0))
    volume_nm3 = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume_nm3 == pytest.approx(4 / 3 * np.pi * radius_nm**3, rel=0.06)
    outwards = mesh.vertices_nm - np.array([3.0, -3.0, 0.0])
    assert (np.einsum("ij,ij->i", outwards, mesh.normals) > 0).all()
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_surface_with_many_triangles_is_made_coarser():
    fine = surface_mesh(blob_shape())
    coarse = surface_mesh(blob_shape(), most_triangles=len(fine.triangles) // 2)
    assert len(coarse.triangles) <= len(fine.triangles) // 2
    reach_nm = np.linalg.norm(coarse.vertices_nm, axis=1)
    assert reach_nm.mean() == pytest.approx(
        np.linalg.norm(fine.vertices_nm, axis=1).mean(), rel=0.1
    )


def test_a_shape_cut_by_its_box_is_closed():
    mesh = surface_mesh(blob_shape((1, 12, 12)))
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_scene_without_copies_has_no_empty_arrays():
    document, _ = parsed(gltf_bytes(scene(0)))
    assert "nodes" not in document
    assert "nodes" not in document["scenes"][0]
    assert len(document["meshes"]) == 2


def test_figures_become_extras_and_nan_is_left_out():
    made = scene(2, figures={"probability": np.array([0.75, np.nan])})
    document, _ = parsed(gltf_bytes(made))
    assert document["nodes"][0]["extras"] == {"probability": 0.75}
    assert "extras" not in document["nodes"][1]


def test_the_same_scene_gives_the_same_bytes(tmp_path):
    write_gltf(tmp_path / "a.glb", scene())
    write_gltf(tmp_path / "b.glb", scene())
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(BadInputError, match="one value a copy"):
        scene(3, figures={"probability": np.zeros(2)})
