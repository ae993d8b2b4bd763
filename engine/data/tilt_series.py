"""What is known of each tilt of a series."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from engine.data.arrays import Float64s
from engine.errors import BadInputError

# Closer angles are the same tilt listed twice; files carry two to six decimals.
SAME_ANGLE_DEG = 1e-6
# Cryo-electron microscopy works between about 0.2 and 15 µm; a wider margin still catches a value
# in m, in Å, or in nm.
DEFOCUS_LIMITS_UM = (0.05, 25.0)


@dataclass(frozen=True)
class TiltSeriesMetadata:
    """Per-tilt angles, exposure and defocus; valid once built, arrays read-only.

    Attributes
    ----------
    tilts_deg
        (n,), n >= 1, ascending, no two equal, within -90..90.
    exposure_e_per_angst2
        (n,), accumulated before each tilt, >= 0; NaN where unknown.
    defocus_um
        (n,), underfocus positive, mean of the two astigmatic values; NaN where unknown.
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        None where unknown.
    source
        Where the numbers come from, for messages and records.

    Raises
    ------
    BadInputError
        A value is out of its range, or the arrays do not belong together.
    """

    tilts_deg: Float64s
    exposure_e_per_angst2: Float64s
    defocus_um: Float64s
    voltage_kv: float | None = None
    spherical_aberration_mm: float | None = None
    amplitude_contrast: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("tilts_deg", "exposure_e_per_angst2", "defocus_um"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        self._check_angles()
        self._check_exposure()
        self._check_defocus()
        self._check_optics()

    @classmethod
    def in_any_order(
        cls,
        tilts_deg: Float64s,
        exposure_e_per_angst2: Float64s,
        defocus_um: Float64s,
        *,
        voltage_kv: float | None = None,
        spherical_aberration_mm: float | None = None,
        amplitude_contrast: float | None = None,
        source: str = "",
    ) -> Self:
        """Build from tilts in the order of a file: sorted by angle here.

        Raises
        ------
        BadInputError
            As the constructor.
        """
        order = np.argsort(tilts_deg, kind="stable")
        # Of unequal lengths, which the constructor names, none can be sorted.
        if tilts_deg.shape == exposure_e_per_angst2.shape == defocus_um.shape:
            tilts_deg = tilts_deg[order]
            exposure_e_per_angst2 = exposure_e_per_angst2[order]
            defocus_um = defocus_um[order]
        return cls(
            tilts_deg,
            exposure_e_per_angst2,
            defocus_um,
            voltage_kv,
            spherical_aberration_mm,
            amplitude_contrast,
            source,
        )

    def _fail(self, message: str) -> BadInputError:
        prefix = f"{self.source}: " if self.source else ""
        return BadInputError(prefix + message, source=self.source)

    def _check_angles(self) -> None:
        angles = self.tilts_deg
        if angles.ndim != 1 or len(angles) == 0:
            raise self._fail(
                f"expected a list of at least 1 tilt angle, found shape {angles.shape}"
            )
        for name in ("exposure_e_per_angst2", "defocus_um"):
            shape = getattr(self, name).shape
            if shape != angles.shape:
                raise self._fail(
                    f"expected one {name} for each of {len(angles)} tilts, found shape {shape}"
                )
        wrong = ~(np.abs(angles) <= 90.0)
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise self._fail(
                f"expected tilt angles within ±90 degrees, found {angles[index]:g} at tilt "
                f"{index + 1} of {len(angles)}; check the unit"
            )
        steps = np.diff(angles)
        if (steps < -SAME_ANGLE_DEG).any():
            raise self._fail("expected tilt angles in ascending order; sort the tilts by angle")
        twice = np.flatnonzero(steps <= SAME_ANGLE_DEG)
        if len(twice):
            raise self._fail(
                f"expected each tilt angle once, found {angles[twice[0]]:g} degrees twice; "
                "leave the repeated tilt out"
            )

    def _check_exposure(self) -> None:
        exposure = self.exposure_e_per_angst2
        wrong = ~np.isnan(exposure) & ~(np.isfinite(exposure) & (exposure >= 0.0))
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise self._fail(
                f"expected exposures of at least 0 e/Å², found {exposure[index]:g} at "
                f"{self.tilts_deg[index]:g} degrees"
            )

    def _check_defocus(self) -> None:
        defocus, (low, high) = self.defocus_um, DEFOCUS_LIMITS_UM
        wrong = ~np.isnan(defocus) & ~((defocus >= low) & (defocus <= high))
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise self._fail(
                f"expected a defocus of {low:g} to {high:g} µm (underfocus positive), found "
                f"{defocus[index]:g} µm at {self.tilts_deg[index]:g} degrees; check the unit and "
                "the sign"
            )

    def _check_optics(self) -> None:
        for name, value, low, high, unit in (
            ("acceleration voltage", self.voltage_kv, 20.0, 2000.0, "kV"),
            ("spherical aberration", self.spherical_aberration_mm, 0.0, 20.0, "mm"),
            ("amplitude contrast", self.amplitude_contrast, 0.0, 1.0, "(a fraction)"),
        ):
            if value is not None and not low <= value <= high:
                raise self._fail(
                    f"expected an {name} of {low:g} to {high:g} {unit}, found {value:g}; "
                    "check the unit"
                )
