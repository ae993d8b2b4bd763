"""Structures as the microscope of some averages would show them."""

import numpy as np
import pytest
import torch

from engine.simulation.subtomograms import densities_in_boxes
from models.ball_functions import ball_functions
from models.classifier_pool import assemblies
from models.supposed_structures import AMPLITUDE, as_averaged

BOX, VOXEL_ANGST = 16, 20.0
FUNCTIONS = ball_functions(BOX, 7.5, 5.0)
SHELLS = FUNCTIONS.frequencies.round().long()


def coefficients_of(densities):
    return densities.flatten(1) @ FUNCTIONS.sampled().flatten(1).T


def densities(count, seed):
    return densities_in_boxes(assemblies(count, seed), BOX, VOXEL_ANGST)


def powers(coefficients):
    each = coefficients.square().mean(dim=0).numpy()
    return np.bincount(SHELLS.numpy(), each)


@pytest.fixture(scope="module")
def averages():
    """Of a microscope that passes some shells better than others and shows protein dark."""
    passed = 1.5 + torch.sin(2.0 * SHELLS.float())
    plain = coefficients_of(densities(12, 5))
    return -30.0 * plain / plain.norm(dim=1, keepdim=True) * passed


def test_other_structures_are_seen_through_the_microscope_of_the_averages(averages):
    found = as_averaged(FUNCTIONS, averages, densities(40, 6))
    norms = found.norm(dim=1).numpy()
    assert norms == pytest.approx(AMPLITUDE * float(averages.norm(dim=1).mean()), rel=1e-5)
    own, theirs = powers(found), powers(averages)
    assert own[1:] / own.sum() == pytest.approx(theirs[1:] / theirs.sum(), rel=0.25, abs=0.01)


def test_protein_is_dark_where_it_is_dark_in_the_averages(averages):
    others = densities(12, 7)
    dark, bright = (as_averaged(FUNCTIONS, one, others) for one in (averages, -averages))
    torch.testing.assert_close(dark, -bright)
    assert ((dark * coefficients_of(others)).sum(dim=1) < 0).all()


def test_the_scale_of_a_density_does_not_matter(averages):
    others = densities(5, 8)
    scales = torch.tensor([0.1, 1.0, 3.0, 20.0, 500.0])[:, None, None, None]
    torch.testing.assert_close(
        as_averaged(FUNCTIONS, averages, others), as_averaged(FUNCTIONS, averages, scales * others)
    )
