"""How well an orientation can be known: the Cramer-Rao bound of a matched template."""

import numpy as np
import torch
from scipy.ndimage import spline_filter
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s
from engine.data.template import Template
from engine.matching.filters import MatchFilter, grid_frequencies
from engine.matching.masked_template import rotate_volume, voxel_offsets_xyz
from engine.matching.transforms import forward

STEP_RAD = 0.02
N_DRAWS = 4000


def angle_bound_deg(
    template: Template, match_filter: MatchFilter, noise_deviation: float, *, n_orientations: int
) -> float:
    """Median angle of an unbiased, efficient estimate of a copy's orientation, degrees.

    The noise is white behind the binary wedge. The Fisher information of the three angles is the
    Gram matrix of the template's derivatives as the tomogram shows them, over the noise variance
    (Kay 1993, Fundamentals of Statistical Signal Processing, section 3.9); averaged over
    orientations, since the wedge sees some worse than others.

    Parameters
    ----------
    noise_deviation
        Of the white noise before the wedge, in the template's own grey values.
    """
    rng = np.random.default_rng(0)
    spline = spline_filter(template.voxels.astype(np.float64), order=3)
    offsets = voxel_offsets_xyz(template.box_vox)
    draws = []
    for rotation in Rotation.random(n_orientations, rng=rng):
        slopes = [_slope(spline, offsets, rotation, axis, match_filter) for axis in np.eye(3)]
        information = np.array([[float(a @ b) for b in slopes] for a in slopes])
        covariance = np.linalg.inv(information / noise_deviation**2)
        draws.append(rng.multivariate_normal(np.zeros(3), covariance, N_DRAWS))
    angles = np.linalg.norm(np.concatenate(draws), axis=1)
    return float(np.degrees(np.median(angles)))


def _slope(
    spline: Float64s,
    offsets: Float64s,
    rotation: Rotation,
    axis: Float64s,
    match_filter: MatchFilter,
) -> Float64s:
    """Derivative of the filtered template by a turn about one axis."""
    box = (spline.shape[0],) * 3
    ends = [
        rotate_volume(spline, Rotation.from_rotvec(sign * STEP_RAD * axis) * rotation, offsets)
        for sign in (1.0, -1.0)
    ]
    slope = ((ends[0] - ends[1]) / (2.0 * STEP_RAD)).reshape(box).astype(np.float32)
    spectrum = forward(torch.from_numpy(slope))
    weights = match_filter.template_weights(*grid_frequencies(box, torch.device("cpu")))
    filtered: Float64s = torch.fft.irfftn(spectrum * weights, s=box).double().numpy().ravel()
    return filtered
