import h5py
import mrcfile
import numpy as np
import pytest

from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError, MissingFileError
from engine.io.mrc import write_volume
from engine.io.subtomogram_files import read_subtomograms, write_subtomograms
from tests.real_data import real_data


def stack(n=3, side=8, **changes):
    voxels = np.random.default_rng(1).normal(size=(n, side, side, side)).astype(np.float32)
    known = {
        "voxels": voxels,
        "voxel_size_angst": 12.5,
        "names": tuple(f"t:{index}" for index in range(n)),
        "labels": ("ribosome",) * n,
        "provenance": Provenance("0", "0", simulated=True),
    }
    return SubtomogramStack(**{**known, **changes})


def test_a_stack_comes_back_from_hdf5(tmp_path):
    path = tmp_path / "s.h5"
    write_subtomograms(path, stack())
    found = read_subtomograms(path)
    np.testing.assert_array_equal(found.voxels, stack().voxels)
    assert (found.voxel_size_angst, found.names, found.labels) == (
        12.5, ("t:0", "t:1", "t:2"), ("ribosome",) * 3,
    )  # fmt: skip
    assert found.provenance.simulated
    assert found.provenance.inputs[0].name == "s.h5"
    dark = read_subtomograms(path, contrast="dark", voxel_size_angst=10.0)
    np.testing.assert_array_equal(dark.voxels, -stack().voxels)
    assert dark.voxel_size_angst == 10.0


def test_others_hdf5_files_are_read(tmp_path):
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file["images"] = stack().voxels[..., None]
        file["classes"] = np.array([2, 0, 1])
    found = read_subtomograms(path, voxel_size_angst=10.0)
    assert found.labels == ("2", "0", "1")
    assert found.names == ("1", "2", "3")
    np.testing.assert_array_equal(found.voxels, stack().voxels)


def test_mrc_stacks_of_both_kinds_are_read(tmp_path):
    with mrcfile.new(tmp_path / "volumes.mrc") as file:
        file.set_data(stack().voxels)
        file.voxel_size = 12.5
    label = "TomoDx simulated: a test"
    write_volume(tmp_path / "long.mrc", stack().voxels.reshape(24, 8, 8), 12.5, label=label)
    for name in ("volumes.mrc", "long.mrc"):
        found = read_subtomograms(tmp_path / name)
        np.testing.assert_array_equal(found.voxels, stack().voxels)
        assert found.voxel_size_angst == pytest.approx(12.5)
        assert found.labels == ("", "", "")
        assert found.provenance.simulated == (name == "long.mrc")


def test_a_star_file_names_one_file_a_particle(tmp_path):
    for index, volume in enumerate(stack().voxels):
        write_volume(tmp_path / f"sub_{index}.mrc", volume, 12.5, label="TomoDx simulated: a test")
    rows = "\n".join(f"sub_{index}.mrc {index + 1}" for index in range(3))
    path = tmp_path / "particles.star"
    path.write_text(f"data_particles\n\nloop_\n_rlnImageName\n_rlnClassNumber\n{rows}\n")
    found = read_subtomograms(path)
    np.testing.assert_array_equal(found.voxels, stack().voxels)
    assert found.labels == ("1", "2", "3")
    assert found.provenance.simulated
    (tmp_path / "sub_1.mrc").unlink()
    with pytest.raises(MissingFileError, match=r"sub_1\.mrc"):
        read_subtomograms(path)


def test_a_map_of_another_program_is_a_stack_of_one():
    """Its header has no map string, and flags the map as a stack of images."""
    found = read_subtomograms(real_data("ribosome/emd_3420_b4.mrc.gz"), contrast="dark")
    assert found.voxels.shape == (1, 64, 64, 64)
    assert found.voxel_size_angst == pytest.approx(10.48)
    assert found.voxels[0, 24:40, 24:40, 24:40].mean() > found.voxels[0, :6].mean()


def test_what_is_no_stack_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "text.mrc").write_text("no")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["positions"] = np.zeros(3)
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["images"] = np.zeros((3, 4, 5, 5))
    with h5py.File(tmp_path / "sampling.h5", "w") as file:
        file["images"] = stack().voxels
    (tmp_path / "picks.star").write_text("data_\n\nloop_\n_rlnCoordinateX\n1\n2\n")
    write_volume(tmp_path / "tomogram.mrc", np.ones((10, 8, 8), dtype=np.float32), 10.0)
    for name, message in (
        ("text.h5", "not readable as HDF5"),
        ("text.mrc", "no whole MRC file"),
        ("empty.h5", "found positions"),
        ("flat.h5", "expected cubic"),
        ("sampling.h5", "give --voxel-size-angst"),
        ("picks.star", "with rlnImageName"),
        ("tomogram.mrc", "expected cubic"),
        ("absent.h5", "no file"),
    ):
        with pytest.raises((BadInputError, MissingFileError), match=message) as caught:
            read_subtomograms(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInputError, match="bright or dark"):
        read_subtomograms(tmp_path / "sampling.h5", contrast="auto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voxels": np.zeros((3, 8, 8, 7))}, "cubic"),
        ({"voxels": np.full((3, 8, 8, 8), np.nan)}, "3 of 3 subtomograms hold NaN"),
        ({"names": ("a", "a", "b")}, "names of their own"),
        ({"labels": ("a",)}, "1 labels"),
        ({"voxel_size_angst": 0.0}, "positive voxel size"),
    ],
)
def test_a_stack_is_valid_or_not_there(changes, message):
    with pytest.raises(BadInputError, match=message):
        stack(**changes)
