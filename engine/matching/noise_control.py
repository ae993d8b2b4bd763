"""p-values where nothing is: one for each of many separate blocks of a volume."""

import numpy as np
import torch

from engine.data.arrays import Float64s
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.matching.filters import MatchFilter
from engine.matching.match import prepare
from engine.matching.params import MatchParams
from engine.matching.significance import block_maxima, monte_carlo_p_value, null_table


def block_p_values(
    tomogram: Tomogram, template: Template, match_filter: MatchFilter, params: MatchParams
) -> Float64s:
    """p-value of the best score in each of many blocks that share no voxel of a template.

    In noise they are uniform: the template and every null take their own maximum over the same
    places and rotations.

    Returns
    -------
    Float64s
        (n_blocks,).
    """
    rng = np.random.default_rng(params.seed)
    setup = prepare(tomogram, (template,), match_filter, params, rng, torch.device("cpu"))
    nulls = null_table(
        setup.table, 0, setup.basis.mask_numbers[0],
        n_nulls=params.n_nulls, n_rotations=params.null_rotations, rng=rng,
    )  # fmt: skip
    radius = setup.basis.templates[0].support_radius_vox
    side = max(4, round(params.block_share * radius))
    stride = side + int(np.ceil(2.0 * radius))
    axes = [
        np.arange(low, max(low + 1, high - side), stride)
        for low, high in zip(setup.region.start, setup.region.stop, strict=True)
    ]
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values = []
    for start in starts:
        maxima = block_maxima(setup.volume, setup.basis, nulls, start, side)
        values.append(monte_carlo_p_value(float(maxima.own.max()), maxima.nulls))
    return np.array(values)
