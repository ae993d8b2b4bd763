"""What is known of each tilt of a series."""

from dataclasses import dataclass

from engine.data.arrays import Float64s


@dataclass(frozen=True)
class TiltSeriesMetadata:
    """Per-tilt angles, exposure and defocus."""

    tilts_deg: Float64s
    exposure_e_per_angst2: Float64s
    defocus_um: Float64s
    voltage_kv: float | None = None
    spherical_aberration_mm: float | None = None
    amplitude_contrast: float | None = None
    source: str = ""
