"""Tilt files written with known numbers, and real ones, read back."""

import math

import numpy as np
import pytest

from engine.errors import MissingFileError
from engine.io.tilt_files import read_tilt_series
from tests.engine.io.tilt_texts import XML, refuses
from tests.real_data import real_data

ALN = """# AreTomo Alignment / Priims bprmMn
# RawSize = 100 100 5
# NumPatches = 0
# DarkFrame =     1    0   -60.00
# DarkFrame =     5    4    60.00
# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT
    1   -12.6   1.0   24.7   -2.6   1.00  1.00  1.00  0.00    -30.00
    2   -12.6   1.0   34.4   -8.5   1.00  1.00  1.00  0.00      0.50
    3   -12.6   1.0    9.9   -7.6   1.00  1.00  1.00  0.00     30.00
# Local Alignment
   0   0  -558.42   -802.00   -100.07     24.43   1.0
"""
THREE_TILTS = "-3.0\n0.0\n3.0\n"


def section(z, angle, dose=3.0, target=-4.0, when=None, **more):
    entries = {"TiltAngle": angle, "ExposureDose": dose, "TargetDefocus": target, "DateTime": when}
    lines = [f"{key} = {value}" for key, value in {**entries, **more}.items() if value is not None]
    return "\n".join([f"[ZValue = {z}]", *lines, "", ""])


def mdoc(*sections):
    return (
        "PixelSpacing = 5.4\nVoltage = 300\nImageFile = TS_01.mrc\n\n"
        "[T =     Tilt axis angle = 85.3, binning = 4  spot = 8  camera = 2]\n\n"
        + "".join(sections)
    )


# Plain angles


@pytest.mark.parametrize("name", ["a.tlt", "a.rawtlt", "A.TLT"])
def test_plain_angles_come_sorted_with_the_rest_unknown(write, name):
    made = read_tilt_series(write(name, " 3.0\r\n-60.01\r\n   0.5\r\n\r\n"))
    assert made.tilts_deg.tolist() == [-60.01, 0.5, 3.0]
    assert np.isnan(made.exposure_e_per_angst2).all()
    assert np.isnan(made.defocus_um).all()
    assert made.voltage_kv is None
    assert made.source == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.0\n\n3.0\n", "line 2"),
        ("1.0\nx\n", "line 2, found 'x'"),
        ("1.0 0.5\n", "line 1"),
        ("nan\n", "line 1"),
        ("1,5\n", "line 1"),
        ("1.0\n2.0\n1.0\n", "1 degrees twice"),
        ("6000\n", "±90"),
        ("", "empty"),
        (" \n\n", "empty"),
        (b"\x00\x01MRC", "binary"),
        (b"\x89PNG\r\n\x1a\n\xff", "binary"),
    ],
)
def test_unusable_plain_files_are_refused_in_one_line(write, text, words):
    assert refuses(write("a.tlt", text), "a.tlt", words)


def test_unknown_suffix_missing_file_and_folder(write, tmp_path):
    assert refuses(write("a.txt", "1.0\n"), ".tlt", "'.txt'")
    assert refuses(write("a.defocus", "1.0\n"), "goes with")
    assert refuses(tmp_path / "no.tlt", "no.tlt", error=MissingFileError)
    (tmp_path / "d.tlt").mkdir()
    assert refuses(tmp_path / "d.tlt", error=MissingFileError)
    assert refuses(
        write("a.tlt", "1\n"), error=MissingFileError, defocus_file=tmp_path / "no.defocus"
    )


@pytest.mark.parametrize(
    ("acquisition", "expected"),
    [
        ("dose_symmetric", [12.0, 6.0, 0.0, 3.0, 9.0]),
        ("ascending", [0.0, 3.0, 6.0, 9.0, 12.0]),
        ("descending", [12.0, 9.0, 6.0, 3.0, 0.0]),
    ],
)
def test_an_exposure_per_tilt_adds_up_in_the_order_given(write, acquisition, expected):
    path = write("a.rawtlt", "-6.01\n-3.01\n-0.01\n2.99\n5.99\n")
    made = read_tilt_series(path, exposure_per_tilt_e_per_angst2=3.0, acquisition=acquisition)
    assert made.exposure_e_per_angst2.tolist() == expected


def test_an_exposure_per_tilt_without_an_order_or_beside_others_is_refused(write):
    assert refuses(write("a.tlt", THREE_TILTS), "order", exposure_per_tilt_e_per_angst2=3.0)
    assert refuses(write("a.xml", XML), "beside", exposure_per_tilt_e_per_angst2=3.0)
    for value in (0.0, -1.0, math.nan):
        assert refuses(
            write("a.tlt", THREE_TILTS),
            "above 0",
            exposure_per_tilt_e_per_angst2=value,
            acquisition="ascending",
        )


# SerialEM


def test_mdoc_exposure_adds_up_in_the_order_of_the_clock(write):
    text = mdoc(
        section(0, -3.0, 2.0, when="30-Nov-2015  15:23:00"),
        section(1, 0.0, 3.0, when="30-Nov-2015  15:21:00"),
        section(2, 3.0, 4.0, when="01-Dec-2015  00:00:01"),
    )
    made = read_tilt_series(write("a.mdoc", text))
    assert made.tilts_deg.tolist() == [-3.0, 0.0, 3.0]
    assert made.exposure_e_per_angst2.tolist() == [3.0, 0.0, 5.0]
    assert made.defocus_um.tolist() == [4.0, 4.0, 4.0]
    assert made.voltage_kv == 300.0


def test_mdoc_without_clock_adds_up_by_z_value_and_sorts_by_angle(write):
    text = mdoc(section(0, 0.0, 1.0, -3.0), section(1, 3.0, 2.0, -3.5), section(2, -3.0, 4.0, -4.0))
    made = read_tilt_series(write("a.mrc.mdoc", text))
    assert made.tilts_deg.tolist() == [-3.0, 0.0, 3.0]
    assert made.exposure_e_per_angst2.tolist() == [3.0, 0.0, 1.0]
    assert made.defocus_um.tolist() == [4.0, 3.0, 3.5]


def test_mdoc_prior_dose_counts_images_that_were_removed(write):
    text = mdoc(section(0, 0.0, PriorRecordDose=3.0), section(1, 3.0, PriorRecordDose=9.0))
    made = read_tilt_series(write("a.mdoc", text))
    assert made.exposure_e_per_angst2.tolist() == [3.0, 9.0]


def test_mdoc_without_calibrated_dose_takes_the_exposure_given(write):
    path = write("a.mdoc", mdoc(section(0, 0.0, 0), section(1, 3.0, 0), section(2, -3.0, 0)))
    assert np.isnan(read_tilt_series(path).exposure_e_per_angst2).all()
    made = read_tilt_series(path, exposure_per_tilt_e_per_angst2=2.5)
    assert made.exposure_e_per_angst2.tolist() == [5.0, 0.0, 2.5]


@pytest.mark.parametrize(
    ("readings", "expected"), [((-3.0, -3.2), [3.0, 3.2]), ((2.6, -3.2), [math.nan] * 2)]
)
def test_mdoc_lens_reading_counts_only_where_it_can_be_underfocus(write, readings, expected):
    text = mdoc(*(section(z, z, target=None, Defocus=value) for z, value in enumerate(readings)))
    made = read_tilt_series(write("a.mdoc", text))
    assert np.array_equal(made.defocus_um, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (mdoc(section(0, 0.0), section(1, None)), "TiltAngle of ZValue 1"),
        (mdoc(section(0, None)), "TiltAngle"),
        (mdoc(section(0, 0.0), section(1, 0.0)), "twice"),
        (mdoc(section(0, 0.0), section(1, 3.0, target=None)), "TargetDefocus of ZValue 1"),
        (mdoc(section(0, 0.0), section(1, 3.0, None)), "ExposureDose of ZValue 1"),
        (mdoc(section(0, 0.0), section(7, 3.0, 0)), "ZValue 7"),
        (mdoc(section(0, 0.0, target=4.0)), "found -4 µm"),
        (mdoc(section(0, 0.0, target=-4e4)), "found 40000 µm"),
        (mdoc(section(0, 0.0, target=-4e-6)), "found 4e-06 µm"),
        (mdoc(section(0, 0.0, when="yesterday")), "DateTime of ZValue 0"),
        (mdoc(), "ZValue"),
    ],
)
def test_unusable_mdoc_is_refused(write, text, words):
    assert refuses(write("a.mdoc", text), "a.mdoc", words)


# AreTomo


def test_aln_holds_the_tilts_without_dark_frames(write):
    made = read_tilt_series(write("a.aln", ALN))
    assert made.tilts_deg.tolist() == [-30.0, 0.5, 30.0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("     30.00\n#", "\n#", "TILT of row 3"),
        ("100 5\n", "100 7\n", "row 4"),
        ("SEC", "ROW", "TILT column"),
        ("-30.00", "30.00", "twice"),
    ],
)
def test_unusable_aln_is_refused(write, old, new, words):
    assert refuses(write("a.aln", ALN.replace(old, new)), words)


# IMOD defocus


def test_defocus_version_2_is_nm_matched_by_angle(write):
    text = "2 2 0.04 0.04 3500 2\n1 1 -3.1 -3.1 3400\n3 3 2.95 2.95 3600\n4 4 6 6 9000\n"
    made = read_tilt_series(write("a.tlt", THREE_TILTS), defocus_file=write("a.defocus", text))
    assert np.allclose(made.defocus_um, [3.4, 3.5, 3.6], atol=1e-12)
    assert made.source == "a.tlt, a.defocus"


def test_defocus_version_3_averages_the_astigmatic_pair(write):
    text = (
        "1 0 0. 0. 0. 3\n1 1 -3 -3 3400 3200 12.5\n2 2 0 0 3500 3500 0\n3 3 3 3 3600 3900 -80.1\n"
    )
    made = read_tilt_series(write("a.tlt", THREE_TILTS), defocus_file=write("a.defocus", text))
    assert np.allclose(made.defocus_um, [3.3, 3.5, 3.75], atol=1e-12)


def test_defocus_version_3_without_astigmatism_with_inverted_angles(write):
    text = "16 0 0. 0. 0. 3\n1 1 3 3 3400\n2 2 0 0 3500\n3 3 -3 -3 3600\n"
    made = read_tilt_series(write("a.tlt", THREE_TILTS), defocus_file=write("a.defocus", text))
    assert np.allclose(made.defocus_um, [3.4, 3.5, 3.6], atol=1e-12)


def test_defocus_of_ranges_of_views_goes_to_the_nearest_centre(write):
    text = "1 2 -3 0 3000 2\n2 3 0 3 4000\n"
    made = read_tilt_series(write("a.tlt", THREE_TILTS), defocus_file=write("a.defocus", text))
    assert np.allclose(made.defocus_um, [3.0, 3.5, 4.0], atol=1e-12)


def test_defocus_file_replaces_the_target_of_the_microscope(write):
    path = write("a.mdoc", mdoc(section(0, 0.0), section(1, 3.0)))
    made = read_tilt_series(path, defocus_file=write("a.defocus", "1 1 0 0 2500 2\n2 2 3 3 2600\n"))
    assert np.allclose(made.defocus_um, [2.5, 2.6])
    assert made.exposure_e_per_angst2.tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 1 -3 -3 3400 2\n3 3 3 3 3600\n", "tilt at 0 degrees, found none"),
        ("1 1 -3.2 -3.2 3400 2\n2 2 0 0 3500\n3 3 3 3 3600\n", "tilt at -3 degrees, found none"),
        ("1 1 -3 -3 1 2\n1 1 0 0 1\n1 1 3 3 1\n1 1 3 3 2\n", "tilt at 3 degrees, found two"),
        ("1 1 -3 -3 3400\n", "version 2 or 3, found 1"),
        ("1 0 0. 0. 0. 3\n1 1 -3 -3 3400\n", "7 columns"),
        ("4 0 0. 0. 0. 3\n1 1 -3 -3 3400 90\n", "phase shift"),
        ("1 0 0. 0. 0. 3\n", "tilt at -3 degrees, found none"),
        ("1 1 -3 -3 x 2\n", "found 'x'"),
        ("1 1 -9 9 34000 2\n", "found 34 µm"),
        ("1 1 -9 9 3.4 2\n", "found 0.0034 µm"),
        ("1 1 -9 9 3.4e-6 2\n", "found 3.4e-09 µm"),
        ("1 1 -9 9 -3400 2\n", "found -3.4 µm"),
        ("", "empty"),
    ],
)
def test_unusable_defocus_files_are_refused(write, text, words):
    assert refuses(write("a.tlt", THREE_TILTS), words, defocus_file=write("b.defocus", text))


def test_a_defocus_file_has_its_suffix(write):
    assert refuses(
        write("a.tlt", "0\n"), ".defocus", defocus_file=write("b.txt", "1 1 0 0 3000 2\n")
    )


# Real files


@pytest.mark.parametrize(
    ("name", "n_tilts", "first_deg", "last_deg"),
    [
        ("etomo_TS_001/TS_001.tlt", 40, -57.12, 59.84),
        ("etomo_TS_001/TS_001.rawtlt", 40, -60.0, 56.99),
        ("imod_1/tilt_1.tlt", 59, -52.24, 63.76),
    ],
)
def test_real_imod_angles(name, n_tilts, first_deg, last_deg):
    made = read_tilt_series(real_data(f"metadata/{name}"))
    assert len(made.tilts_deg) == n_tilts
    assert (made.tilts_deg[0], made.tilts_deg[-1]) == (first_deg, last_deg)


def test_real_mdoc_is_dose_symmetric_at_minus_4_with_no_calibrated_dose():
    path = real_data("metadata/tilt_series.mdoc")
    made = read_tilt_series(path)
    assert len(made.tilts_deg) == 41
    assert np.allclose(made.tilts_deg, np.arange(-60, 61, 3), atol=0.02)
    assert (made.defocus_um == 4.0).all()
    assert np.isnan(made.exposure_e_per_angst2).all()
    dosed = read_tilt_series(path, exposure_per_tilt_e_per_angst2=3.0)
    exposure = dict(zip(np.rint(made.tilts_deg), dosed.exposure_e_per_angst2, strict=True))
    assert [exposure[angle] for angle in (0, 3, -3, -6, 6)] == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert sorted(exposure.values()) == [3.0 * order for order in range(41)]


def test_real_aln_cut_short_is_refused_and_read_once_its_header_agrees(write):
    path = real_data("metadata/aretomo_test.aln")
    assert refuses(path, "expected 86 tilts (90 sections, 4 dark), found 4")
    whole = path.read_text().replace("2032 2032 90", "2032 2032 8")
    made = read_tilt_series(write("whole.aln", whole))
    assert made.tilts_deg.tolist() == [-61.5, -60.0, -58.5, -57.0]


@pytest.mark.parametrize("name", ["imod_1/tilt_1.xf", "etomo_TS_001/TS_001.edf", "imod_1/tilt.com"])
def test_real_files_of_other_kinds_are_refused(write, name):
    path = real_data(f"metadata/{name}")
    assert refuses(path, "expected a tilt file")
    assert refuses(write("renamed.tlt", path.read_bytes()), "line 1")


@pytest.mark.parametrize("name", ["etomo_TS_001/TS_001.st", "two_contour_example.mod"])
def test_real_binary_files_under_a_tilt_name_are_refused(write, name):
    assert refuses(write("renamed.tlt", real_data(f"metadata/{name}").read_bytes()), "binary")


@pytest.mark.parametrize("name", ["imod_1/tilt_1.xtilt", "etomo_TS_001/TS_001.xtilt"])
def test_real_x_axis_tilts_under_a_tilt_name_are_refused(write, name):
    assert refuses(write("renamed.tlt", real_data(f"metadata/{name}").read_bytes()), "twice")
