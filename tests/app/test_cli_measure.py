"""`tomodx measure`: masks of other programs, measured, or refused in one line."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from app.cli import run
from engine.io.mrc import write_volume
from tests.app.test_cli_bad_input import error_line
from tests.real_data import real_data

SIDES = ["--voxel-size-nm", "20", "10", "10"]


def two_boxes():
    """Boxes of 10 x 20 x 30 and 8 x 10 x 10 voxels; a part in the first, the second cut."""
    ids = np.zeros((24, 40, 60), dtype=np.uint8)
    ids[4:14, 5:25, 5:35] = 1
    ids[4:14, 5:25, 5:11] = 2
    ids[16:24, 5:15, 45:55] = 1
    return ids


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, two_boxes())
    return path


def test_bodies_are_counted_and_measured(stack, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--json", "measure", str(stack), *SIDES, "--part", "2", "--out", str(out)]
    assert run(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["n_bodies"] == 2
    assert printed["n_touching_border"] == 1
    table = pd.read_csv(out / "bodies.csv")
    # Voxels of 2,000 nm3.
    assert table["volume_um3"].tolist() == pytest.approx([6000 * 2e-6, 800 * 2e-6], rel=1e-5)
    assert table["touches_border"].tolist() == [False, True]
    assert table["part_share"].tolist() == pytest.approx([0.2, 0.0])
    assert table.loc[0, ["z_nm", "y_nm", "x_nm"]].tolist() == pytest.approx([170, 145, 195])
    with Image.open(out / "bodies.png") as picture:
        assert 400 < picture.width <= 1200


def test_ids_are_bodies_where_that_is_said(stack, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["--json", "measure", str(stack), *SIDES, "--instances", "--out", str(out)]) == 0
    capsys.readouterr()
    table = pd.read_csv(out / "bodies.csv")
    assert table["body_id"].tolist() == [1, 2]
    assert table["volume_um3"].tolist() == pytest.approx([(6000 - 1200 + 800) * 2e-6, 1200 * 2e-6])


def test_small_bodies_are_left_out_and_counted(stack, tmp_path, capsys):
    words = ["measure", str(stack), *SIDES, "--smallest-um3", "0.005", "--out"]
    assert run(["--json", *words, str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["n_bodies"], printed["n_left_out"]) == (1, 1)


def test_an_mrc_mask_brings_its_voxel_size(tmp_path, capsys):
    write_volume(tmp_path / "mask.mrc", two_boxes(), 100.0)
    words = ["measure", str(tmp_path / "mask.mrc"), "--out", str(tmp_path / "out")]
    assert run(["--json", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["volume_um3"] == pytest.approx(6800 * 1e-6)


def test_published_surfaces_are_found(tmp_path, capsys):
    path = real_data("mitochondria/sbfsem_hsv/12hpi_mitochondria.tif")
    words = ["measure", str(path), "--voxel-size-nm", "30", "8", "8", "--outer-surface"]
    assert run(["--json", "--quiet", *words, "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["n_bodies"] == 39
    assert printed["surface_um2"] == pytest.approx(81.3039, rel=1e-4)
    assert printed["volume_um3"] == pytest.approx(2.8897, abs=1e-4)


def zeros(path):
    tifffile.imwrite(path, np.zeros((4, 8, 8), dtype=np.uint8), photometric="minisblack")


def flat_image(path):
    tifffile.imwrite(path, np.ones((8, 8), dtype=np.uint8))


def halves(path):
    tifffile.imwrite(path, np.full((4, 8, 8), 0.5, dtype=np.float32), photometric="minisblack")


def no_tiff(path):
    path.write_text("not a picture")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (zeros, "zeros alone"), (flat_image, "2 dimensions"), (halves, "whole numbers"),
        (no_tiff, "cannot be read"),
    ],
)  # fmt: skip
def test_bad_masks_are_refused_in_one_line(tmp_path, capsys, make, words):
    make(tmp_path / "mask.tif")
    out = tmp_path / "out"
    assert run(["measure", str(tmp_path / "mask.tif"), *SIDES, "--out", str(out)]) == 2
    assert words in error_line(capsys.readouterr().err)
    assert not out.exists()


def test_voxel_size_and_part_must_be_known(stack, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert run(["measure", str(stack), *out]) == 2
    assert "--voxel-size-nm" in error_line(capsys.readouterr().err)
    assert run(["measure", str(stack), *SIDES, "--part", "7", *out]) == 2
    assert "the part 7" in error_line(capsys.readouterr().err)
