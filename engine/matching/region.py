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


def padded_to(template: Template, box_vox: int) -> Template:
    """The template in a larger box, centred by the same rule, background 0 beyond."""
    before = box_vox // 2 - template.box_vox // 2
    width = (before, box_vox - template.box_vox - before)
    if width == (0, 0):
        return template
    return replace(
        template, voxels=np.pad(template.voxels, width), mask=np.pad(template.mask, width)
    )


def halo_for(templates: tuple[Template, ...]) -> int:
    """Zeros around a volume so that boxes around all searched voxels and their neighbours fit."""
    return max(t.box_vox for t in templates) // 2 + 6
