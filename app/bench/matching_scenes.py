"""Scenes of the matching benchmark, each from a seed, and files that commands can read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.arrays import Float32s
from engine.data.tomogram import TiltRange
from engine.io.mrc import write_volume
from engine.io.template_files import read_template
from engine.simulation.macromolecules import PlantedScene, blob_chain, planted_scene

VOXEL_SIZE_ANGST = 10.0
WEDGE = TiltRange(-60.0, 60.0)
SHAPE = (128, 200, 200)
BOX_VOX, RADIUS_VOX, N_BLOBS, N_COPIES, N_DECOYS = 32, 12.0, 14, 40, 30
SCENE_SEED = 7_310
CROWDED_SHAPE = (128, 230, 230)
# Mass in kDa of the structures, rounded: of the PDB entries as the SHREC challenge lists them
# (doi:10.2312/3dor.20201167) and, for the larger assemblies, of the complexes they show.
CROWDED_KDA = {
    "1bxn": 560, "1qvr": 590, "3cf3": 540, "3j9i": 680, "4cr2": 1310, "4v4r_50S": 1500,
    "6qzp": 3330, "1u6g": 240, "2cg9": 190, "3gl1": 85,
}  # fmt: skip
COPIES_EACH = 20


@dataclass(frozen=True)
class SceneFiles:
    """A scene on disk: tomogram and template paths."""

    tomogram: Path
    templates: tuple[Path, ...]
    scene: PlantedScene


def structures() -> tuple[Float32s, Float32s]:
    """The template and the decoy, both of the same kind and size."""
    rng = np.random.default_rng(SCENE_SEED)
    first = blob_chain(BOX_VOX, RADIUS_VOX, N_BLOBS, rng=rng)
    return first, blob_chain(BOX_VOX, RADIUS_VOX, N_BLOBS, rng=rng)


def chains(folder: Path, *, snr: float, n_decoys: int, index: int) -> SceneFiles:
    """Copies of the template, and decoys, in white noise behind the wedge.

    A library without the decoy where there is none.
    """
    both = structures()
    scene = planted_scene(
        both, (N_COPIES, n_decoys), SHAPE,
        snr=snr, snr_radius_vox=RADIUS_VOX, distances_vox=(RADIUS_VOX, RADIUS_VOX),
        margin_vox=BOX_VOX // 2, tilt_range=WEDGE, rng=np.random.default_rng([SCENE_SEED, index]),
    )  # fmt: skip
    wanted = ("template", "decoy") if n_decoys else ("template",)
    return _write(folder, scene, dict(zip(wanted, both, strict=False)))


def noise(folder: Path, index: int, shape: tuple[int, int, int]) -> SceneFiles:
    """White noise behind the wedge, and the template."""
    rng = np.random.default_rng([SCENE_SEED, 1, index])
    scene = planted_scene(
        structures(), (0, 0), shape,
        snr=1.0, snr_radius_vox=RADIUS_VOX, distances_vox=(RADIUS_VOX, RADIUS_VOX),
        margin_vox=BOX_VOX // 2, tilt_range=WEDGE, rng=rng,
    )  # fmt: skip
    return _write(folder, scene, {"template": structures()[0]})


def crowded(folder: Path, densities: Path, index: int) -> SceneFiles:
    """Ten known densities, twenty copies each; the SNR is that of all copies together."""
    names = list(CROWDED_KDA)
    templates = [read_template(densities / f"{name}.mrc") for name in names]
    volumes = tuple(_unit(t.voxels) for t in templates)
    radii = tuple(t.radius_angst / VOXEL_SIZE_ANGST for t in templates)
    scene = planted_scene(
        volumes, (COPIES_EACH,) * len(names), CROWDED_SHAPE,
        snr=0.1, snr_radius_vox=None, distances_vox=radii, margin_vox=18, tilt_range=WEDGE,
        rng=np.random.default_rng([SCENE_SEED, 2, index]),
    )  # fmt: skip
    return _write(folder, scene, dict(zip(names, volumes, strict=True)))


def _unit(density: Float32s) -> Float32s:
    """Protein is about as dense in all: bring the dense part to 1."""
    dense = density[density > 0.2 * density.max()]
    return np.asarray(density / np.percentile(dense, 90), dtype=np.float32)


def _write(folder: Path, scene: PlantedScene, structures: dict[str, Float32s]) -> SceneFiles:
    tomogram = folder / "tomogram.mrc"
    write_volume(tomogram, scene.voxels, VOXEL_SIZE_ANGST, label="TomoDx simulated: planted copies")
    paths = []
    for name, density in structures.items():
        paths.append(folder / f"{name}.mrc")
        write_volume(paths[-1], density, VOXEL_SIZE_ANGST, label="TomoDx simulated: structure")
    return SceneFiles(tomogram, tuple(paths), scene)
