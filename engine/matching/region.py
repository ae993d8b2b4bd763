"""Where a search may put centres, and templates brought to one box."""

import math
from dataclasses import replace

import numpy as np

from engine.data.template import Template
from engine.matching.correlation import Tile


def search_region(shape: tuple[int, int, int], margin_vox: float) -> Tile:
    """Voxels at least `margin_vox` from every face; never empty."""
    cut = [min(math.floor(margin_vox), (n - 1) // 2) for n in shape]
    z, y, x = shape
    return Tile((cut[0], cut[1], cut[2]), (z - cut[0], y - cut[1], x - cut[2]))


def needed_box_vox(template: Template) -> int:
    """Side of the smallest even box, centred on its centre voxel, that holds the turned mask."""
    places = np.argwhere(template.mask > 0) - template.box_vox // 2
    return 2 * int(np.linalg.norm(places, axis=1).max()) + 2


def fitted_to(template: Template, box_vox: int) -> Template:
    """The template in another box with the same centre; background 0 beyond its own.

    What is cut off must lie outside the mask.
    """
    shift = box_vox // 2 - template.box_vox // 2
    target = slice(max(0, shift), min(box_vox, shift + template.box_vox))
    source = slice(target.start - shift, target.stop - shift)
    boxes = []
    for values in (template.voxels, template.mask):
        box = np.zeros((box_vox,) * 3, dtype=np.float32)
        box[target, target, target] = values[source, source, source]
        boxes.append(box)
    return replace(template, voxels=boxes[0], mask=boxes[1])


def common_box(templates: tuple[Template, ...]) -> tuple[Template, ...]:
    """Templates in the smallest box that holds all their masks."""
    box = max(needed_box_vox(template) for template in templates)
    return tuple(fitted_to(template, box) for template in templates)


def halo_for(templates: tuple[Template, ...]) -> int:
    """Zeros around a volume so that boxes around all searched voxels and their neighbours fit."""
    return max(needed_box_vox(t) for t in templates) // 2 + 6
