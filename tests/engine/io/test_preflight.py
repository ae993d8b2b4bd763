import pytest

from engine.data.tomogram import TiltRange
from engine.io.preflight import inspect_tomogram
from tests.faulty_files import (
    FAULT_NAMES,
    FAULTS,
    SHAPE,
    image_stack,
    not_a_number,
    specimen,
    write_mrc,
)
from tests.real_data import real_data


def codes(preflight):
    return [finding.code for finding in preflight.findings]


@pytest.mark.parametrize(("make", "code", "words"), FAULTS, ids=FAULT_NAMES)
def test_every_unfit_file_gives_a_finding_instead_of_an_exception(tmp_path, make, code, words):
    preflight = inspect_tomogram(make(tmp_path))
    assert not preflight.ok
    assert preflight.findings[0].level == "error"
    assert code in codes(preflight)
    assert any(words in finding.message for finding in preflight.faults)


def test_all_faults_are_found_and_not_only_the_first(tmp_path):
    path = not_a_number(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[40:52] = bytes(12)
    raw[88:92] = bytes(4)
    path.write_bytes(raw)
    found = codes(inspect_tomogram(path))
    assert {"voxel_size_missing", "image_stack", "not_finite"} <= set(found)


def test_a_sound_file_is_fit_and_described(tmp_path):
    path = write_mrc(tmp_path / "cell.mrc", specimen((40, 60, 80)), voxel_size=13.3)
    preflight = inspect_tomogram(path, tilt_range=TiltRange(-60, 54))
    assert preflight.ok
    assert preflight.shape == (40, 60, 80)
    assert preflight.voxel_size_angst == 13.3
    assert preflight.contrast == "bright"
    assert preflight.tilt_range == TiltRange(-60, 54)
    assert preflight.memory_gb > 0
    assert preflight.time_s > 0
    assert codes(preflight) == ["contrast_estimated"]


def test_an_unknown_tilt_range_is_said_to_be_unknown(tmp_path):
    preflight = inspect_tomogram(write_mrc(tmp_path / "cell.mrc", specimen()))
    assert preflight.tilt_range is None
    assert "tilt_range_unknown" in codes(preflight)


def test_a_given_voxel_size_and_contrast_settle_the_doubts(tmp_path):
    preflight = inspect_tomogram(image_stack(tmp_path), voxel_size_angst=30.0, contrast="dark")
    assert preflight.ok
    assert preflight.voxel_size_angst == 30.0
    assert preflight.contrast == "dark"
    assert preflight.shape == SHAPE


def test_a_volume_thinner_than_an_organelle_is_remarked(tmp_path):
    path = write_mrc(tmp_path / "thin.mrc", specimen(), voxel_size=10.0)
    assert "thin" in codes(inspect_tomogram(path))


def test_the_estimate_of_a_large_tomogram_grows_with_its_size(tmp_path):
    small = inspect_tomogram(write_mrc(tmp_path / "s.mrc", specimen()))
    large = inspect_tomogram(write_mrc(tmp_path / "l.mrc", specimen((100, 200, 200))))
    assert large.memory_gb >= small.memory_gb
    assert large.time_s > small.time_s


def test_the_real_microtubule_tomogram_is_fit():
    preflight = inspect_tomogram(real_data("microtubule/mt_13pf.mrc"))
    assert preflight.ok
    assert preflight.contrast == "bright"
    assert "contrast_estimated" in codes(preflight)
    # Nominal series are symmetric; the specimen was tilted by some degrees when it was rebuilt.
    assert preflight.tilt_range is not None
    assert preflight.tilt_range.max_deg - preflight.tilt_range.min_deg == pytest.approx(120, abs=6)
    assert "tilt_range_estimated" in codes(preflight)
