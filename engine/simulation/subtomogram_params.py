"""How simulated subtomograms are made."""

from dataclasses import dataclass, field
from typing import Literal

from engine.data.tomogram import TiltRange

Microscopy = Literal["convolution", "tilt_series"]


@dataclass(frozen=True)
class SubtomogramParams:
    """How subtomograms are made.

    Attributes
    ----------
    snr
        Variance of the particle's signal after CTF and missing wedge over that of the noise, in
        its box; infinite for no noise.
    shift_vox
        A particle lies this far from the box centre at most, on every axis.
    n_neighbours
        Fewest and most structures that touch it.
    tilt_step_deg, dose_e_per_angst2, defocus_sd_um
        Of a tilt series alone; the defocus varies from tilt to tilt.
    """

    box_vox: int
    voxel_size_angst: float
    snr: float
    microscopy: Microscopy = "convolution"
    tilt_range: TiltRange = field(default_factory=lambda: TiltRange(-60.0, 60.0))
    defocus_um: float = 5.0
    shift_vox: float = 1.0
    n_neighbours: tuple[int, int] = (0, 0)
    tilt_step_deg: float = 3.0
    dose_e_per_angst2: float = 100.0
    defocus_sd_um: float = 0.1
