"""Binary glTF 2.0 (.glb): shapes at their places for any 3-D viewer.

Khronos, "glTF 2.0 Specification" (ISO/IEC 12113:2022), sections 3 and 4. glTF takes lengths for
metres; here one unit is a nanometre, as `extras` of the file say.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from engine import __version__
from engine.data.arrays import AnyArray, Float64s, Ints
from engine.data.meshes import SurfaceMesh
from engine.errors import BadInputError
from engine.io.digests import atomic_file

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
VERTICES, INDICES = 34962, 34963
ALIGNMENT = 4


@dataclass(frozen=True)
class GltfScene:
    """Copies of a few shapes.

    Attributes
    ----------
    names, meshes, colours
        One a shape; colours as `#rrggbb`.
    kinds
        (n,) index of each copy's shape.
    positions_nm
        (n, 3), (x, y, z).
    rotations
        n, shape onto copy.
    copy_names
        One a copy.
    figures
        Named columns of length n, kept as the copies' `extras`; NaN is left out.
    notes
        Kept as the file's `extras`.
    """

    names: tuple[str, ...]
    meshes: tuple[SurfaceMesh, ...]
    colours: tuple[str, ...]
    kinds: Ints
    positions_nm: Float64s
    rotations: Rotation
    copy_names: tuple[str, ...]
    figures: dict[str, Float64s] = field(default_factory=dict)
    notes: dict[str, str | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_shapes = {len(self.names), len(self.meshes), len(self.colours)}
        n_copies = {
            *(len(c) for c in (self.kinds, self.positions_nm, self.rotations, self.copy_names)),
            *(len(column) for column in self.figures.values()),
        }
        if len(n_shapes) != 1 or len(n_copies) != 1 or n_shapes == {0}:
            raise BadInputError(
                f"expected one name, mesh and colour a shape and one value a copy, found "
                f"{sorted(n_shapes)} shapes and {sorted(n_copies)} copies; give columns of a length"
            )


def write_gltf(path: Path, scene: GltfScene) -> None:
    """Write a scene; the same scene gives the same bytes.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be written.
    """
    with atomic_file(path) as staging:
        staging.write_bytes(gltf_bytes(scene))


def gltf_bytes(scene: GltfScene) -> bytes:
    """One mesh and material a shape, one node a copy."""
    binary = _Binary()
    meshes = [
        _mesh(binary, name, mesh, number)
        for number, (name, mesh) in enumerate(zip(scene.names, scene.meshes, strict=True))
    ]
    nodes = _nodes(scene)
    # The standard forbids empty arrays.
    listed: dict[str, Any] = {"nodes": nodes} if nodes else {}
    document = {
        "asset": {"version": "2.0", "generator": f"TomoDx {__version__}"},
        "extras": {"unit": "nanometre", **scene.notes},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(nodes)))} if nodes else {"name": "no copies"}],
        "meshes": meshes,
        "materials": [
            _material(name, colour) for name, colour in zip(scene.names, scene.colours, strict=True)
        ],
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
        **listed,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8")
    chunks = _chunk(JSON_CHUNK, text, b" ") + _chunk(BINARY_CHUNK, bytes(binary.data), b"\0")
    return struct.pack("<III", MAGIC, VERSION, 12 + len(chunks)) + chunks


def _chunk(kind: int, content: bytes, filler: bytes) -> bytes:
    content += filler * (-len(content) % ALIGNMENT)
    return struct.pack("<II", len(content), kind) + content


class _Binary:
    """The buffer, its views and accessors as they grow."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: AnyArray, *, target: int, with_bounds: bool = False) -> int:
        """Append an array, (n,) of uint32 or (n, 3) of float32; return its accessor's index."""
        is_vector = values.ndim == 2
        stored = np.ascontiguousarray(values, dtype="<f4" if is_vector else "<u4")
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": stored.nbytes}
        self.views.append({**view, "target": target})
        self.data += stored.tobytes()
        self.accessors.append(
            {
                "bufferView": len(self.views) - 1,
                "componentType": FLOAT if is_vector else UNSIGNED_INT,
                "count": len(stored),
                "type": "VEC3" if is_vector else "SCALAR",
                **(_bounds(stored) if with_bounds else {}),
            }
        )
        return len(self.accessors) - 1


def _bounds(values: AnyArray) -> dict[str, list[float]]:
    columns = values.reshape(len(values), -1)
    return {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}


def _mesh(binary: _Binary, name: str, mesh: SurfaceMesh, material: int) -> dict[str, Any]:
    attributes = {
        "POSITION": binary.add(mesh.vertices_nm, target=VERTICES, with_bounds=True),
        "NORMAL": binary.add(mesh.normals, target=VERTICES),
    }
    indices = binary.add(mesh.triangles.ravel(), target=INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": material}
    return {"name": name, "primitives": [primitive]}


def _material(name: str, colour: str) -> dict[str, Any]:
    return {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [*(_linear(int(colour[i : i + 2], 16)) for i in (1, 3, 5)), 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.7,
        },
    }


def _linear(byte: int) -> float:
    """Linear light of an sRGB byte (IEC 61966-2-1): glTF's factors are linear."""
    value = byte / 255.0
    return round(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4, 6)


def _nodes(scene: GltfScene) -> list[dict[str, Any]]:
    # SciPy's quaternions are x, y, z, w, as glTF's.
    quaternions = np.asarray(scene.rotations.as_quat()).reshape(-1, 4)
    nodes = []
    for index, quaternion in enumerate(quaternions):
        figures = {
            name: float(column[index])
            for name, column in scene.figures.items()
            if np.isfinite(column[index])
        }
        nodes.append(
            {
                "name": scene.copy_names[index],
                "mesh": int(scene.kinds[index]),
                "translation": [round(float(value), 5) for value in scene.positions_nm[index]],
                "rotation": [float(value) for value in quaternion],
                **({"extras": figures} if figures else {}),
            }
        )
    return nodes
