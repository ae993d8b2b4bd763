"""The folder that `tomodx atlas` writes."""

import csv
import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.provenance import Provenance
from engine.io.atlas_picture import AtlasScene, template_colours, write_atlas_picture
from engine.io.chimerax_script import atlas_script
from engine.io.digests import fresh_folder, write_text_atomically
from engine.io.gltf import GltfScene, write_gltf
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.provenance_file import write_provenance
from engine.io.star import write_star
from engine.matching.atlas import AtlasRow
from engine.matching.template_shape import TemplateShape, surface_mesh

LABELS, DENSITY, INSTANCES = "atlas_labels.mrc", "atlas_density.mrc", "atlas_instances.mrc"
LABEL_NAMES, POINTS, SCRIPT = "labels.json", "points.star", "atlas.cxc"
SURFACES, TABLE, PICTURE = "atlas.glb", "atlas.csv", "atlas.png"
COLUMNS = (
    "template", "label", "placed", "copies", "per_um3", "low_per_um3", "high_per_um3",
    "nearest_neighbour_median_nm",
)  # fmt: skip


def write_atlas(
    folder: Path, scene: AtlasScene, shapes: tuple[TemplateShape, ...], provenance: Provenance
) -> tuple[str, ...]:
    """Write volumes, points, surfaces, table and picture; the folder appears when all are in it.

    Returns
    -------
    tuple of str
        Names of the files. Row k of `points.star` is instance k of `atlas_instances.mrc` and the
        k-th node of `atlas.glb`.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    atlas, voxel_size_angst = scene.atlas, scene.atlas.voxel_size_angst
    colours = template_colours(len(shapes))
    with fresh_folder(folder) as staging:
        _write_volumes(staging, scene)
        write_star(
            staging / POINTS,
            atlas.particles,
            flavour="relion4",
            voxel_size_angst=voxel_size_angst,
            tomogram_shapes={scene.tomogram.tomogram_id: scene.tomogram.voxels.shape},
        )
        names = {str(row.class_id): row.template_id for row in scene.rows}
        write_text_atomically(staging / LABEL_NAMES, _json(names))
        script = atlas_script(
            atlas, shapes, colours, density_name=DENSITY, simulated=scene.simulated
        )
        write_text_atomically(staging / SCRIPT, script)
        write_gltf(staging / SURFACES, gltf_scene(scene, shapes))
        write_text_atomically(staging / TABLE, atlas_csv(scene.rows))
        write_atlas_picture(staging / PICTURE, scene)
        return write_provenance(staging, provenance)


def gltf_scene(scene: AtlasScene, shapes: tuple[TemplateShape, ...]) -> GltfScene:
    """The copies as surfaces, in nanometre."""
    atlas = scene.atlas
    figures = {
        name: np.asarray(atlas.particles.figures[name])
        for name in ("probability", "score")
        if name in atlas.particles.figures
    }
    return GltfScene(
        names=atlas.template_ids,
        meshes=tuple(surface_mesh(shape) for shape in shapes),
        colours=template_colours(len(shapes)),
        kinds=atlas.class_index,
        positions_nm=atlas.particles.positions_angst[:, ::-1] / 10.0,
        rotations=atlas.particles.rotations,
        copy_names=tuple(f"{name} {i + 1}" for i, name in enumerate(atlas.particles.class_names)),
        figures=figures,
        notes={
            "tomogram": scene.tomogram.tomogram_id,
            "simulated": scene.simulated,
            "voxel_size_angst": float(atlas.voxel_size_angst),
            "minimum_probability": float(scene.minimum_probability),
            "notice": "Research use only.",
        },
    )


def atlas_csv(rows: tuple[AtlasRow, ...]) -> str:
    """One row a template; a distance that does not exist is left empty."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        found, nearest_nm = row.abundance, row.nearest_neighbour_median_nm
        numbers = (found.copies, found.per_um3, found.low_per_um3, found.high_per_um3)
        writer.writerow(
            [
                *(row.template_id, row.class_id, row.n_placed),
                *(f"{value:.6g}" for value in numbers),
                "" if nearest_nm is None else f"{nearest_nm:.4g}",
            ]
        )
    return stream.getvalue()


def atlas_summary(scene: AtlasScene) -> dict[str, Any]:
    """What the atlas holds, ready for JSON."""
    return {
        "tomogram": scene.tomogram.tomogram_id,
        "n_placed": len(scene.atlas.particles),
        "minimum_probability": scene.minimum_probability,
        "simulated": scene.simulated,
        "templates": [
            {
                "template": row.template_id,
                "label": row.class_id,
                "placed": row.n_placed,
                "n_picks": row.n_picks,
                "abundance": asdict(row.abundance),
                "nearest_median_nm": {
                    other.template_id: row.nearest_nm[other.class_id - 1] for other in scene.rows
                },
            }
            for row in scene.rows
        ],
    }


def _write_volumes(folder: Path, scene: AtlasScene) -> None:
    words = f"{SIMULATED_WORDS}: " if scene.simulated else ""
    atlas = scene.atlas
    for name, voxels, content in (
        (DENSITY, atlas.density, "templates at their picks, unit contrast"),
        (LABELS, atlas.labels, "templates at their picks, class ids"),
        (INSTANCES, atlas.instances, "templates at their picks, instance ids"),
    ):
        write_volume(folder / name, voxels, atlas.voxel_size_angst, label=f"{words}{content}"[:80])


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
