import numpy as np
import pytest

from app.wiring import COARSE_MODEL, ORDINARY_FILE
from engine.errors import ModelFileError
from engine.io.ordinary_file import read_ordinary, write_ordinary
from engine.segmentation.network_files import read_network_spec
from engine.segmentation.ordinary import ALLOWANCE, DESCRIPTORS, describe, fit_ordinary
from models.registry import model_folder

NAMES = ("background", "void", "mitochondrion", "alpha_granule", "dense_granule", "vesicle",
         "artefact")  # fmt: skip
SHAPE = (24, 40, 48)


def image(seed=0, wedge=True):
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfftn(rng.normal(size=SHAPE))
    z = np.abs(np.fft.fftfreq(SHAPE[0]))[:, None, None]
    x = np.abs(np.fft.rfftfreq(SHAPE[2]))[None, None, :]
    if wedge:
        spectrum = spectrum * (z <= np.tan(np.radians(60.0)) * x + 0.5 / SHAPE[0])
    volume = np.fft.irfftn(spectrum, s=SHAPE, axes=(0, 1, 2))
    return (volume / volume.std()).astype(np.float32)


def probabilities(certainty=0.9):
    volume = np.full((len(NAMES), *SHAPE), (1.0 - certainty) / (len(NAMES) - 1), np.float32)
    volume[0] = certainty
    return volume


def named(volume, chances):
    return dict(zip(DESCRIPTORS, describe(volume, chances, NAMES), strict=True))


def test_a_filled_wedge_and_an_unsure_network_change_their_numbers():
    usual = named(image(), probabilities())
    assert named(image(wedge=False), probabilities())["wedge"] > usual["wedge"] + 1.0
    unsure = named(image(), probabilities(0.3))
    assert unsure["certainty"] > usual["certainty"]
    assert unsure["entropy"] > usual["entropy"]
    assert all(np.isfinite(value) for value in usual.values())


def test_contrast_shows_in_skewness_and_bodies():
    chances = probabilities()
    chances[2, :, :20] = 0.9
    chances[0, :, :20] = 0.1
    volume = image()
    volume[:, :20] += 1.0
    right, wrong = named(volume, chances), named(-volume, chances)
    assert right["body_contrast"] > 0.5
    assert wrong["body_contrast"] == pytest.approx(-right["body_contrast"])
    assert wrong["skewness"] == pytest.approx(-right["skewness"])


def test_distances_of_ordinary_ones_are_below_the_limit_and_of_others_above():
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(12, 12))
    ordinary = fit_ordinary(rng.normal(size=(200, 12)) @ mix, "0" * 64)
    inside = [ordinary.distance(rng.normal(size=12) @ mix) for _ in range(300)]
    assert np.mean(np.array(inside) <= ordinary.limit) > 0.98
    far = ordinary.distance(12.0 * rng.normal(size=12) @ mix)
    assert far > ordinary.limit
    assert ALLOWANCE >= 1.0


def test_a_file_gives_back_what_was_written(tmp_path):
    rng = np.random.default_rng(2)
    ordinary = fit_ordinary(rng.normal(size=(60, 12)), "a" * 64)
    write_ordinary(ordinary, tmp_path / "o.json")
    again = read_ordinary(tmp_path / "o.json")
    point = rng.normal(size=12)
    assert again.distance(point) == pytest.approx(ordinary.distance(point), rel=1e-4)
    assert again.limit == pytest.approx(ordinary.limit, abs=1e-4)
    (tmp_path / "o.json").write_text("{}")
    with pytest.raises(ModelFileError, match="not readable"):
        read_ordinary(tmp_path / "o.json")


def test_the_shipped_file_was_made_with_the_shipped_coarse_network():
    spec = read_network_spec(model_folder(COARSE_MODEL))
    assert read_ordinary(ORDINARY_FILE).coarse_sha256 == spec.digest.sha256
