"""A reader's corrections of instances: accept, reject, merge, split; the automatic result stays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from engine.data.arrays import Float64s, UInt16s
from engine.data.organelles import Organelle
from engine.errors import BadInputError
from engine.segmentation.morphometry import body_shape

Kind = Literal["accept", "reject", "merge", "split"]
IDS_NEEDED: dict[Kind, int] = {"accept": 1, "reject": 1, "merge": 2, "split": 1}
FEWEST_SEEDS = 2


@dataclass(frozen=True)
class Correction:
    """What a reader said of one or two instances, and why.

    Attributes
    ----------
    instance_ids
        One, or for `merge` two, as they are after the corrections before.
    seeds_nm
        For `split`: two or more places (z, y, x) inside, one in each part to be.
    reason
        Not empty.
    reader, when
        Pseudonym, and ISO 8601.
    """

    kind: Kind
    instance_ids: tuple[int, ...]
    reason: str
    reader: str
    when: str
    seeds_nm: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise BadInputError("a correction needs a reason; give --reason TEXT")
        wanted = IDS_NEEDED[self.kind]
        if len(set(self.instance_ids)) != wanted:
            raise BadInputError(
                f"{self.kind} needs {wanted} instance{'s' if wanted > 1 else ''}, found "
                f"{list(self.instance_ids)}"
            )
        if self.kind == "split" and len(self.seeds_nm) < FEWEST_SEEDS:
            raise BadInputError(
                f"split needs two or more places inside the instance, found {len(self.seeds_nm)}; "
                "give --at Z Y X for each part"
            )


@dataclass(frozen=True)
class Corrected:
    """Instances after all corrections.

    Attributes
    ----------
    ids
        uint16 (z, y, x); ids of untouched instances stay, parts of a split get new ones.
    accepted
        Ids that a reader confirmed.
    """

    ids: UInt16s
    organelles: tuple[Organelle, ...]
    accepted: frozenset[int]


def corrected(
    ids: UInt16s,
    organelles: Sequence[Organelle],
    corrections: Sequence[Correction],
    voxel_nm: float,
) -> Corrected:
    """Apply corrections in order.

    Raises
    ------
    BadInputError
        An instance that there is not (any more), two of different classes to be merged, or a seed
        outside of its instance.
    """
    changed = np.array(ids)
    known = {one.instance_id: one for one in organelles}
    accepted: set[int] = set()
    for one in corrections:
        for number in one.instance_ids:
            if number not in known:
                raise BadInputError(
                    f"{one.kind}: there is no instance {number}; the result has "
                    f"{sorted(known) or 'none'}"
                )
        first = known[one.instance_ids[0]]
        if one.kind == "accept":
            accepted.add(first.instance_id)
        elif one.kind == "reject":
            changed[changed == first.instance_id] = 0
            del known[first.instance_id]
            accepted.discard(first.instance_id)
        elif one.kind == "merge":
            second = known.pop(one.instance_ids[1])
            if second.organelle_class != first.organelle_class:
                raise BadInputError(
                    f"merge: instance {first.instance_id} is a {first.organelle_class}, "
                    f"{second.instance_id} a {second.organelle_class}"
                )
            changed[changed == second.instance_id] = first.instance_id
            known[first.instance_id] = _measured(changed, first, voxel_nm)
        else:
            numbers = _split(changed, first, np.array(one.seeds_nm) / voxel_nm, max(known) + 1)
            for number in numbers:
                part = replace(first, instance_id=number)
                known[number] = _measured(changed, part, voxel_nm)
    return Corrected(changed, tuple(known[number] for number in sorted(known)), frozenset(accepted))


def _split(ids: UInt16s, body: Organelle, seeds_vox: Float64s, next_id: int) -> list[int]:
    """Give every voxel of a body to its nearest seed; the first part keeps the id."""
    for seed in seeds_vox:
        index = tuple(np.rint(seed).astype(int))
        inside = all(0 <= i < n for i, n in zip(index, ids.shape, strict=True))
        if not inside or ids[index] != body.instance_id:
            place = " ".join(f"{value:.0f}" for value in index)
            raise BadInputError(
                f"split: the place at voxel (z y x) {place} is not inside instance "
                f"{body.instance_id}"
            )
    voxels = np.argwhere(ids == body.instance_id)
    apart = ((voxels[:, None] - seeds_vox[None]) ** 2).sum(axis=2)
    owner = apart.argmin(axis=1)
    numbers = [body.instance_id, *range(next_id, next_id + len(seeds_vox) - 1)]
    ids[tuple(voxels.T)] = np.array(numbers, dtype=ids.dtype)[owner]
    return numbers


def _measured(ids: UInt16s, body: Organelle, voxel_nm: float) -> Organelle:
    """Morphometry anew; what the membranes said of the body before no longer holds."""
    box = ndimage.find_objects((ids == body.instance_id).astype(np.uint8))[0]
    mask = ids[box] == body.instance_id
    shape = body_shape(mask, (voxel_nm,) * 3)
    low = [part.start for part in box]
    high = [part.stop for part in box]
    far = any(stop == n for stop, n in zip(high, ids.shape, strict=True))
    centre = (np.argwhere(mask).mean(axis=0) + low) * voxel_nm * 10.0
    z, y, x = (float(value) for value in centre)
    return replace(
        body,
        volume_um3=shape.volume_um3,
        surface_um2=shape.surface_um2,
        sphericity=shape.sphericity,
        centroid_angst=(z, y, x),
        touches_border=far or 0 in low,
        is_counted_unbiased=not far,
        length_nm=shape.length_nm,
        smallest_diameter_nm=shape.smallest_diameter_nm,
        n_branches=shape.n_branches,
        membrane_distance_nm=None,
        membrane_spacing_nm=None,
        crista_volume_ratio=None,
        n_crista_junctions=None,
        n_matrix_granules=None,
        matrix_granule_diameter_nm=None,
        state=None,
        state_probability=None,
    )
