"""What an MRC header claims."""

import bz2
import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from engine.errors import BadInputError, MissingFileError

HEADER_BYTES = 1024
SIMULATED_WORDS = "TomoDx simulated"

# IMOD marks files whose mode 0 means signed bytes; with its stamp and without the flag they are
# unsigned (IMOD's libiimod, mrc header documentation, bytes 152 and 156).
IMOD_STAMP, IMOD_SIGNED_FLAG = 1146047817, 1

READABLE_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
COMPLEX_MODES = (3, 4)
KNOWN_MODES = (*READABLE_MODES, *COMPLEX_MODES, 16, 101)
LARGEST_SIDE = 100_000
AXIS_NAMES = {1: "x", 2: "y", 3: "z"}


@dataclass(frozen=True)
class MrcHeader:
    """The claims of one MRC file.

    Attributes
    ----------
    stored_shape
        (sections, rows, columns) as they lie in the file.
    stored_axes
        Axis numbers of (sections, rows, columns): 1 = x, 2 = y, 3 = z; (3, 2, 1) as a rule.
    dtype
        Of one voxel with its byte order; None where the mode cannot be read.
    voxel_xyz_angst
        Cell divided by sampling, corrected for the image-stack flag, 1e-4 Å.
    is_image_stack
        Space group 0.
    is_volume_stack
        Space group 401 to 630.
    missing_bytes
        Of the data block, where the file is not compressed; 0 where it is whole.
    """

    path: Path
    mode: int
    dtype: "np.dtype[np.generic] | None"
    stored_shape: tuple[int, int, int]
    stored_axes: tuple[int, int, int]
    voxel_xyz_angst: tuple[float, float, float]
    data_offset: int
    is_image_stack: bool
    is_volume_stack: bool
    labels: tuple[str, ...]
    missing_bytes: int

    @property
    def axis_order_readable(self) -> bool:
        """Whether columns, rows and sections are x, y and z in some order."""
        return sorted(self.stored_axes) == [1, 2, 3]

    @property
    def to_zyx(self) -> tuple[int, int, int]:
        """For `numpy.transpose`: from the stored axes to (z, y, x)."""
        z, y, x = (self.stored_axes.index(axis) for axis in (3, 2, 1))
        return z, y, x

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape as (z, y, x); the stored one where the axis order cannot be read."""
        if not self.axis_order_readable:
            return self.stored_shape
        z, y, x = (self.stored_shape[axis] for axis in self.to_zyx)
        return z, y, x

    @property
    def simulated(self) -> bool:
        """Whether a label says that TomoDx simulated the volume."""
        return any(SIMULATED_WORDS in label for label in self.labels)


def read_header(path: Path) -> MrcHeader:
    """Read the header of an MRC file, compressed (gzip, bzip2) or not.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        A folder, or a file that is no MRC file.
    """
    _require_file(path)
    with open_stream(path) as stream:
        head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise _not_mrc(path, f"a file of {len(head)} bytes, shorter than an MRC header")
    record, order = _parse(head, path)
    columns, rows, sections = (int(record[name]) for name in ("nx", "ny", "nz"))
    mode = int(record["mode"])
    offset = HEADER_BYTES + int(record["nsymbt"])
    dtype = _dtype(record, mode, order)
    axes = tuple(int(record[name]) for name in ("maps", "mapr", "mapc"))
    return MrcHeader(
        path=path,
        mode=mode,
        dtype=dtype,
        stored_shape=(sections, rows, columns),
        stored_axes=(3, 2, 1) if axes == (0, 0, 0) else cast("tuple[int, int, int]", axes),
        voxel_xyz_angst=_voxel_xyz(record),
        data_offset=offset,
        is_image_stack=int(record["ispg"]) == 0 and sections > 1,
        is_volume_stack=401 <= int(record["ispg"]) <= 630,
        labels=_labels(record),
        missing_bytes=_missing_bytes(path, offset, dtype, sections * rows * columns),
    )


@contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain, gzip or bzip2 file by its first bytes; damage becomes `BadInputError`."""
    with path.open("rb") as plain:
        magic = plain.read(3)
        plain.seek(0)
        stream: IO[bytes] = plain
        if magic[:2] == b"\x1f\x8b":
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=plain))
        elif magic == b"BZh":
            stream = cast("IO[bytes]", bz2.BZ2File(plain))
        try:
            yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise truncated(path, str(error)) from error
        except OSError as error:
            # bz2 reports damage as an OSError without a number.
            if error.errno is None:
                raise truncated(path, str(error)) from error
            raise


def truncated(path: Path, found: str) -> BadInputError:
    """Describe a file that ends too early."""
    return BadInputError(
        f"{path.name}: expected all the data its header announces, found a truncated or damaged "
        f"file ({found}); copy the file again",
        path=str(path),
        code="truncated",
    )


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise BadInputError(
                f"expected a tomogram file, found the folder {path}; name a file in it",
                path=str(path),
                code="is_folder",
            )
        if not path.is_file():
            raise MissingFileError(
                f"expected a tomogram file, found no file at {path}; check the path",
                path=str(path),
                code="no_such_file",
            )
        with path.open("rb"):
            pass
    except PermissionError as error:
        raise BadInputError(
            f"expected a file that can be read, found {path} which may not be; change its rights",
            path=str(path),
            code="not_readable",
        ) from error


def _not_mrc(path: Path, found: str) -> BadInputError:
    return BadInputError(
        f"{path.name}: expected an MRC tomogram, found {found}; give the reconstructed volume as "
        ".mrc, .rec or .map",
        path=str(path),
        code="not_mrc",
    )


def _parse(head: bytes, path: Path) -> tuple[np.void, Literal["<", ">"]]:
    """Give the header and the byte order in which its numbers make sense."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    if np.frombuffer(head, dtype=HEADER_DTYPE)[0]["machst"][0] == 0x11:
        orders = (">", "<")
    for order in orders:
        record = np.frombuffer(head, dtype=HEADER_DTYPE.newbyteorder(order))[0]
        sides = [int(record[name]) for name in ("nx", "ny", "nz")]
        if (
            int(record["mode"]) in KNOWN_MODES
            and all(0 < side <= LARGEST_SIDE for side in sides)
            and int(record["nsymbt"]) >= 0
        ):
            return cast("np.void", record), order
    raise _not_mrc(path, "a file whose header makes no sense")


def _dtype(record: np.void, mode: int, order: Literal["<", ">"]) -> "np.dtype[np.generic] | None":
    if mode not in READABLE_MODES:
        return None
    code = READABLE_MODES[mode]
    if mode == 0:
        stamp, flags = np.frombuffer(record["extra2"].tobytes()[40:48], dtype=f"{order}i4")
        code = "u1" if stamp == IMOD_STAMP and not flags & IMOD_SIGNED_FLAG else "i1"
    return np.dtype(code).newbyteorder(order)


def _voxel_xyz(record: np.void) -> tuple[float, float, float]:
    sampling = [int(record[name]) for name in ("mx", "my", "mz")]
    # A flagged stack of nz images has mz = 1 although its cell spans all of them.
    if int(record["ispg"]) == 0 and sampling[2] == 1:
        sampling[2] = int(record["nz"])
    sizes = []
    for name, n_steps in zip("xyz", sampling, strict=True):
        length_angst = float(record["cella"][name])
        usable = n_steps > 0 and math.isfinite(length_angst)
        sizes.append(round(length_angst / n_steps, 4) if usable else 0.0)
    return sizes[0], sizes[1], sizes[2]


def _labels(record: np.void) -> tuple[str, ...]:
    texts = (bytes(label).decode("latin-1").strip(" \0") for label in record["label"])
    return tuple("".join(c for c in text if c.isprintable()) for text in texts if text)


def _missing_bytes(
    path: Path, offset: int, dtype: "np.dtype[np.generic] | None", n_voxels: int
) -> int:
    """Bytes that the file lacks; compressed files are found short when they are read."""
    with path.open("rb") as stream:
        if stream.read(3)[:2] in (b"\x1f\x8b", b"BZ"):
            return 0
    if dtype is None:
        return 0
    return max(0, offset + n_voxels * dtype.itemsize - path.stat().st_size)
