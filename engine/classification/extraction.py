"""Subtomograms cut out of a tomogram, and brought to what a network was trained on."""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from engine.data.arrays import Float32s
from engine.data.particles import ParticleSet
from engine.data.subtomograms import SubtomogramStack
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError
from engine.segmentation.resampling import box_around, resample

# Samplings that differ by less are the same.
SAME_VOXEL = 0.005
# Of a box: with less of it in the tomogram there is too little to tell a class from.
LEAST_INSIDE = 0.5


def extract_subtomograms(
    tomogram: Tomogram, particles: ParticleSet, box_vox: int, voxel_size_angst: float
) -> tuple[SubtomogramStack, np.ndarray]:
    """Boxes around particles, to the nearest voxel.

    What lies outside the tomogram is filled with the mean of what lies inside; a particle with
    more than half of its box outside is left out.

    Returns
    -------
    SubtomogramStack, array
        The boxes, and which particles they are of (indices).

    Raises
    ------
    BadInputError
        The box is larger than the tomogram, or no particle lies in it.
    """
    ratio = voxel_size_angst / tomogram.voxel_size_angst
    voxels = tomogram.voxels
    if abs(ratio - 1.0) > SAME_VOXEL:
        voxels = resample(voxels, ratio)
    if min(voxels.shape) < box_vox // 2:
        raise BadInputError(
            f"{tomogram.tomogram_id}: a box of {box_vox} voxels of {voxel_size_angst:g} Å does not "
            f"fit into {voxels.shape}"
        )
    centres = np.rint(particles.positions_angst / voxel_size_angst).astype(np.int64)
    boxes, kept = [], []
    for index, centre in enumerate(centres):
        box, inside = box_around(voxels, centre - box_vox // 2, box_vox)
        if inside >= LEAST_INSIDE:
            boxes.append(box)
            kept.append(index)
    if not kept:
        raise BadInputError(
            f"{tomogram.tomogram_id}: none of {len(particles)} particles lies in the tomogram; are "
            "their coordinates of another binning?"
        )
    names = tuple(f"{tomogram.tomogram_id}:{index + 1}" for index in kept)
    stack = SubtomogramStack(
        np.stack(boxes),
        voxel_size_angst,
        names,
        tuple(particles.class_names[index] for index in kept),
        tomogram.provenance,
    )
    return stack, np.array(kept)


def at_sampling(stack: SubtomogramStack, box_vox: int, voxel_size_angst: float) -> SubtomogramStack:
    """The same particles at another sampling, in the middle of boxes of another side.

    Raises
    ------
    BadInputError
        The boxes hold less than the wanted ones ask for.
    """
    ratio = voxel_size_angst / stack.voxel_size_angst
    wanted = box_vox * ratio
    if stack.box_vox < wanted - 1.0:
        raise BadInputError(
            f"boxes of {stack.box_vox} voxels of {stack.voxel_size_angst:g} Å are too small: "
            f"expected {wanted:.0f} voxels ({box_vox} of {voxel_size_angst:g} Å)"
        )
    if abs(ratio - 1.0) <= SAME_VOXEL and stack.box_vox == box_vox:
        return stack
    boxes = np.stack([_resampled(volume, ratio, box_vox) for volume in stack.voxels])
    return dataclasses.replace(stack, voxels=boxes, voxel_size_angst=voxel_size_angst)


def _resampled(volume: Float32s, ratio: float, side: int) -> Float32s:
    """The middle of a volume at another sampling; voxel `n // 2` stays the centre."""
    if abs(ratio - 1.0) <= SAME_VOXEL:
        low = volume.shape[0] // 2 - side // 2
        return box_around(volume, np.full(3, low), side)[0]
    axis = (np.arange(side) - side // 2) * ratio + volume.shape[0] // 2
    # A Gaussian with the second moment by which the voxels differ.
    sigma = 0.5 * np.sqrt(max(ratio**2 - 1.0, 0.0))
    smooth = gaussian_filter(volume, sigma) if sigma > 0 else volume
    grid = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.asarray(map_coordinates(smooth, grid, order=1, mode="nearest"), dtype=np.float32)


def normalised(stack: SubtomogramStack) -> Float32s:
    """Voxels of zero mean and unit variance in every box, (n, side, side, side).

    Raises
    ------
    BadInputError
        A box is constant.
    """
    flat = stack.voxels.reshape(len(stack), -1).astype(np.float64)
    deviation = flat.std(axis=1)
    if (deviation <= 0).any():
        first = stack.names[int(np.flatnonzero(deviation <= 0)[0])]
        raise BadInputError(f"subtomogram {first} is constant: there is nothing in it")
    scaled = (flat - flat.mean(axis=1, keepdims=True)) / deviation[:, None]
    return np.ascontiguousarray(scaled.reshape(stack.voxels.shape), dtype=np.float32)
