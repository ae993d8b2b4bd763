"""Mitochondria called normal, swollen, or round and poor in cristae, by a trained network."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Protocol

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float32s, Float64s, UInt16s
from engine.data.classification import Classification
from engine.data.labels import MITOCHONDRION_STATES
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.segmentation.known_spectrum import Look
from engine.segmentation.resampling import box_around, nearest_index, resample

RIM_NM = 30.0
# Axes of (n, z, y, x): mitochondria have no hand, and the network learnt from mirror images.
REVERSALS = tuple(axes for n in range(4) for axes in combinations((1, 2, 3), n))


class StateSpec(Protocol):
    """What must be known of a network that names states."""

    @property
    def box_vox(self) -> int:
        """Side of the boxes that it is shown."""
        ...

    @property
    def voxel_size_nm(self) -> float:
        """Of these boxes."""
        ...

    @property
    def digest(self) -> FileDigest:
        """Of its file."""
        ...


class StateNetwork(Protocol):
    """A classifier of boxes about mitochondria; its classes are `MITOCHONDRION_STATES`."""

    @property
    def spec(self) -> StateSpec:
        """See `StateSpec`."""
        ...

    def classify(self, stack: SubtomogramStack) -> Classification:
        """Name every box of a stack."""
        ...


def with_states(
    organelles: Sequence[Organelle],
    ids: UInt16s,
    voxel_nm: float,
    look: Look,
    network: StateNetwork,
    provenance: Provenance,
) -> tuple[Organelle, ...]:
    """Mitochondria with their state and its probability; none where it is unlike all known ones.

    Parameters
    ----------
    ids
        uint16 (z, y, x), instances on a grid of `voxel_nm`.
    look
        The tomogram as the other networks are shown it.
    """
    chosen = [one for one in organelles if one.organelle_class == "mitochondrion"]
    if not chosen:
        return tuple(organelles)
    centres_nm = np.array([one.centroid_angst for one in chosen]) / 10.0
    numbers = [one.instance_id for one in chosen]
    box_vox, box_nm = network.spec.box_vox, network.spec.voxel_size_nm
    boxes = boxes_about(look, centres_nm, numbers, ids, voxel_nm, box_vox, box_nm)
    probabilities, is_none = _named(boxes, network, provenance)
    states = {
        number: (MITOCHONDRION_STATES[int(each.argmax())], float(each.max()))
        for number, each, unknown in zip(numbers, probabilities, is_none, strict=True)
        if not unknown
    }
    found = []
    for one in organelles:
        state, probability = states.get(one.instance_id, (None, None))
        found.append(replace(one, state=state, state_probability=probability))
    return tuple(found)


def _named(
    boxes: Float32s, network: StateNetwork, provenance: Provenance
) -> tuple[Float64s, Bools]:
    """Mean probabilities (n, states) over all mirror images, and what most of these call none."""
    n = len(boxes)
    shown = np.concatenate([np.flip(boxes, axes) for axes in REVERSALS])
    names = tuple(str(number) for number in range(len(shown)))
    stack = SubtomogramStack(
        shown, 10.0 * network.spec.voxel_size_nm, names, ("",) * len(shown), provenance
    )
    found = network.classify(stack)
    order = [found.class_names.index(one) for one in MITOCHONDRION_STATES]
    probabilities = found.probabilities[:, order].reshape(len(REVERSALS), n, len(order))
    votes = found.is_none.reshape(len(REVERSALS), n).mean(axis=0)
    return np.asarray(probabilities.mean(axis=0)), np.asarray(votes > 0.5)


def boxes_about(
    look: Look,
    centres_nm: Float64s,
    numbers: Sequence[int],
    ids: UInt16s,
    voxel_nm: float,
    box_vox: int,
    box_nm: float,
) -> Float32s:
    """Boxes (n, z, y, x) of voxels of `box_nm` about bodies; what is not near them is left out.

    Beyond `RIM_NM` of a body, and beyond the volume, a box holds the median of that rim: what else
    lies about is no sign of a state.

    Parameters
    ----------
    numbers
        Ids of the bodies in `ids` (grid of `voxel_nm`), as many as centres (n, 3).
    """
    volume = resample(look.voxels, box_nm / look.voxel_nm)
    at = [
        nearest_index(n, box_nm / voxel_nm, size)
        for n, size in zip(volume.shape, ids.shape, strict=True)
    ]
    owner, everywhere = ids[np.ix_(*at)].astype(np.float32), np.ones_like(volume)
    corners = np.rint(centres_nm / box_nm).astype(np.int64) - box_vox // 2
    boxes = []
    for corner, number in zip(corners, numbers, strict=True):
        box, _ = box_around(volume, corner, box_vox)
        inside, _ = box_around(everywhere, corner, box_vox, fill=0.0)
        own = box_around(owner, corner, box_vox, fill=0.0)[0] == number
        boxes.append(with_rim_alone(box, own, inside > 0, box_nm))
    return np.stack(boxes)


def with_rim_alone(box: Float32s, own: Bools, inside: Bools, box_nm: float) -> Float32s:
    """A box whose voxels far from a body, or not in the volume, have the median of its rim."""
    near = ndimage.binary_dilation(own, iterations=max(1, round(RIM_NM / box_nm))) & inside
    rim = near & ~own
    level = float(np.median(box[rim])) if rim.any() else float(box.mean())
    return np.where(near, box, np.float32(level))
