"""What a weak output of the shipped networks says reaches no table."""

from dataclasses import replace

import numpy as np
import pytest

from app.wiring import shipped_networks
from engine.segmentation.analyse import analyse_tomogram
from engine.simulation.case import simulate_tomogram
from engine.simulation.params import SimulationParams, draw_acquisition, draw_scene

WEAK = "the networks of this version do not find matrix granules well enough to measure"


@pytest.fixture(scope="module")
def tomogram():
    rng = np.random.default_rng(21)
    acquisition = draw_acquisition("A", rng, snr_range=(0.2, 0.2), voxel_size_nm=2.6)
    scene = draw_scene(rng, (64, 128, 128), 2.6, mean_mitochondria=4.0)
    params = SimulationParams(replace(scene, n_mitochondria=2), acquisition)
    return simulate_tomogram(params, seed=21).tomogram


def granules(tomogram, networks):
    analysis = analyse_tomogram(tomogram, networks)
    found = [
        one.n_matrix_granules
        for one in analysis.instances.organelles
        if one.organelle_class == "mitochondrion"
    ]
    assert found
    return found, analysis.measurements.values["matrix_granules_mean"]


def test_granules_are_counted_where_the_output_is_good_and_nowhere_else(tomogram):
    networks = shipped_networks("cpu")
    small = networks.small_bodies
    for weak in ((), ("matrix_granule",)):
        spec = replace(small.spec, weak_outputs=weak)
        changed = replace(networks, small_bodies=replace(small, spec=spec))
        found, mean = granules(tomogram, changed)
        assert all((number is None) == bool(weak) for number in found)
        assert mean.not_assessable == (WEAK if weak else None)
