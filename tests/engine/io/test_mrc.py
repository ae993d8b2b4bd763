import gzip
import hashlib
import os

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.tomogram import TiltRange
from engine.errors import BadInputError, MissingFileError, OutputNotWritableError
from engine.io.mrc import read_tomogram, read_with_findings, tomogram_id_of, write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.mrc_scan import bin_volume
from tests.faulty_files import FAULT_NAMES, FAULTS, image_stack, specimen, write_mrc
from tests.real_data import real_data

few = settings(max_examples=25, deadline=None)
sides = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9))


@pytest.mark.parametrize(("make", "code", "words"), FAULTS, ids=FAULT_NAMES)
def test_unfit_files_are_refused_with_one_line(tmp_path, make, code, words):
    with pytest.raises((BadInputError, MissingFileError), match=words) as caught:
        read_tomogram(make(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    assert "found" in message
    assert caught.value.fields["code"] == code
    assert caught.value.exit_status == 2


def test_every_fault_of_a_header_is_named_at_once(tmp_path):
    path = write_mrc(tmp_path / "bad.mrc", specimen(), voxel_size=0, ispg=0, mz=1)
    with pytest.raises(BadInputError, match=r"stack of images.*; .*found none"):
        read_tomogram(path)


@few
@given(sides, st.floats(0.5, 99.0), st.integers(0, 2**32 - 1))
def test_voxels_and_voxel_size_survive_a_round_trip(tmp_path_factory, shape, size_angst, seed):
    path = tmp_path_factory.mktemp("rt") / "v.mrc"
    voxels = np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)
    write_volume(path, voxels, size_angst)
    back = read_tomogram(path, contrast="bright", voxel_size_angst=size_angst)
    assert np.array_equal(back.voxels, voxels)
    assert back.voxels.dtype == np.float32
    assert not back.voxels.flags.writeable
    if round(size_angst, 4) != 1.0:
        claimed = read_tomogram(path, contrast="bright").voxel_size_angst
        assert claimed == pytest.approx(size_angst, abs=1e-4)


@few
@given(sides, st.integers(0, 2**32 - 1))
def test_dark_files_are_flipped_so_that_protein_is_bright(tmp_path_factory, shape, seed):
    path = tmp_path_factory.mktemp("flip") / "v.mrc"
    voxels = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    write_volume(path, voxels, 10.0)
    dark = read_tomogram(path, contrast="dark")
    bright = read_tomogram(path, contrast="bright")
    assert np.array_equal(dark.voxels, -bright.voxels)
    assert (dark.recorded_contrast, bright.recorded_contrast) == ("dark", "bright")


@pytest.mark.parametrize(
    ("voxels", "mode"),
    [
        (np.array([[[0, 127], [3, 4]]], np.uint8).repeat(2, 0), 0),
        (np.array([[[0, 128], [3, 4]]], np.uint8).repeat(2, 0), 6),
        (np.array([[[0, 65535], [3, 4]]], np.uint16).repeat(2, 0), 6),
        (np.array([[[0, -1.5], [3, 4]]], np.float32).repeat(2, 0), 2),
    ],
)
def test_dtypes_are_stored_without_loss(tmp_path, voxels, mode):
    path = tmp_path / "v.mrc"
    write_volume(path, voxels, 10.0)
    with mrcfile.open(path) as volume:
        assert int(volume.header.mode) == mode
        assert volume.is_volume()
        assert np.array_equal(volume.data.astype(np.float64), voxels.astype(np.float64))
    assert mrcfile.validate(path)


def test_written_statistics_are_those_of_the_voxels(tmp_path):
    voxels = specimen((7, 8, 9)) + 1000
    write_volume(tmp_path / "v.mrc", voxels, 10.0)
    with mrcfile.open(tmp_path / "v.mrc") as volume:
        assert float(volume.header.dmean) == pytest.approx(voxels.mean(dtype=np.float64), rel=1e-6)
        assert float(volume.header.rms) == pytest.approx(voxels.std(dtype=np.float64), rel=1e-5)
        assert float(volume.header.dmin) == voxels.min()


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    for name in ("a.mrc", "b.mrc"):
        write_volume(tmp_path / name, specimen(), 13.3, label="of a test")
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()
    with mrcfile.open(tmp_path / "a.mrc") as volume:
        labels = volume.get_labels()
    assert labels[0].startswith("TomoDx")
    assert labels[1:] == ["of a test"]


def test_the_simulated_mark_survives(tmp_path):
    write_volume(tmp_path / "s.mrc", specimen(), 10.0, label=f"{SIMULATED_WORDS}, seed 4")
    write_volume(tmp_path / "r.mrc", specimen(), 10.0, label="reconstruction")
    assert read_tomogram(tmp_path / "s.mrc").provenance.simulated
    assert not read_tomogram(tmp_path / "r.mrc").provenance.simulated


@pytest.mark.parametrize(
    ("voxels", "size"),
    [
        (np.zeros((2, 2, 2), np.float64), 10.0),
        (np.zeros((2, 2), np.float32), 10.0),
        (np.zeros((2, 2, 2), np.float32), 0.0),
        (np.zeros((2, 2, 2), np.float32), float("nan")),
    ],
)
def test_what_mrc_cannot_hold_is_not_written(tmp_path, voxels, size):
    with pytest.raises(BadInputError, match="expected"):
        write_volume(tmp_path / "v.mrc", voxels, size)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputNotWritableError):
        write_volume(tmp_path / "file" / "v.mrc", specimen(), 10.0)


@pytest.mark.parametrize(
    "order", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1), (0, 0, 0)]
)
def test_axes_are_turned_to_z_y_x(tmp_path, order):
    wanted = specimen((6, 8, 10))
    axis_of = {1: 2, 2: 1, 3: 0}
    mapc, mapr, maps = order if any(order) else (1, 2, 3)
    stored = wanted.transpose([axis_of[maps], axis_of[mapr], axis_of[mapc]])
    path = write_mrc(tmp_path / "t.mrc", np.ascontiguousarray(stored))
    with mrcfile.open(path, "r+") as volume:
        volume.header.mapc, volume.header.mapr, volume.header.maps = order
        volume.header.mx, volume.header.my, volume.header.mz = 10, 8, 6
        volume.header.cella.x, volume.header.cella.y, volume.header.cella.z = 133, 106.4, 79.8
    back = read_tomogram(path, contrast="bright")
    assert np.array_equal(back.voxels, wanted)
    assert back.voxel_size_angst == 13.3
    assert back.voxels.flags.c_contiguous


def test_a_stack_flag_is_overruled_by_the_users_voxel_size(tmp_path):
    path = image_stack(tmp_path)
    back = read_tomogram(path, voxel_size_angst=13.3, contrast="bright")
    assert np.array_equal(back.voxels, specimen())
    assert back.voxel_size_angst == 13.3


def test_the_stack_message_offers_the_true_voxel_size_of_the_header(tmp_path):
    with pytest.raises(BadInputError, match=r"--voxel-size-angst 13\.3$"):
        read_tomogram(image_stack(tmp_path))


@pytest.mark.parametrize("size", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_senseless_given_voxel_size_is_refused(tmp_path, size):
    path = write_mrc(tmp_path / "v.mrc", specimen())
    with pytest.raises(BadInputError, match="expected a positive voxel size"):
        read_tomogram(path, voxel_size_angst=size)


def test_a_given_voxel_size_that_contradicts_the_header_is_flagged(tmp_path):
    path = write_mrc(tmp_path / "v.mrc", specimen())
    tomogram, flags = read_with_findings(path, voxel_size_angst=20.0, contrast="bright")
    assert tomogram.voxel_size_angst == 20.0
    assert [flag.code for flag in flags] == ["voxel_size_differs"]


@pytest.mark.parametrize("compression", ["gzip", "bzip2"])
def test_compressed_files_are_read_whatever_their_name(tmp_path, compression):
    path = tmp_path / "v.rec"
    with mrcfile.new(path, data=specimen(), compression=compression) as volume:
        volume.voxel_size = 13.3
    assert np.array_equal(read_tomogram(path, contrast="bright").voxels, specimen())


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f2", "f4", ">i2", ">f4"])
def test_every_real_mode_and_byte_order_is_read(tmp_path, dtype):
    voxels = (specimen() * 5).astype(dtype)
    if dtype == "u2":
        voxels = (specimen() * 5 + 100).astype(dtype)
    path = write_mrc(tmp_path / "v.mrc", voxels)
    assert np.array_equal(read_tomogram(path, contrast="bright").voxels, voxels.astype("f4"))


def test_unsigned_bytes_of_imod_are_not_taken_for_negative(tmp_path):
    voxels = np.arange(12 * 20 * 24, dtype=np.uint64).reshape(12, 20, 24).astype(np.uint8)
    path = write_mrc(tmp_path / "v.mrc", voxels.view(np.int8))
    raw = bytearray(path.read_bytes())
    raw[152:156] = (1146047817).to_bytes(4, "little")
    path.write_bytes(raw)
    assert np.array_equal(read_tomogram(path, contrast="bright").voxels, voxels.astype("f4"))
    raw[156:160] = (1).to_bytes(4, "little")
    path.write_bytes(raw)
    signed = read_tomogram(path, contrast="bright").voxels
    assert np.array_equal(signed, voxels.view(np.int8).astype("f4"))


def test_an_old_file_without_the_word_map_is_read(tmp_path):
    path = write_mrc(tmp_path / "v.mrc", specimen(), map=b"\0\0\0\0")
    raw = bytearray(path.read_bytes())
    raw[212:216] = b"\0\0\0\0"
    path.write_bytes(raw)
    assert np.array_equal(read_tomogram(path, contrast="bright").voxels, specimen())


def test_an_extended_header_is_skipped(tmp_path):
    with mrcfile.new(tmp_path / "v.mrc", data=specimen()) as volume:
        volume.voxel_size = 13.3
        volume.set_extended_header(np.zeros(128, "V16"))
    assert np.array_equal(read_tomogram(tmp_path / "v.mrc", contrast="bright").voxels, specimen())


def test_slabs_do_not_change_what_is_read(tmp_path, monkeypatch):
    path = write_mrc(tmp_path / "v.mrc", specimen((37, 20, 24)))
    whole = read_tomogram(path, contrast="bright").voxels
    monkeypatch.setattr("engine.io.mrc_scan.SLAB_VOXELS", 20 * 24 * 5)
    assert np.array_equal(read_tomogram(path, contrast="bright").voxels, whole)
    write_volume(tmp_path / "w.mrc", whole, 13.3)
    assert np.array_equal(read_tomogram(tmp_path / "w.mrc", contrast="bright").voxels, whole)


def test_provenance_names_the_file_and_its_digest_but_no_folder(tmp_path):
    path = write_mrc(tmp_path / "cell.mrc", specimen())
    tomogram = read_tomogram(path, contrast="bright", tilt_range=TiltRange(-60, 60))
    (digest,) = tomogram.provenance.inputs
    assert digest.name == "cell.mrc"
    assert digest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert tomogram.tilt_range == TiltRange(-60, 60)
    assert str(tmp_path) not in repr(tomogram.provenance)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.mrc", "a"), ("a.b.mrc.gz", "a.b"), ("TS_01.rec", "TS_01"), ("x.bz2", "x"), ("y", "y")],
)
def test_a_tomogram_is_called_after_its_file(tmp_path, name, wanted):
    assert tomogram_id_of(tmp_path / name) == wanted


def test_a_gzip_of_something_else_is_no_tomogram(tmp_path):
    path = tmp_path / "v.mrc.gz"
    path.write_bytes(gzip.compress(b"hello" * 1000))
    with pytest.raises(BadInputError, match="expected an MRC tomogram"):
        read_tomogram(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.mrc")
    with pytest.raises(MissingFileError):
        read_tomogram(tmp_path / "pipe.mrc")


def test_binning_averages_whole_blocks():
    volume = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
    binned = bin_volume(volume, 2)
    assert binned.shape == (2, 2, 3)
    assert binned[1, 0, 2] == volume[2:4, 0:2, 4:6].mean()


def test_the_real_microtubule_tomogram_is_read_as_bright():
    path = real_data("microtubule/mt_13pf.mrc")
    tomogram, flags = read_with_findings(path)
    assert tomogram.voxels.shape == (36, 206, 94)
    assert tomogram.voxel_size_angst == 10.52
    assert tomogram.recorded_contrast == "bright"
    assert flags == ()


def test_real_densities_flagged_as_stacks_are_read_with_a_given_voxel_size():
    path = real_data("densities_10A/3j9i.mrc")
    with pytest.raises(BadInputError, match="stack of images"):
        read_tomogram(path)
    tomogram = read_tomogram(path, voxel_size_angst=10.0)
    assert tomogram.recorded_contrast == "bright"
    assert tomogram.voxels.shape == (58, 58, 58)
