"""Files that a user may hand over by mistake, each written as the world's programs write them."""

import warnings

import mrcfile
import numpy as np

SHAPE = (12, 20, 24)


def specimen(shape=SHAPE, seed=1):
    """Noise with a few bright blobs: a volume that is fit for reading."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(0, 1, shape).astype(np.float32)
    for z, y, x in rng.integers(2, np.array(shape) - 2, (4, 3)):
        voxels[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] += 8
    return voxels


def write_mrc(path, data, voxel_size=13.3, **header):
    """Write with mrcfile itself, then set header fields by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.new(path, data=data, overwrite=True) as volume:
            volume.voxel_size = voxel_size
            for name, value in header.items():
                volume.header[name] = value
    return path


def no_such_file(folder):
    return folder / "absent.mrc"


def folder_instead(folder):
    path = folder / "folder.mrc"
    path.mkdir()
    return path


def short_text(folder):
    path = folder / "note.mrc"
    path.write_text("this is a note, not a tomogram\n")
    return path


def long_text(folder):
    path = folder / "table.mrc"
    path.write_text("donor,group,site,tomogram\n" * 500)
    return path


def empty_file(folder):
    path = folder / "empty.mrc"
    path.write_bytes(b"")
    return path


def truncated(folder):
    path = write_mrc(folder / "cut.mrc", specimen())
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def truncated_gzip(folder):
    path = folder / "cut.mrc.gz"
    with mrcfile.new(path, data=specimen(), compression="gzip") as volume:
        volume.voxel_size = 13.3
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def truncated_bzip2(folder):
    path = folder / "cut.mrc.bz2"
    with mrcfile.new(path, data=specimen(), compression="bzip2") as volume:
        volume.voxel_size = 13.3
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def image(folder):
    return write_mrc(folder / "image.mrc", specimen()[0])


def image_of_one_section(folder):
    return write_mrc(folder / "one.mrc", specimen()[:1])


def image_stack(folder):
    return write_mrc(folder / "stack.mrc", specimen(), ispg=0, mz=1)


def volume_stack(folder):
    return write_mrc(folder / "volumes.mrc", specimen(), ispg=401, mz=4)


def not_a_number(folder):
    voxels = specimen()
    voxels[3, 4, 5] = np.nan
    return write_mrc(folder / "nan.mrc", voxels)


def infinite(folder):
    voxels = specimen()
    voxels[3, 4, 5] = np.inf
    return write_mrc(folder / "inf.mrc", voxels)


def constant(folder):
    return write_mrc(folder / "constant.mrc", np.full(SHAPE, 7, np.float32))


def complex_values(folder):
    return write_mrc(folder / "complex.mrc", specimen().astype(np.complex64))


def unknown_mode(folder):
    return write_mrc(folder / "mode.mrc", specimen(), mode=101)


def voxel_size_zero(folder):
    return write_mrc(folder / "zero.mrc", specimen(), voxel_size=0)


def voxel_size_one(folder):
    return write_mrc(folder / "one.mrc", specimen(), voxel_size=1)


def voxel_size_tiny(folder):
    return write_mrc(folder / "tiny.mrc", specimen(), voxel_size=0.2)


def voxel_size_huge(folder):
    return write_mrc(folder / "huge.mrc", specimen(), voxel_size=250)


def voxel_size_unequal(folder):
    return write_mrc(folder / "unequal.mrc", specimen(), voxel_size=(10, 10, 40))


def mirrored_axes(folder):
    return write_mrc(folder / "mirrored.mrc", specimen(), mapr=-2)


# What is wrong, the finding's code, and a word of the one line that says so.
FAULTS = [
    (no_such_file, "no_such_file", "no file at"),
    (folder_instead, "is_folder", "the folder"),
    (short_text, "not_mrc", "expected an MRC tomogram"),
    (long_text, "not_mrc", "expected an MRC tomogram"),
    (empty_file, "not_mrc", "0 bytes"),
    (truncated, "truncated", "truncated"),
    (truncated_gzip, "truncated", "truncated"),
    (truncated_bzip2, "truncated", "truncated"),
    (image, "two_dimensional", "2-D image"),
    (image_of_one_section, "two_dimensional", "2-D image"),
    (image_stack, "image_stack", "stack of images"),
    (volume_stack, "volume_stack", "stack of volumes"),
    (not_a_number, "not_finite", "NaN"),
    (infinite, "not_finite", "infinite"),
    (constant, "constant", "the same value"),
    (complex_values, "complex_mode", "complex"),
    (unknown_mode, "unsupported_mode", "mode 101"),
    (voxel_size_zero, "voxel_size_missing", "found none"),
    (voxel_size_one, "voxel_size_one", "exactly 1 Å"),
    (voxel_size_tiny, "voxel_size_implausible", "0.2 Å"),
    (voxel_size_huge, "voxel_size_implausible", "250"),
    (voxel_size_unequal, "voxel_size_anisotropic", "10 x 10 x 40"),
    (mirrored_axes, "axis_order", "mapr"),
]
FAULT_NAMES = [make.__name__ for make, _, _ in FAULTS]
