"""Warp's XML and tomostar files, written with known numbers."""

import numpy as np
import pytest

from engine.io.tilt_files import read_tilt_series
from tests.engine.io.tilt_texts import XML, refuses

TOMOSTAR = """
data_

loop_
_wrpMovieName #1
_wrpAngleTilt #2
_wrpAxisAngle #3
_wrpDose #4
  001.mrc   0.01  85.3  0
  002.mrc   3.01  85.3  2.5
  003.mrc  -2.99  85.3  5
"""


def test_warp_xml_holds_angles_dose_grid_and_optics_of_the_tilts_in_use(write):
    made = read_tilt_series(write("a.xml", XML))
    assert made.tilts_deg.tolist() == [-3.0, 0.0, 3.0]
    assert made.exposure_e_per_angst2.tolist() == [6.0, 0.0, 3.0]
    assert np.allclose(made.defocus_um, [3.0, 3.5, 4.0], atol=1e-12)
    optics = made.voltage_kv, made.spherical_aberration_mm, made.amplitude_contrast
    assert optics == (200.0, 2.6, 0.07)


def test_warp_tilts_out_of_use_take_their_own_values_with_them(write):
    text = XML.replace("True\nTrue\nTrue\nFalse", "False\nTrue\nTrue\nTrue")
    made = read_tilt_series(write("a.xml", text))
    assert made.tilts_deg.tolist() == [0.0, 3.0, 6.0]
    assert made.exposure_e_per_angst2.tolist() == [0.0, 3.0, 9.0]
    assert np.allclose(made.defocus_um, [3.5, 4.0, 5.0], atol=1e-12)


def test_warp_xml_without_grid_takes_one_defocus_for_all(write):
    start, end = XML.index("  <GridCTF"), XML.index("</TiltSeries>")
    made = read_tilt_series(write("a.xml", XML[:start] + XML[end:]))
    assert made.defocus_um.tolist() == [3.3, 3.3, 3.3]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-3\n0\n3\n6<", "-3\n\n3\n6<", "<Angles> of tilt 2"),
        ("6\n0\n3\n9<", "6\n0\n3<", "tilt 4"),
        ("True\nFalse<", "True<", "UseTilt"),
        ("True\nTrue\nTrue", "False\nFalse\nFalse", "in use"),
        ("True\nTrue\nTrue", "True\nyes\nTrue", "<UseTilt> of tilt 2"),
        ('Z="2"', 'Z="3"', "no defocus for tilt 3"),
        ('"4.0"', '"40000"', "found 40000 µm"),
        ('"4.0"', '"4000"', "found 4000 µm"),
        ('"4.0"', '"4e-6"', "found 4e-06 µm"),
        ('"200"', '"200000"', "kV"),
        ("-3\n0\n3\n6<", "-3\n0\n0\n6<", "twice"),
        ("</TiltSeries>", "", "broken XML"),
        ("Angles", "Other", "<TiltSeries> without <Angles>"),
    ],
)
def test_unusable_warp_xml_is_refused(write, old, new, words):
    assert refuses(write("a.xml", XML.replace(old, new)), "a.xml", words)


def test_tomostar_holds_angles_and_dose(write):
    made = read_tilt_series(write("a.tomostar", TOMOSTAR))
    assert made.tilts_deg.tolist() == [-2.99, 0.01, 3.01]
    assert made.exposure_e_per_angst2.tolist() == [5.0, 0.0, 2.5]
    assert np.isnan(made.defocus_um).all()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("_wrpAngleTilt", "_wrpOther", "wrpAngleTilt, found 0"),
        ("3.01", "x", "wrpAngleTilt of tilt 2"),
        ("  2.5\n", "  nan\n", "wrpDose of tilt 2"),
        ("  2.5\n", "\n", "a.tomostar"),
        ("3.01", "0.01", "twice"),
        (TOMOSTAR, "some words\n", "a.tomostar"),
    ],
)
def test_unusable_tomostar_is_refused(write, old, new, words):
    assert refuses(write("a.tomostar", TOMOSTAR.replace(old, new)), words)
