"""Sums over masks cut by the volume's faces, against counting voxel by voxel."""

import numpy as np
import torch

from engine.matching.correlation import mask_sums_inside


def test_weights_inside_equal_those_counted_one_by_one():
    rng = np.random.default_rng(0)
    shape, reach = (12, 9, 7), 3
    line = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = offsets[(offsets**2).sum(axis=1) <= reach**2]
    masks = torch.from_numpy(rng.random((2, len(offsets)), dtype=np.float32))
    places = np.stack(np.unravel_index(np.arange(12 * 9 * 7), shape), axis=1)
    counted = np.zeros((2, len(places)))
    for index, place in enumerate(places):
        there = place + offsets
        inside = ((there >= 0) & (there < shape)).all(axis=1)
        counted[:, index] = masks[:, torch.from_numpy(inside)].double().sum(dim=1)
    sums = mask_sums_inside(shape, places, offsets, masks).numpy()
    np.testing.assert_allclose(sums, counted, rtol=1e-5)
