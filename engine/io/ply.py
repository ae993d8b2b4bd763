"""Binary PLY: the triangles of many surfaces in one file, each vertex with colour and id.

Turk (1994), "The PLY Polygon File Format".
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.meshes import SurfaceMesh
from engine.io.digests import atomic_file

VERTEX = np.dtype(
    [
        ("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4"),
        ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("instance_id", "<i4"),
    ]
)  # fmt: skip
FACE = np.dtype([("n", "u1"), ("a", "<i4"), ("b", "<i4"), ("c", "<i4")])
PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_ply(
    path: Path, meshes: Sequence[SurfaceMesh], colours: Sequence[str], instance_ids: Sequence[int]
) -> None:
    """Write surfaces, lengths in nanometre; the same surfaces give the same bytes.

    Parameters
    ----------
    colours
        One a mesh, `#rrggbb`.
    instance_ids
        One a mesh, kept with each of its vertices.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be written.
    """
    vertices = np.zeros(sum(len(mesh.vertices_nm) for mesh in meshes), dtype=VERTEX)
    faces = np.zeros(sum(len(mesh.triangles) for mesh in meshes), dtype=FACE)
    faces["n"] = 3
    first = first_face = 0
    for mesh, colour, instance_id in zip(meshes, colours, instance_ids, strict=True):
        own = vertices[first : first + len(mesh.vertices_nm)]
        for axis, name in enumerate("xyz"):
            own[name] = mesh.vertices_nm[:, axis]
            own[f"n{name}"] = mesh.normals[:, axis]
        for start, name in ((1, "red"), (3, "green"), (5, "blue")):
            own[name] = int(colour[start : start + 2], 16)
        own["instance_id"] = instance_id
        own_faces = faces[first_face : first_face + len(mesh.triangles)]
        for corner, name in enumerate("abc"):
            own_faces[name] = mesh.triangles[:, corner].astype(np.int64) + first
        first += len(own)
        first_face += len(own_faces)
    with atomic_file(path) as staging:
        staging.write_bytes(
            _header(len(vertices), len(faces)) + vertices.tobytes() + faces.tobytes()
        )


def _header(n_vertices: int, n_faces: int) -> bytes:
    properties = [f"property {PLY_TYPES[VERTEX[name].str]} {name}" for name in VERTEX.names or ()]
    lines = [
        "ply", "format binary_little_endian 1.0", "comment TomoDx, lengths in nanometre",
        f"element vertex {n_vertices}", *properties,
        f"element face {n_faces}", "property list uchar int vertex_indices", "end_header",
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode("ascii")
