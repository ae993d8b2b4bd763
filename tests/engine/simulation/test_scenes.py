"""What is true of every kind of scene, and of what lies in mitochondria and cytoplasm."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.data.labels import CLASS_IDS, MITOCHONDRION_STATES
from engine.simulation.case import paint_scene, simulate_tomogram
from engine.simulation.cell import Tubes
from engine.simulation.filaments import draw_microtubules
from engine.simulation.params import SimulationParams, draw_acquisition, draw_scene

SHAPE, VOXEL_NM = (64, 128, 128), 3.0


def scene_of(kind, seed=3, **changes):
    rng = np.random.default_rng(seed)
    acquisition = draw_acquisition("A", rng, voxel_size_nm=VOXEL_NM)
    scene = draw_scene(
        rng, SHAPE, VOXEL_NM, mean_mitochondria=4.0, mean_microtubules=8.0, kind=kind
    )
    return SimulationParams(replace(scene, **changes), acquisition)


@pytest.fixture(scope="module")
def platelet():
    params = scene_of("platelet", n_mitochondria=2, ribosomes_per_um3=800.0, n_tubules=6)
    return simulate_tomogram(params, seed=3).truth


def test_mitochondrial_membranes_are_part_of_the_membranes_and_of_mitochondria(platelet):
    inner, outer = platelet.inner_membrane, platelet.outer_membrane
    assert inner.any()
    assert outer.any()
    assert platelet.membrane[inner | outer].all()
    mitochondrion = platelet.regions == CLASS_IDS["mitochondrion"]
    assert mitochondrion[inner].mean() > 0.99
    # Half of the outer bilayer lies outside of the surface.
    assert 0.3 < mitochondrion[outer].mean() < 0.8
    # Further membranes belong to the cell, granules and tubules.
    assert (platelet.membrane & ~inner & ~outer).any()


def test_cristae_lie_in_mitochondria_and_have_inner_membrane(platelet):
    crista = platelet.crista
    assert crista.any()
    assert (platelet.regions[crista] == CLASS_IDS["mitochondrion"]).mean() > 0.99
    assert 0.2 < platelet.inner_membrane[crista].mean() < 1.0


def test_ribosomes_keep_apart_and_clear_of_membranes_and_microtubules(platelet):
    centres = platelet.ribosomes_angst / 10.0
    assert len(centres) > 10
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    assert apart[np.triu_indices(len(centres), 1)].min() >= 23.0
    index = np.minimum(np.rint(centres / VOXEL_NM).astype(int), np.array(SHAPE) - 1)
    assert platelet.ribosome[tuple(index.T)].all()
    assert not (platelet.ribosome & platelet.membrane).any()
    assert not (platelet.ribosome & platelet.microtubule_core).any()


@pytest.fixture(scope="module")
def granular():
    params = scene_of("platelet", 4, n_mitochondria=3, matrix_granules_per_um3=3000.0)
    return simulate_tomogram(params, seed=3).truth


def test_matrix_granules_lie_in_the_matrix_clear_of_membranes(granular):
    granule = granular.matrix_granule
    assert granule.any()
    assert (granular.regions[granule] == CLASS_IDS["mitochondrion"]).all()
    assert not (granule & (granular.membrane | granular.crista)).any()


def test_every_matrix_granule_is_one_body_about_its_centre(granular):
    centres = granular.matrix_granules_angst / (10.0 * VOXEL_NM)
    bodies, count = ndimage.label(granular.matrix_granule)
    index = np.minimum(np.rint(centres).astype(int), np.array(SHAPE) - 1)
    # A body whose centre is beyond a face has voxels in the field and no centre.
    own = bodies[tuple(index.T)]
    assert (own > 0).all()
    assert len(set(own.tolist())) == len(centres) <= count
    middles = np.array(ndimage.center_of_mass(bodies > 0, bodies, own))
    whole = ((index > 10) & (index < np.array(SHAPE) - 10)).all(axis=1)
    assert np.abs(middles - centres)[whole].max() < 1.0
    diameters_nm = VOXEL_NM * (6.0 / np.pi * np.bincount(bodies.ravel())[own][whole]) ** (1 / 3)
    assert (diameters_nm > 14.0).all()
    assert (diameters_nm < 56.0).all()


@pytest.fixture(scope="module")
def in_states():
    """Density of the matrix and share of cristae of mitochondria, by state."""
    density = {name: [] for name in MITOCHONDRION_STATES}
    crista = {name: [] for name in MITOCHONDRION_STATES}
    for seed in range(8):
        params = scene_of("platelet", seed, n_mitochondria=6, abnormal_shares=(1 / 3, 1 / 3))
        generator = torch.Generator().manual_seed(seed)
        painted = paint_scene(params, np.random.default_rng(seed), generator)
        canvas = painted.canvas
        for number, state in enumerate(painted.states, start=1):
            own = canvas.instances == number
            if state is None or int(own.sum()) < 3000:
                continue
            deep = own & ~canvas.crista & (canvas.membrane_distance_nm > 10.0)
            density[state].append(float(canvas.density[deep].median()))
            crista[state].append(float(canvas.crista[own].float().mean()))
    return density, crista


def test_swollen_mitochondria_are_pale_and_round_ones_poor_in_cristae(in_states):
    density, crista = in_states
    assert min(len(each) for each in density.values()) >= 5
    assert np.mean(density["swollen"]) < 0.6 * np.mean(density["normal"])
    assert np.mean(crista["round_crista_poor"]) < 0.3 * np.mean(crista["normal"])


def test_only_scenes_with_states_name_them():
    stateless = paint_scene(
        scene_of("platelet", 5), np.random.default_rng(5), torch.Generator().manual_seed(5)
    )
    assert set(stateless.states) == {None}
    params = scene_of("platelet", 5, n_mitochondria=4, abnormal_shares=(1.0, 0.0))
    truth = simulate_tomogram(params, seed=5).truth
    states = {(one.organelle_class, one.state) for one in truth.organelles}
    assert ("mitochondrion", "swollen") in states
    assert {state for kind, state in states if kind == "mitochondrion"} == {"swollen"}
    assert {state for kind, state in states if kind != "mitochondrion"} <= {None}


def test_scenes_without_matrix_granules_are_what_they_were(platelet):
    assert not platelet.matrix_granule.any()
    assert platelet.matrix_granules_angst.shape == (0, 3)


def test_the_number_of_ribosomes_follows_the_density_asked_for():
    params = scene_of(
        "platelet", n_mitochondria=0, n_alpha_granules=0, n_dense_granules=0, n_vesicles=0,
        n_gold=0, ribosomes_per_um3=1000.0, edge_in_view=False,
    )  # fmt: skip
    truth = simulate_tomogram(params, seed=5).truth
    volume_um3 = (truth.regions == CLASS_IDS["background"]).sum() * (VOXEL_NM * 1e-3) ** 3
    # Places near membranes and other ribosomes are lost.
    assert 0.5 < len(truth.ribosomes_angst) / (1000.0 * volume_um3) < 1.2


def test_rows_of_grains_are_dense_and_change_no_truth():
    empty = {
        "n_mitochondria": 1, "n_free": 2, "crowding": 0.0, "ribosomes_per_um3": 0.0,
        "n_gold": 0, "n_ice": 0, "carbon_edge": False,
    }  # fmt: skip
    plain, rows = (
        paint_scene(
            scene_of("platelet", n_granule_rows=count, **empty),
            np.random.default_rng(8),
            torch.Generator().manual_seed(8),
        ).canvas
        for count in (0, 6)
    )
    added = (rows.density > plain.density + 0.3).numpy()
    _, n_grains = ndimage.label(added)
    assert n_grains >= 10
    assert (plain.regions.numpy()[added] == CLASS_IDS["background"]).mean() > 0.99
    for name in ("instances", "membrane_distance_nm", "axis_distance_nm"):
        assert torch.equal(getattr(plain, name), getattr(rows, name))


def test_steep_scenes_have_steep_microtubules():
    rises = []
    for climb_sd_rad in (0.18, 0.8):
        params = scene_of(
            "platelet", n_mitochondria=0, n_alpha_granules=0, n_dense_granules=0, n_vesicles=0,
            n_band=0, n_free=30, climb_sd_rad=climb_sd_rad,
        )  # fmt: skip
        chords = [
            one.points_angst[-1] - one.points_angst[0]
            for one in simulate_tomogram(params, seed=6).truth.filaments
        ]
        rises.append([abs(chord[0]) / np.linalg.norm(chord) for chord in chords])
    assert np.median(rises[0]) < 0.25
    assert np.median(rises[1]) > np.median(rises[0]) + 0.15


def test_microtubules_of_a_neurite_run_along_it():
    truth = simulate_tomogram(scene_of("neurite", n_mitochondria=1), seed=4).truth
    assert len(truth.filaments) >= 3
    steps = [one.points_angst[-1] - one.points_angst[0] for one in truth.filaments]
    directions = np.array([step / np.linalg.norm(step) for step in steps])
    along = np.abs(directions @ directions.T)
    assert np.median(along) > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_cilium_holds_nine_doublets_in_a_ring_and_at_most_a_pair(seed):
    centre = np.array([[150.0, 200.0, 200.0]])
    cilium = Tubes(centre, heading_rad=0.7, radius_nm=135.0)
    lines = draw_microtubules(
        np.random.default_rng(seed), scene_of("cilia").scene, cilium, VOXEL_NM, []
    )
    assert len(lines) in (18, 20)
    offsets = np.array([line[len(line) // 2] for line in lines]) - centre
    across = offsets - (offsets @ cilium.direction)[:, None] * cilium.direction
    radii = np.sort(np.linalg.norm(across, axis=1))
    assert (radii[-18:] > 80.0).all()
    assert (radii[-18:] < 105.0).all()
    assert radii[:-18] == pytest.approx(16.0, abs=0.1)
    # B tubules touch their A tubules.
    apart = np.linalg.norm(across[:18:2] - across[1:18:2], axis=1)
    assert (apart > 18.0).all()
    assert (apart < 24.0).all()


def test_cilia_hold_no_organelles():
    assert simulate_tomogram(scene_of("cilia"), seed=11).truth.organelles == ()
