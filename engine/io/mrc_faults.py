"""Every fault in what an MRC header claims, each with what to do about it."""

import math

from engine.data.measurements import QualityFlag
from engine.io.mrc_header import COMPLEX_MODES, MrcHeader, truncated

SMALLEST_VOXEL_ANGST, LARGEST_VOXEL_ANGST = 0.5, 100.0
ANISOTROPY_LIMIT = 0.01


def structure_faults(header: MrcHeader) -> list[QualityFlag]:
    """Faults that forbid reading the data at all."""
    name, shape = header.path.name, header.stored_shape
    faults = []
    if header.mode in COMPLEX_MODES:
        faults.append(
            _fault(
                "complex_mode",
                f"{name}: expected real voxel values, found complex data (MRC mode {header.mode});"
                " give the reconstruction, not its Fourier transform",
            )
        )
    elif header.dtype is None:
        faults.append(
            _fault(
                "unsupported_mode",
                f"{name}: expected MRC mode 0, 1, 2, 6 or 12, found mode {header.mode}; convert "
                "the file, for example with IMOD's newstack -mode 2",
            )
        )
    if min(shape) == 1:
        sides = " x ".join(str(side) for side in reversed(shape) if side > 1) or "1"
        faults.append(
            _fault(
                "two_dimensional",
                f"{name}: expected a 3-D tomogram, found a 2-D image ({sides} pixels); give the "
                "reconstructed volume",
            )
        )
    if header.is_volume_stack:
        faults.append(
            _fault(
                "volume_stack",
                f"{name}: expected one tomogram, found a stack of volumes; give one volume a file",
            )
        )
    if not header.axis_order_readable:
        faults.append(
            _fault(
                "axis_order",
                f"{name}: expected the axes x, y, z in some order (mapc, mapr, maps), found "
                f"{tuple(reversed(header.stored_axes))}; rewrite the header",
            )
        )
    if header.missing_bytes:
        faults.append(
            _fault("truncated", str(truncated(header.path, f"{header.missing_bytes} bytes short")))
        )
    return faults


def claim_faults(header: MrcHeader, given_angst: float | None) -> list[QualityFlag]:
    """Doubtful claims that the user may overrule by giving the voxel size."""
    if given_angst is not None:
        return _given_faults(header, given_angst)
    faults = voxel_size_faults(header)
    if header.is_image_stack:
        x_angst = header.voxel_xyz_angst[0]
        faults.insert(
            0,
            _fault(
                "image_stack",
                f"{header.path.name}: expected a volume, found a file flagged as a stack of images"
                " (space group 0); if it is a tomogram give its voxel size, for example "
                f"--voxel-size-angst {x_angst if plausible(x_angst) else 10:g}",
            ),
        )
    return faults


def voxel_size_faults(header: MrcHeader) -> list[QualityFlag]:
    """Find what is wrong with the claimed voxel size; nothing where it can be trusted."""
    sizes = header.voxel_xyz_angst
    smallest, largest = min(sizes), max(sizes)
    remedy = "give the true one with --voxel-size-angst"
    expected = (
        f"{header.path.name}: expected a voxel size of {SMALLEST_VOXEL_ANGST:g} to "
        f"{LARGEST_VOXEL_ANGST:g} Å"
    )
    if smallest == 0 or not all(math.isfinite(size) for size in sizes):
        return [_fault("voxel_size_missing", f"{expected}, found none in the header; {remedy}")]
    if sizes == (1.0, 1.0, 1.0):
        return [
            _fault(
                "voxel_size_one",
                f"{expected}, found exactly 1 Å, which programs write when they do not know; "
                f"{remedy}",
            )
        ]
    found = " x ".join(f"{size:g}" for size in sizes)
    if not all(plausible(size) for size in sizes):
        return [_fault("voxel_size_implausible", f"{expected}, found {found} Å; {remedy}")]
    if largest > smallest * (1 + ANISOTROPY_LIMIT):
        return [
            _fault(
                "voxel_size_anisotropic",
                f"{expected}, the same along x, y and z, found {found} Å; {remedy}",
            )
        ]
    return []


def trusted_voxel_size_angst(header: MrcHeader) -> float | None:
    """Claimed voxel size where it is plausible and the same along all axes."""
    return None if voxel_size_faults(header) else header.voxel_xyz_angst[0]


def plausible(size_angst: float) -> bool:
    """Whether a tomogram may have this voxel size."""
    return SMALLEST_VOXEL_ANGST <= size_angst <= LARGEST_VOXEL_ANGST


def _given_faults(header: MrcHeader, given_angst: float) -> list[QualityFlag]:
    if not (math.isfinite(given_angst) and given_angst > 0):
        return [
            _fault(
                "voxel_size_given",
                f"expected a positive voxel size in Å, found {given_angst:g}; "
                "correct --voxel-size-angst",
            )
        ]
    claimed_angst = trusted_voxel_size_angst(header)
    if claimed_angst and abs(given_angst - claimed_angst) > ANISOTROPY_LIMIT * claimed_angst:
        return [
            QualityFlag(
                "warning",
                "voxel_size_differs",
                f"the given voxel size, {given_angst:g} Å, is used; the header says "
                f"{claimed_angst:g} Å",
            )
        ]
    return []


def _fault(code: str, message: str) -> QualityFlag:
    return QualityFlag("error", code, message)
