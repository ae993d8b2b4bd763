"""Written volumes as an independent reader of the format finds them."""

import numpy as np
import pytest
import zarr

from engine.io.ome_zarr import LabelImage, write_ome_zarr

VOXEL_ANGST = 20.0
SHAPE = (10, 201, 400)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, SHAPE).astype(np.uint8)
    ids = (rng.random(SHAPE) > 0.9).astype(np.uint16) * 3
    path = tmp_path_factory.mktemp("zarr") / "a.ome.zarr"
    label = LabelImage(ids, {3: "mitochondrion"}, {3: "#E69F00"})
    write_ome_zarr(path, image, {"instances": label}, VOXEL_ANGST)
    return zarr.open_group(path, mode="r"), image, ids


def test_the_finest_level_is_the_volume_itself(written):
    root, image, ids = written
    assert np.array_equal(root["0"][...], image)
    assert np.array_equal(root["labels/instances/0"][...], ids)
    assert root["0"].chunks == (10, 64, 64)


def test_levels_halve_until_they_are_small_and_average(written):
    root, image, _ = written
    (scales,) = root.attrs["multiscales"]
    assert scales["version"] == "0.4"
    assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"]
    shapes = [root[one["path"]].shape for one in scales["datasets"]]
    assert shapes == [SHAPE, (5, 101, 200), (3, 51, 100)]
    mean = image[:2, :2, :2].astype(float).mean()
    assert root["1"][0, 0, 0] == pytest.approx(mean, abs=0.5)


def test_every_level_says_where_its_voxels_are(written):
    root, _, _ = written
    (scales,) = root.attrs["multiscales"]
    for level, dataset in enumerate(scales["datasets"]):
        scale, shift = dataset["coordinateTransformations"]
        assert scale == {"type": "scale", "scale": [2.0 * 2**level] * 3}
        # Voxel 0 of a level is the mean of 2^level ones whose first lies at 0.
        assert shift["translation"] == pytest.approx([(2**level - 1) * 1.0] * 3)
    (label_scales,) = root["labels/instances"].attrs["multiscales"]
    assert label_scales["datasets"][1]["coordinateTransformations"][1]["translation"] == [0.0] * 3


def test_labels_are_listed_named_and_coloured(written):
    root, _, ids = written
    assert root["labels"].attrs["labels"] == ["instances"]
    about = root["labels/instances"].attrs["image-label"]
    assert about["colors"] == [{"label-value": 3, "rgba": [230, 159, 0, 255]}]
    assert about["properties"] == [{"label-value": 3, "class": "mitochondrion"}]
    assert set(np.unique(root["labels/instances/1"][...])) <= set(np.unique(ids))
