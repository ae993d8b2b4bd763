"""What the value of a tilt series refuses."""

import math

import numpy as np
import pytest

from engine.data.tilt_series import TiltSeriesMetadata
from engine.errors import BadInputError


def series(tilts, exposure=None, defocus=None, **more):
    unknown = [math.nan] * len(tilts)
    return TiltSeriesMetadata(
        np.array(tilts), np.array(exposure or unknown), np.array(defocus or unknown), **more
    )


def test_arrays_are_read_only_copies():
    tilts = np.array([-1.0, 1.0])
    made = TiltSeriesMetadata(tilts, np.array([0.0, math.nan]), np.array([3.0, math.nan]))
    tilts[0] = 5.0
    assert made.tilts_deg.tolist() == [-1.0, 1.0]
    for values in (made.tilts_deg, made.exposure_e_per_angst2, made.defocus_um):
        assert values.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 2.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "at least 1"),
        (([0.0, 91.0],), "±90 degrees, found 91 at tilt 2"),
        (([math.nan],), "±90 degrees, found nan"),
        (([3.0, 0.0],), "ascending"),
        (([0.0, 5e-7],), "once"),
        (([0.0], [1.0, 2.0]), "one exposure_e_per_angst2 for each of 1 tilts"),
        (([0.0], [-1.0]), "found -1 at 0 degrees"),
        (([0.0], [math.inf]), "found inf"),
        (([0.0], None, [0.04]), "0.05 to 25 µm (underfocus positive), found 0.04 µm at 0"),
        (([0.0], None, [-3.0]), "found -3 µm"),
        (([0.0], None, [30000.0]), "found 30000 µm"),
    ],
)
def test_values_out_of_range_are_refused(arguments, words):
    with pytest.raises(BadInputError) as caught:
        series(*arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "optics",
    [{"voltage_kv": 300e3}, {"spherical_aberration_mm": 2.7e7}, {"amplitude_contrast": 8.0}],
)
def test_optics_in_another_unit_are_refused(optics):
    with pytest.raises(BadInputError, match="check the unit"):
        series([0.0], **optics)


def test_closest_allowed_angles_and_limits_pass():
    assert len(series([-90.0, 0.0, 2e-6, 90.0], None, [0.05, 25.0, 1.0, 1.0]).tilts_deg) == 4
