"""An internal control: where organelles end there is a membrane, and the fine network must see it.

The coarse network finds organelles by their inside, the fine one their membranes by a few voxels.
Where it does not see those, noise hides microtubules from it as well, and nothing else would tell.
"""

import numpy as np
from scipy import ndimage

from engine.data.arrays import UInt16s
from engine.segmentation.bit_volume import BitVolume

# An outline is this near to its membrane: both networks' errors and half a bilayer.
WITHIN_NM = 12.0
EVERY_SECTION = 3
# Fewer voxels of outline than these say nothing.
LEAST_VOXELS = 500
NEIGHBOURS = ndimage.generate_binary_structure(2, 1)


def outline_share(ids: UInt16s, membrane: BitVolume | None, voxel_nm: float) -> float | None:
    """Share of the organelles' outlines in the sections where a membrane was seen.

    Outlines within sections alone: a membrane that lies flat is not measured by a tilt series.

    Parameters
    ----------
    ids
        (z, y, x), 0 = no organelle.
    membrane
        Of the same shape; None where no network looks for it.

    Returns
    -------
    float or None
        None where there is too little outline or no membrane.
    """
    if membrane is None:
        return None
    reach = max(1, round(WITHIN_NM / voxel_nm))
    seen = total = 0
    for z in range(0, len(ids), EVERY_SECTION):
        outline = _outline(ids[z])
        if not outline.any():
            continue
        near = ndimage.maximum_filter(membrane.section(z), size=2 * reach + 1)
        seen += int((outline & near).sum())
        total += int(outline.sum())
    return seen / total if total >= LEAST_VOXELS else None


def _outline(section: np.ndarray) -> np.ndarray:
    """Voxels (y, x) of organelles beside what is not theirs; the field's border is no outline."""
    highest = ndimage.maximum_filter(section, footprint=NEIGHBOURS, mode="nearest")
    lowest = ndimage.minimum_filter(section, footprint=NEIGHBOURS, mode="nearest")
    return np.asarray((section > 0) & (highest != lowest))
