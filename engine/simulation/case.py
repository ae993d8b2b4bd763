"""One simulated tomogram with its exact truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine import __version__
from engine.data.arrays import Bools, Float32s, Float64s, UInt8s, UInt16s
from engine.data.filaments import Filament
from engine.data.labels import CLASS_IDS, CLASS_NAMES, NORMAL_STATE, ROUND_CRISTA_POOR
from engine.data.provenance import Provenance, parameters_digest
from engine.data.tomogram import Tomogram
from engine.simulation.artefacts import paint_actin, paint_carbon, paint_gold, paint_ice
from engine.simulation.canvas import Canvas, blank_canvas
from engine.simulation.cell import draw_body, paint_cell, paint_crowders
from engine.simulation.cytoplasm import paint_granule_rows, paint_ribosomes, paint_tubules
from engine.simulation.filaments import (
    draw_microtubules,
    filaments_in_field,
    measure_axis_distance,
    paint_microtubules,
)
from engine.simulation.imaging import image_scene
from engine.simulation.matrix_granules import paint_matrix_granules
from engine.simulation.organelles import paint_membranes, paint_organelle
from engine.simulation.params import SimulationParams
from engine.simulation.placement import place_granules, place_mitochondria

MARGIN_VOX = 24
MEMBRANE_HALF_NM = 4.0
CORE_RADIUS_NM = 9.0
RIBOSOME_RADIUS_NM = 8.0
# A true instance has at least this volume inside the field.
SMALLEST_INSTANCE_UM3 = 1e-3
# Of a mitochondrion's volume: less shows a poor one, twice as much a normal one.
FEW_CRISTAE = 0.04


@dataclass(frozen=True)
class TrueInstance:
    """One organelle of the truth: its id in `Truth.instances`, class and volume in the field.

    `state` is one of `MITOCHONDRION_STATES`, None where the scene knows none; `crista_share` is the
    volume of cristae over its own, within the field.
    """

    instance_id: int
    organelle_class: str
    volume_um3: float
    centroid_angst: tuple[float, float, float]
    touches_border: bool
    state: str | None = None
    crista_share: float = 0.0

    @property
    def shown_state(self) -> str | None:
        """The state, where what lies in the field shows it.

        A small body may have been meant to hold cristae and got none; those with few show neither.
        """
        few = self.crista_share < FEW_CRISTAE
        if self.state == ROUND_CRISTA_POOR:
            return self.state if few else None
        if self.state == NORMAL_STATE:
            return self.state if self.crista_share >= 2.0 * FEW_CRISTAE else None
        return self.state


@dataclass(frozen=True)
class Truth:
    """What is really there.

    Attributes
    ----------
    regions
        uint8 (z, y, x), class ids without membranes and microtubules.
    instances
        uint16 (z, y, x), 0 = none.
    membrane, microtubule_core
        bool (z, y, x): bilayers 8 nm thick; cylinders of 18 nm diameter on the axes.
    outer_membrane, inner_membrane, crista
        bool (z, y, x): those of mitochondria, also part of `membrane`, 8 nm thick; cristae with
        their membranes and what they enclose.
    ribosome
        bool (z, y, x): balls of 16 nm diameter about the centres.
    ribosomes_angst
        (n, 3) centres inside the field.
    matrix_granule, matrix_granules_angst
        bool (z, y, x): dense granules of mitochondria, and their centres (n, 3) inside the field.
    organelles
        Instances of at least 1e-3 um3 inside the field.
    filaments
        Exact centre lines inside the field.
    """

    regions: UInt8s
    instances: UInt16s
    membrane: Bools
    microtubule_core: Bools
    outer_membrane: Bools
    inner_membrane: Bools
    crista: Bools
    ribosome: Bools
    ribosomes_angst: Float64s
    matrix_granule: Bools
    matrix_granules_angst: Float64s
    organelles: tuple[TrueInstance, ...]
    filaments: tuple[Filament, ...]

    def count(self, organelle_class: str) -> int:
        """Instances of a class."""
        return sum(one.organelle_class == organelle_class for one in self.organelles)

    @property
    def microtubule_length_nm(self) -> float:
        """Total exact length inside the field."""
        return sum(filament.length_nm for filament in self.filaments)


@dataclass(frozen=True)
class SimulatedTomogram:
    """A tomogram, its truth and what was drawn.

    Attributes
    ----------
    noise
        float32 (z, y, x), the part of the tomogram's voxels that is noise.
    """

    tomogram: Tomogram
    noise: Float32s
    truth: Truth
    params: SimulationParams
    seed: int


def simulate_tomogram(
    params: SimulationParams,
    *,
    seed: int,
    tomogram_id: str = "simulated",
    device: str = "cpu",
    on_progress: Callable[[float], None] | None = None,
) -> SimulatedTomogram:
    """Paint a scene and image it; the same seed on one device gives the same bytes.

    The tomogram has zero median contrast up to noise, protein bright, float32.
    """
    report = on_progress or (lambda fraction: None)
    rng = np.random.default_rng(seed)
    generator = torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))
    painted = paint_scene(params, rng, generator)
    report(0.5)
    simulated = imaged(painted, params, seed=seed, tomogram_id=tomogram_id)
    report(1.0)
    return simulated


@dataclass(frozen=True)
class PaintedScene:
    """What the microscope will look at.

    Attributes
    ----------
    lines_nm, ribosomes_nm
        Centre lines of microtubules, each (n, 3), and centres of ribosomes (m, 3).
    granules_nm
        Centres of granules in mitochondria (k, 3).
    states
        By instance id from 1, see `TrueInstance`.
    """

    canvas: Canvas
    lines_nm: list[Float64s]
    ribosomes_nm: Float64s
    granules_nm: Float64s
    states: tuple[str | None, ...] = ()


def imaged(
    painted: PaintedScene, params: SimulationParams, *, seed: int, tomogram_id: str
) -> SimulatedTomogram:
    """The tomogram of a painted scene, with its truth."""
    canvas = painted.canvas
    specimen = (canvas.regions != CLASS_IDS["void"]) & (canvas.regions != CLASS_IDS["artefact"])
    if not bool(specimen.any()):
        specimen = torch.ones_like(specimen)
    signal, noise = image_scene(canvas.density, specimen, params.acquisition, canvas.generator)
    field = slice(MARGIN_VOX, signal.shape[2] - MARGIN_VOX)
    voxels = (signal + noise)[:, :, field].contiguous().cpu().numpy().astype(np.float32)
    deviation = voxels.std()
    voxels = (voxels - voxels.mean()) / deviation
    noise_voxels = noise[:, :, field].contiguous().cpu().numpy() / deviation
    tomogram = Tomogram(
        tomogram_id=tomogram_id,
        voxels=voxels,
        voxel_size_angst=params.acquisition.voxel_size_nm * 10.0,
        tilt_range=params.acquisition.tilt_range,
        recorded_contrast="bright",
        provenance=Provenance(__version__, parameters_digest(params), seed=seed, simulated=True),
    )
    return SimulatedTomogram(tomogram, noise_voxels, _truth(painted, params), params, seed)


def paint_scene(
    params: SimulationParams, rng: np.random.Generator, generator: torch.Generator
) -> PaintedScene:
    """Draw and paint everything that is in the field."""
    scene, voxel_nm = params.scene, params.acquisition.voxel_size_nm
    canvas = blank_canvas(scene.shape, voxel_nm, MARGIN_VOX, generator)
    disc = draw_body(rng, scene, voxel_nm)
    paint_cell(canvas, disc, rng)
    placed = place_mitochondria(rng, scene, disc, voxel_nm)
    lines = draw_microtubules(rng, scene, disc, voxel_nm, [one.spine for one in placed])
    placed = placed + place_granules(rng, scene, disc, voxel_nm, placed, lines)
    for number, one in enumerate(placed, start=1):
        paint_organelle(canvas, one.spine, one.look, number, rng)
    granules = paint_matrix_granules(canvas, scene, rng)
    measure_axis_distance(canvas, lines)
    paint_tubules(canvas, scene, disc, rng)
    paint_membranes(canvas, contrast=float(rng.uniform(0.45, 0.85)))
    paint_actin(canvas, disc, rng)
    paint_microtubules(canvas, contrast=float(rng.uniform(0.6, 1.0)))
    ribosomes = paint_ribosomes(canvas, scene, rng)
    paint_granule_rows(canvas, scene, disc, rng)
    paint_crowders(canvas, scene, rng)
    paint_carbon(canvas, scene, rng)
    paint_gold(canvas, scene, rng)
    paint_ice(canvas, scene, rng)
    states = tuple(one.look.state for one in placed)
    return PaintedScene(canvas, lines, ribosomes, granules, states)


def _truth(painted: PaintedScene, params: SimulationParams) -> Truth:
    canvas = painted.canvas
    field = slice(MARGIN_VOX, canvas.shape[2] - MARGIN_VOX)

    def cut(volume: Tensor) -> np.ndarray:
        return np.asarray(volume[:, :, field].contiguous().cpu().numpy())

    def inside(points_nm: Float64s) -> Float64s:
        high = (np.array(params.scene.shape) - 0.5) * canvas.voxel_size_nm
        low = -0.5 * canvas.voxel_size_nm
        return 10.0 * points_nm[((points_nm >= low) & (points_nm <= high)).all(axis=1)]

    instances = cut(canvas.instances).astype(np.uint16)
    regions = cut(canvas.regions)
    return Truth(
        regions=regions,
        instances=instances,
        membrane=cut(canvas.membrane_distance_nm <= MEMBRANE_HALF_NM),
        microtubule_core=cut(canvas.axis_distance_nm <= CORE_RADIUS_NM),
        outer_membrane=cut(canvas.outer_distance_nm <= MEMBRANE_HALF_NM),
        inner_membrane=cut(canvas.inner_distance_nm <= MEMBRANE_HALF_NM),
        crista=cut(canvas.crista),
        ribosome=cut(canvas.ribosome_distance_nm <= RIBOSOME_RADIUS_NM),
        ribosomes_angst=inside(painted.ribosomes_nm),
        matrix_granule=cut(canvas.matrix_granule),
        matrix_granules_angst=inside(painted.granules_nm),
        organelles=_true_instances(
            instances,
            regions,
            cut(canvas.crista),
            params.acquisition.voxel_size_nm,
            painted.states,
        ),
        filaments=filaments_in_field(painted.lines_nm, params.scene.shape, canvas.voxel_size_nm),
    )


def _true_instances(
    instances: UInt16s,
    regions: UInt8s,
    crista: Bools,
    voxel_size_nm: float,
    states: Sequence[str | None],
) -> tuple[TrueInstance, ...]:
    voxel_um3 = (voxel_size_nm * 1e-3) ** 3
    # Gold or ice painted over an organelle leaves its instance id: the class is the majority.
    counts = np.bincount(instances.reshape(-1))
    found = []
    border = np.ones(instances.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    on_border = set(np.unique(instances[border]).tolist())
    for instance_id in np.flatnonzero(counts):
        volume = counts[instance_id] * voxel_um3
        if instance_id == 0 or volume < SMALLEST_INSTANCE_UM3:
            continue
        where = np.argwhere(instances == instance_id)
        inside = regions[tuple(where.T)]
        z, y, x = (float(c) * voxel_size_nm * 10.0 for c in where.mean(axis=0))
        found.append(
            TrueInstance(
                instance_id=int(instance_id),
                organelle_class=CLASS_NAMES[int(np.bincount(inside).argmax())],
                volume_um3=float(volume),
                centroid_angst=(z, y, x),
                touches_border=int(instance_id) in on_border,
                state=states[int(instance_id) - 1] if states else None,
                crista_share=float(crista[tuple(where.T)].mean()),
            )
        )
    return tuple(found)
