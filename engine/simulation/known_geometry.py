"""Tomograms of real membranes and filaments that were measured elsewhere."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from engine.data.arrays import AnyArray, Float64s
from engine.data.labels import CLASS_IDS
from engine.simulation.canvas import Canvas, blank_canvas
from engine.simulation.case import MARGIN_VOX, PaintedScene, SimulatedTomogram, imaged
from engine.simulation.cell import paint_crowders
from engine.simulation.cytoplasm import paint_ribosomes
from engine.simulation.filaments import measure_axis_distance, paint_microtubules
from engine.simulation.organelles import paint_membranes
from engine.simulation.params import Acquisition, Scene, SimulationParams

CYTOPLASM_DENSITY = 0.16
MEMBRANE_CONTRAST, MICROTUBULE_CONTRAST = 0.65, 0.8
# Of an ordinary simulated scene.
CROWDING, RIBOSOMES_PER_UM3 = 0.7, 300.0


def tomogram_of_geometry(
    shape: tuple[int, int, int],
    acquisition: Acquisition,
    *,
    seed: int,
    lines_nm: list[Float64s] | None = None,
    membranes: AnyArray | None = None,
    outer_label: int = 1,
    inner_label: int = 2,
) -> SimulatedTomogram:
    """Cytoplasm without other organelles, with given membranes and microtubules.

    Parameters
    ----------
    lines_nm
        Centre lines (n, 3), (z, y, x), points 2 nm apart.
    membranes
        Labels (z, y, x) of `shape` at the acquisition's voxel size, one voxel thick: the middles
        of bilayers. `outer_label` and `inner_label` are those of mitochondria.
    """
    scene = Scene(
        shape=shape, thickness_nm=2.0 * shape[0] * acquisition.voxel_size_nm, edge_in_view=False,
        n_mitochondria=0, n_alpha_granules=0, n_dense_granules=0, n_vesicles=0, n_band=0,
        n_free=len(lines_nm or []), touching_fraction=0.0, crista_poor_fraction=0.0,
        crowding=CROWDING, n_gold=0, n_ice=0, carbon_edge=False,
        ribosomes_per_um3=RIBOSOMES_PER_UM3,
    )  # fmt: skip
    params = SimulationParams(scene, acquisition)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    canvas = blank_canvas(shape, acquisition.voxel_size_nm, MARGIN_VOX, generator)
    canvas.density += CYTOPLASM_DENSITY
    canvas.regions.fill_(CLASS_IDS["background"])
    if membranes is not None:
        _set_membranes(canvas, membranes, outer_label, inner_label)
    lines = lines_nm or []
    measure_axis_distance(canvas, lines)
    paint_membranes(canvas, MEMBRANE_CONTRAST)
    paint_microtubules(canvas, MICROTUBULE_CONTRAST)
    ribosomes = paint_ribosomes(canvas, scene, rng)
    paint_crowders(canvas, scene, rng)
    painted = PaintedScene(canvas, lines, ribosomes, np.empty((0, 3)))
    return imaged(painted, params, seed=seed, tomogram_id="known geometry")


def _set_membranes(canvas: Canvas, labels: AnyArray, outer_label: int, inner_label: int) -> None:
    """Distances to all bilayers and to both of mitochondria; the margin mirrors the field."""
    margin = ((0, 0), (0, 0), (MARGIN_VOX, MARGIN_VOX))
    padded = np.pad(labels, margin, mode="symmetric")
    for distances, mask in (
        (canvas.membrane_distance_nm, padded > 0),
        (canvas.outer_distance_nm, padded == outer_label),
        (canvas.inner_distance_nm, padded == inner_label),
    ):
        if mask.any():
            away = distance_transform_edt(~mask) * canvas.voxel_size_nm
            distances.copy_(torch.from_numpy(away.astype(np.float32)))
