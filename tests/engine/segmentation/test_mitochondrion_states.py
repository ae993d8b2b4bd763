from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine.data.classification import Classification
from engine.data.labels import MITOCHONDRION_STATES
from engine.data.organelles import Organelle
from engine.data.provenance import Provenance
from engine.segmentation.known_spectrum import Look
from engine.segmentation.mitochondrion_states import boxes_about, with_states

VOXEL_NM = 2.5
SHAPE = (60, 120, 120)


@dataclass
class Brightness:
    """Calls a box swollen by its centre's density; none of all where that is above ten."""

    spec: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(box_vox=8, voxel_size_nm=10.0)
    )
    shown: list = field(default_factory=list)

    def classify(self, stack):
        self.shown.append(stack)
        centre = stack.voxels[:, 4, 4, 4]
        probabilities = np.zeros((len(stack), 3))
        probabilities[np.arange(len(stack)), np.where(centre < 0.5, 2, 0)] = 1.0
        return Classification(
            MITOCHONDRION_STATES, probabilities, np.zeros((len(stack), 1)), centre, centre > 10.0
        )


def organelle(number, centre_nm, name="mitochondrion"):
    centre = tuple(10.0 * each for each in centre_nm)
    return Organelle(number, name, 0.01, 0.3, 0.9, centre, False, 1.0)


def balls(*centres_nm_and_values):
    grid = np.indices(SHAPE) * VOXEL_NM
    voxels = np.zeros(SHAPE, np.float32)
    for *centre, value in centres_nm_and_values:
        away = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        voxels[away < 30.0**2] = value
    return Look(voxels, VOXEL_NM)


def ids_of(*centres_nm):
    grid = np.indices(SHAPE) * VOXEL_NM
    ids = np.zeros(SHAPE, np.uint16)
    for number, centre in enumerate(centres_nm, start=1):
        away = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        ids[away < 30.0**2] = number
    return ids


def test_every_mitochondrion_is_shown_at_its_place_and_named():
    network = Brightness()
    look = balls((75, 80, 80, 1.0), (75, 200, 210, 0.2), (75, 80, 220, 20.0))
    found = with_states(
        [
            organelle(1, (75, 80, 80)),
            organelle(2, (75, 150, 150), "vesicle"),
            organelle(3, (75, 200, 210)),
            organelle(4, (75, 80, 220)),
        ],
        ids_of((75, 80, 80), (75, 150, 150), (75, 200, 210), (75, 80, 220)),
        VOXEL_NM,
        look,
        network,
        Provenance("0", "0"),
    )
    assert [one.state for one in found] == ["normal", None, "swollen", None]
    assert [one.state_probability for one in found] == [1.0, None, 1.0, None]
    # Three mitochondria, each in eight mirror images.
    assert len(network.shown[0]) == 24
    assert network.shown[0].voxel_size_angst == 100.0


def test_nothing_is_asked_where_there_is_no_mitochondrion():
    network = Brightness()
    others = [organelle(1, (75, 80, 80), "vesicle")]
    given = (ids_of((75, 80, 80)), VOXEL_NM, balls(), network, Provenance("0", "0"))
    assert with_states(others, *given) == tuple(others)
    assert network.shown == []


def test_a_box_shows_a_body_and_its_rim_and_nothing_else():
    look = balls((75, 150, 100, 1.0), (75, 150, 200, 50.0))
    ids = ids_of((75, 150, 100), (75, 150, 200))
    (box,) = boxes_about(look, np.array([[75.0, 150.0, 100.0]]), [1], ids, VOXEL_NM, 24, 10.0)
    assert box.shape == (24, 24, 24)
    assert box[12, 12, 12] == pytest.approx(1.0, abs=0.1)
    # The bright neighbour is 100 nm away, far beyond the rim.
    assert box.max() < 1.2
    assert box[12, 12, -1] == pytest.approx(0.0, abs=0.05)


def test_beyond_the_volume_is_what_the_rim_holds():
    look = replace(balls(), voxels=np.full(SHAPE, 3.0, np.float32))
    ids = ids_of((0.0, 0.0, 297.5))
    (box,) = boxes_about(look, np.array([[0.0, 0.0, 297.5]]), [1], ids, VOXEL_NM, 8, 10.0)
    np.testing.assert_allclose(box, 3.0, rtol=1e-5)
