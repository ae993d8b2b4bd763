"""Mitochondria called normal, swollen, or round and poor in cristae, by a trained network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from engine.data.arrays import Float32s, Float64s
from engine.data.classification import Classification
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.segmentation.known_spectrum import Look
from engine.segmentation.resampling import box_around, resample


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
    organelles: Sequence[Organelle], look: Look, network: StateNetwork, provenance: Provenance
) -> tuple[Organelle, ...]:
    """Mitochondria with their state and its probability; none where it is unlike all known ones.

    Parameters
    ----------
    look
        The tomogram as the other networks are shown it.
    """
    chosen = [one for one in organelles if one.organelle_class == "mitochondrion"]
    if not chosen:
        return tuple(organelles)
    centres_nm = np.array([one.centroid_angst for one in chosen]) / 10.0
    boxes = boxes_about(look, centres_nm, network.spec.box_vox, network.spec.voxel_size_nm)
    names = tuple(str(one.instance_id) for one in chosen)
    stack = SubtomogramStack(
        boxes, 10.0 * network.spec.voxel_size_nm, names, ("",) * len(chosen), provenance
    )
    named = network.classify(stack)
    states = {
        one.instance_id: (named.class_names[kind], float(probability[kind]))
        for one, kind, probability, is_none in zip(
            chosen, named.kinds, named.probabilities, named.is_none, strict=True
        )
        if not is_none
    }
    found = []
    for one in organelles:
        state, probability = states.get(one.instance_id, (None, None))
        found.append(replace(one, state=state, state_probability=probability))
    return tuple(found)


def boxes_about(look: Look, centres_nm: Float64s, box_vox: int, voxel_size_nm: float) -> Float32s:
    """Boxes (n, z, y, x) about points (n, 3), filled with their own mean beyond the volume."""
    volume = resample(look.voxels, voxel_size_nm / look.voxel_nm)
    corners = np.rint(centres_nm / voxel_size_nm).astype(np.int64) - box_vox // 2
    return np.stack([box_around(volume, corner, box_vox)[0] for corner in corners])
