"""Structures that no subtomogram shows, as the microscope of some class averages would show them.

Nothing need be known of that microscope: how strongly it passes each frequency, and whether protein
is bright, is in the averages.
"""

import torch
from torch import Tensor

from models.ball_functions import BallFunctions

# Of a class average, in the mean: with as much power strangers take known ones for themselves.
AMPLITUDE = 0.7


def as_averaged(functions: BallFunctions, averages: Tensor, densities: Tensor) -> Tensor:
    """Coefficients of other structures beside those of class averages.

    Parameters
    ----------
    averages
        float32 (classes, j), in units of the noise.
    densities
        float32 (n, z, y, x), in the boxes and at the sampling of the averages, protein bright, on
        any scale.

    Returns
    -------
    Tensor
        float32 (n, j): in the mean each shell has the power that it has of the classes, and every
        structure has the same in all.
    """
    plain = densities.flatten(1) @ functions.sampled().flatten(1).T
    plain = plain / plain.norm(dim=1, keepdim=True).clamp_min(1e-12)
    shells = functions.frequencies.round().long()
    passed = _power(averages, shells) / _power(plain, shells).clamp_min(1e-12)
    shown = plain * passed.sqrt()[shells]
    # What is the same in every direction: there all structures are alike, whatever they are.
    round_part = slice(0, functions.ends[1])
    likeness = averages[:, round_part].mean(dim=0) @ shown[:, round_part].mean(dim=0)
    size = AMPLITUDE * averages.norm(dim=1).mean()
    scale = size / shown.norm(dim=1, keepdim=True).clamp_min(1e-12)
    found: Tensor = shown * (scale if float(likeness) >= 0 else -scale)
    return found


def _power(coefficients: Tensor, shells: Tensor) -> Tensor:
    """Mean power of every shell."""
    each = coefficients.square().mean(dim=0)
    sums: Tensor = torch.zeros(int(shells.max()) + 1).index_add_(0, shells, each)
    return sums
