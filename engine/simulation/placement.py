"""Which organelles lie where: sizes, touching pairs, no overlaps."""

from dataclasses import dataclass, replace

import numpy as np

from engine.data.arrays import Float64s
from engine.data.labels import (
    MITOCHONDRION_STATES,
    NORMAL_STATE,
    ROUND_CRISTA_POOR,
    SWOLLEN,
)
from engine.simulation.cell import Body
from engine.simulation.organelles import OrganelleLook
from engine.simulation.params import Scene
from engine.simulation.spines import Spine, draw_spine, gap_nm, touching_copy_position

TRIES = 60
CLEARANCE_NM = 12.0
MICROTUBULE_GAP_NM = 14.0


@dataclass(frozen=True)
class Placed:
    """One organelle before painting."""

    spine: Spine
    look: OrganelleLook


def place_mitochondria(
    rng: np.random.Generator, scene: Scene, disc: Body, voxel_size_nm: float
) -> list[Placed]:
    """The mitochondria of a scene, some of them touching; they are placed before all else."""
    return _place(rng, ["mitochondrion"] * scene.n_mitochondria, scene, disc, voxel_size_nm, [], [])


def place_granules(
    rng: np.random.Generator,
    scene: Scene,
    disc: Body,
    voxel_size_nm: float,
    mitochondria: list[Placed],
    microtubules: list[Float64s],
) -> list[Placed]:
    """Granules and vesicles where mitochondria and microtubules leave room."""
    wanted = (
        ["alpha_granule"] * scene.n_alpha_granules
        + ["dense_granule"] * scene.n_dense_granules
        + ["vesicle"] * scene.n_vesicles
    )
    return _place(rng, wanted, scene, disc, voxel_size_nm, mitochondria, microtubules)


def _place(
    rng: np.random.Generator,
    wanted: list[str],
    scene: Scene,
    disc: Body,
    voxel_size_nm: float,
    before: list[Placed],
    microtubules: list[Float64s],
) -> list[Placed]:
    size_nm = np.array(scene.shape) * voxel_size_nm
    nodes = np.concatenate([line[::6] for line in microtubules]) if microtubules else None
    placed: list[Placed] = []
    for organelle_class in wanted:
        found = _try_place(rng, organelle_class, scene, disc, size_nm, before + placed, nodes)
        if found is not None:
            placed.append(found)
    return placed


def _try_place(
    rng: np.random.Generator,
    organelle_class: str,
    scene: Scene,
    disc: Body,
    size_nm: Float64s,
    placed: list[Placed],
    nodes_nm: Float64s | None,
) -> Placed | None:
    state = _draw_state(rng, scene) if organelle_class == "mitochondrion" else None
    look = _draw_look(rng, organelle_class, scene, state)
    mitochondria = [other for other in placed if other.look.organelle_class == "mitochondrion"]
    touching = organelle_class == "mitochondrion" and rng.random() < scene.touching_fraction
    for attempt in range(TRIES):
        # Later tries take smaller bodies: a full field still gets what the scene asks for.
        shrink = 1.0 if attempt < TRIES // 2 else 0.8
        spine = _draw_body(rng, organelle_class, scene, disc, size_nm, shrink, state)
        if touching and mitochondria and attempt < TRIES // 2:
            neighbour = mitochondria[rng.integers(len(mitochondria))].spine
            spine = touching_copy_position(rng, spine, neighbour, rng.uniform(2.0, 12.0))
        clearance = 1.0 if touching else CLEARANCE_NM
        if _fits(spine, disc, size_nm, placed, clearance) and _clear_of(spine, nodes_nm):
            return Placed(spine, look)
    return None


def _clear_of(spine: Spine, nodes_nm: Float64s | None) -> bool:
    if nodes_nm is None:
        return True
    points, radii = spine.spheres()
    distance = np.linalg.norm(nodes_nm[:, None] - points[None], axis=2) - radii[None]
    return bool(distance.min() > MICROTUBULE_GAP_NM + 0.07 * float(radii.mean()))


def _fits(
    spine: Spine, disc: Body, size_nm: Float64s, placed: list[Placed], clearance_nm: float
) -> bool:
    points, radii = spine.spheres()
    centre = points.mean(axis=0)
    # The middle lies inside the field, so that what counts is never a sliver.
    if (centre < 0.03 * size_nm).any() or (centre > 0.97 * size_nm).any():
        return False
    if (disc.depth_nm(points) < 1.1 * radii + 14.0).any():
        return False
    # Painted surfaces are rough by 7 % of the radius: keep truly separate ones apart.
    rough = 0.07 * float(radii.mean()) if clearance_nm > 5.0 else 0.0
    return all(gap_nm(spine, other.spine) > clearance_nm + rough for other in placed)


def _draw_body(
    rng: np.random.Generator,
    organelle_class: str,
    scene: Scene,
    disc: Body,
    size_nm: Float64s,
    shrink: float,
    state: str | None,
) -> Spine:
    """Size by class, radius limited to what the cell's thickness holds.

    Mitochondria 150-330 nm across, round to 600 nm long; alpha granules 200-400 nm, dense
    granules 150-250 nm, vesicles and canalicular system 60-250 nm (sizes seen in the labelled
    platelet slice named in `docs/simulation.md`).
    """
    room = 0.9 * (disc.half_thickness_nm - 16.0)
    if organelle_class == "mitochondrion":
        radius = min(rng.uniform(80.0, 165.0), max(room, 60.0)) * shrink
        long = rng.random() < (0.75 if scene.other_shapes else 0.45)
        length = rng.uniform(120.0, 600.0) if long else rng.uniform(5.0, 120.0)
        bend, variation = rng.uniform(0.2, 1.6), rng.uniform(0.0, 0.2)
        if state == SWOLLEN:
            radius = min(rng.uniform(115.0, 190.0), max(room, 60.0)) * shrink
            length = rng.uniform(5.0, 150.0)
        elif state == ROUND_CRISTA_POOR:
            length, variation = rng.uniform(5.0, 40.0), 0.05
    elif organelle_class == "alpha_granule":
        radius = min(rng.uniform(90.0, 180.0), max(room, 50.0)) * shrink
        length, bend, variation = rng.uniform(2.0, 130.0), 0.3, 0.1
    elif organelle_class == "dense_granule":
        radius = min(rng.uniform(65.0, 120.0), max(room, 50.0)) * shrink
        length, bend, variation = rng.uniform(2.0, 40.0), 0.2, 0.08
    else:
        radius = min(rng.uniform(28.0, 110.0), max(room, 28.0)) * shrink
        tubular = rng.random() < 0.3
        length = rng.uniform(100.0, 400.0) if tubular else rng.uniform(1.0, 50.0)
        bend, variation = 0.9, 0.15
    centre = rng.uniform(0.0, 1.0, 3) * size_nm
    slack = max(0.0, disc.half_thickness_nm - 1.1 * radius - 14.0)
    centre[0] = disc.mid_z_nm + rng.uniform(-1.0, 1.0) * slack
    centre[0] = float(np.clip(centre[0], 0.1 * size_nm[0], 0.9 * size_nm[0]))
    return draw_spine(rng, centre, float(radius), float(length * shrink), bend, variation)


def _draw_state(rng: np.random.Generator, scene: Scene) -> str | None:
    if scene.abnormal_shares is None:
        return None
    swollen, poor = scene.abnormal_shares
    shares = {NORMAL_STATE: 1.0 - swollen - poor, ROUND_CRISTA_POOR: poor, SWOLLEN: swollen}
    return str(rng.choice(MITOCHONDRION_STATES, p=[shares[one] for one in MITOCHONDRION_STATES]))


def _in_state(look: OrganelleLook, state: str, rng: np.random.Generator) -> OrganelleLook:
    """A mitochondrion as its state wants it; ranges are assumptions.

    Swollen: the matrix is diluted, what is left of the cristae is wide. Round and crista-poor: the
    matrix is as dense as ever.
    """
    if state == SWOLLEN:
        return replace(
            look,
            state=state,
            interior=float(rng.uniform(0.1, 0.22)),
            crista_share=float(rng.uniform(0.15, 0.5)),
            crista_width_nm=float(rng.uniform(18.0, 30.0)),
        )
    few = state == ROUND_CRISTA_POOR
    share = rng.uniform(0.0, 0.12) if few else rng.uniform(0.45, 0.95)
    return replace(look, state=state, crista_share=float(share))


def _draw_look(
    rng: np.random.Generator, organelle_class: str, scene: Scene, state: str | None
) -> OrganelleLook:
    if organelle_class == "mitochondrion":
        poor = rng.random() < scene.crista_poor_fraction
        look = OrganelleLook(
            "mitochondrion",
            interior=float(rng.uniform(0.28, 0.48)),
            grain=float(rng.uniform(0.01, 0.04)),
            crista_period_nm=float(rng.uniform(42.0, 85.0)),
            crista_width_nm=float(rng.uniform(12.0, 22.0)),
            crista_share=float(rng.uniform(0.0, 0.15) if poor else rng.uniform(0.45, 0.95)),
            intermembrane_nm=float(rng.uniform(11.0, 20.0)),
            tubular_cristae=bool(rng.random() < 0.25),
        )
        return look if state is None else _in_state(look, state, rng)
    if organelle_class == "alpha_granule":
        return OrganelleLook(
            "alpha_granule", float(rng.uniform(0.3, 0.62)), grain=float(rng.uniform(0.02, 0.1))
        )
    if organelle_class == "dense_granule":
        return OrganelleLook(
            "dense_granule", float(rng.uniform(0.05, 0.2)), core=float(rng.uniform(0.8, 1.6))
        )
    return OrganelleLook(
        "vesicle", float(rng.uniform(0.01, 0.09)), grain=float(rng.uniform(0.0, 0.02))
    )
