"""Tilt angles, exposure and defocus from the files of other programs."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from engine.data.arrays import Float64s
from engine.data.tilt_series import TiltSeriesMetadata
from engine.errors import BadInputError, MissingFileError
from engine.io.warp import number_in, series_from_tomostar, series_from_warp_xml

Acquisition = Literal["dose_symmetric", "ascending", "descending"]
KINDS = (".tlt", ".rawtlt", ".mdoc", ".aln", ".xml", ".tomostar")
MAX_FILE_BYTES = 64_000_000  # A Warp XML with its grids holds a few megabytes.
# Programs round the same angle differently; tilts are at least 0.5 degrees apart.
ANGLE_MATCH_DEG = 0.1
NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f]")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Flags in the first line of a version 3 file (IMOD's ctfphaseflip manual page).
HAS_ASTIGMATISM, HAS_PHASE, INVERTED_ANGLES = 1, 4, 16
DATE_TIME = re.compile(r"(\d+)-(\w{3})-(\d+)\s+(\d+):(\d+):(\d+)", re.ASCII)
Rank = tuple[int, ...]


def read_tilt_series(
    path: Path,
    *,
    defocus_file: Path | None = None,
    exposure_per_tilt_e_per_angst2: float | None = None,
    acquisition: Acquisition | None = None,
) -> TiltSeriesMetadata:
    """Read what a file says of the tilts of a series, by its suffix.

    `.tlt`, `.rawtlt`: angles. `.mdoc`: angles, exposure, target defocus. `.aln` (AreTomo): angles
    without the dark frames. `.xml` (Warp), `.tomostar`: see `engine.io.warp`. Angles keep the sign
    of the file.

    Parameters
    ----------
    defocus_file
        IMOD `.defocus` (version 2 or 3); its mean defocus replaces that of the tilt file, matched
        by angle within 0.1 degrees. Its entries for other angles are not used.
    exposure_per_tilt_e_per_angst2
        For files without exposure: the same for every tilt.
    acquisition
        Order of the tilts, for files that do not say. Dose-symmetric starts at the tilt nearest
        0 degrees and takes the positive one of a pair first (Hagen, Wan & Briggs 2017,
        doi:10.1016/j.jsb.2016.06.007, without groups of tilts on one side).

    Raises
    ------
    MissingFileError
        A file is not there or cannot be read.
    BadInputError
        Unknown suffix, not text, empty, a tilt without an angle or defocus, values out of range,
        an exposure given twice or without an order.
    """
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise BadInputError(
            f"{path.name}: expected a tilt file ({', '.join(KINDS)}), found "
            f"{suffix or 'no suffix'!r}; a .defocus file goes with one of these",
            path=path,
        )
    text = _text_of(path)
    rank: Sequence[Rank] | None = None
    if suffix == ".mdoc":
        series, rank = _series_from_mdoc(text, path)
    elif suffix == ".xml":
        series = series_from_warp_xml(text, path)
    elif suffix == ".tomostar":
        series = series_from_tomostar(path)
    else:
        angles = _aln_angles(text, path) if suffix == ".aln" else _plain_angles(text, path)
        unknown = np.full(len(angles), math.nan)
        series = TiltSeriesMetadata.in_any_order(angles, unknown, unknown, source=path.name)
    if exposure_per_tilt_e_per_angst2 is not None:
        series = _with_exposure(series, exposure_per_tilt_e_per_angst2, rank, acquisition)
    if defocus_file is None:
        return series
    defocus = _defocus_at(series.tilts_deg, _text_of(defocus_file), defocus_file)
    return replace(series, defocus_um=defocus, source=f"{path.name}, {defocus_file.name}")


def _fail(path: Path, message: str) -> BadInputError:
    return BadInputError(f"{path.name}: {message}", path=path)


def _text_of(path: Path) -> str:
    """Text of a file; Latin-1 where a Windows program wrote it."""
    if not path.is_file():
        raise MissingFileError(f"{path}: expected a file, found none; check the path", path=path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _fail(path, "expected a text file of tilts, found one of more than 64 MB")
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read ({error.strerror})", path=path) from error
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if NOT_TEXT.search(text):
        raise _fail(path, "expected a text file, found binary data; give the tilts, not the images")
    if not text.strip():
        raise _fail(path, "expected tilts, found an empty file; write it again")
    return text


def _plain_angles(text: str, path: Path) -> Float64s:
    lines = enumerate(text.rstrip().splitlines(), start=1)
    return np.array([number_in(line.strip(), f"the angle on line {i}", path) for i, line in lines])


def _aln_angles(text: str, path: Path) -> Float64s:
    """TILT of the global table; dark frames are comments of the header, not rows."""
    angles: list[float] = []
    dark, n_raw, tilt_column = 0, None, None
    for line in text.splitlines():
        words = line.lstrip("# ").replace("=", " ").split()
        if line.startswith("#"):
            if words[:1] == ["SEC"] and "TILT" in words:
                tilt_column = words.index("TILT")
            elif words[:1] == ["RawSize"] and len(words) > 3:
                n_raw = int(number_in(words[3], "the number of tilts (RawSize)", path))
            elif words[:2] == ["Local", "Alignment"]:
                break
            dark += words[:1] == ["DarkFrame"]
        elif words and tilt_column is not None:
            entry = words[tilt_column] if len(words) > tilt_column else None
            angles.append(number_in(entry, f"TILT of row {len(angles) + 1}", path))
    if tilt_column is None or not angles:
        raise _fail(path, "expected an AreTomo table with a TILT column, found none")
    if n_raw is not None and len(angles) not in {n_raw, n_raw - dark}:
        raise _fail(
            path,
            f"expected {n_raw - dark} tilts ({n_raw} sections, {dark} dark), found "
            f"{len(angles)} (row {len(angles) + 1} is the first missing); the file is cut short",
        )
    return np.array(angles, dtype=np.float64)


def _series_from_mdoc(text: str, path: Path) -> tuple[TiltSeriesMetadata, list[Rank]]:
    """Tilts of a SerialEM .mdoc and, by ascending angle, their ranks in time.

    `ExposureDose` is that of one image, 0 where the camera was not calibrated; what came before is
    `PriorRecordDose` where written, else the sum over the earlier images in the file.
    `TargetDefocus` is negative for underfocus. `Defocus` is the lens reading, whose zero is
    arbitrary: used, with the same sign, only if there is no target and all readings are negative.
    """
    head, *parts = re.split(r"^\[ZValue\s*=\s*(\d+)\s*\]", text, flags=re.MULTILINE)
    entries = re.compile(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
    z_values = [int(z) for z in parts[::2]]
    sections = [dict(entries.findall(part)) for part in parts[1::2]]
    if not sections:
        raise _fail(path, "expected [ZValue = ...] sections of a SerialEM tilt series, found none")

    def column(name: str) -> Float64s | None:
        if not any(name in section for section in sections):
            return None
        pairs = zip(z_values, sections, strict=True)
        return np.array([number_in(s.get(name), f"{name} of ZValue {z}", path) for z, s in pairs])

    angles = column("TiltAngle")
    if angles is None:
        raise _fail(path, "expected a TiltAngle for each ZValue, found none; not a tilt series")
    ranks = _mdoc_ranks(z_values, sections, path)
    exposure = _mdoc_exposure(column("ExposureDose"), column("PriorRecordDose"), ranks, path)
    target, reading = column("TargetDefocus"), column("Defocus")
    if target is None or not target.any():
        target = reading if reading is not None and (reading < 0).all() else None
    defocus = np.full(len(angles), math.nan) if target is None else -target
    voltage = dict(entries.findall(head)).get("Voltage")
    series = TiltSeriesMetadata.in_any_order(
        angles,
        exposure,
        defocus,
        voltage_kv=number_in(voltage, "Voltage", path) if voltage else None,
        source=path.name,
    )
    return series, [ranks[index] for index in np.argsort(angles, kind="stable")]


def _mdoc_exposure(
    dose: Float64s | None, prior: Float64s | None, ranks: list[Rank], path: Path
) -> Float64s:
    if dose is None or not dose.any():
        return np.full(len(ranks), math.nan)
    if not (dose > 0).all():
        z = ranks[int(np.flatnonzero(dose <= 0)[0])][-1]
        raise _fail(path, f"expected an ExposureDose above 0 e/Å² for ZValue {z}, found none")
    if prior is not None:
        return prior
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    before = np.empty(len(ranks))
    before[order] = np.cumsum(dose[order]) - dose[order]
    return before


def _mdoc_ranks(z_values: list[int], sections: list[dict[str, str]], path: Path) -> list[Rank]:
    """Sort keys in time: DateTime where all images have one, then ZValue."""
    if not all("DateTime" in section for section in sections):
        return [(z,) for z in z_values]
    ranks: list[Rank] = []
    for z, section in zip(z_values, sections, strict=True):
        when = section["DateTime"]
        found = DATE_TIME.fullmatch(when)
        if found is None or found[2].lower() not in MONTHS:
            raise _fail(
                path, f"expected DateTime of ZValue {z} as 30-Nov-15 15:21:38, found {when}"
            )
        day, month, year, *time = found.groups()
        date = (int(year), MONTHS.index(month.lower()), int(day))
        ranks.append((*date, *(int(part) for part in time), z))
    return ranks


def _with_exposure(
    series: TiltSeriesMetadata,
    per_tilt: float,
    rank: Sequence[Rank] | None,
    acquisition: Acquisition | None,
) -> TiltSeriesMetadata:
    if not (math.isfinite(per_tilt) and per_tilt > 0):
        raise BadInputError(f"expected an exposure per tilt above 0 e/Å², found {per_tilt:g}")
    if not np.isnan(series.exposure_e_per_angst2).all():
        raise BadInputError(
            f"{series.source}: expected no exposure per tilt, found one beside the exposures of "
            "the file; leave it out"
        )
    angles = series.tilts_deg.tolist()
    if rank is not None:
        order = sorted(range(len(angles)), key=rank.__getitem__)
    elif acquisition is None:
        raise BadInputError(
            f"{series.source}: expected the order of acquisition with an exposure per tilt, found "
            "none; say dose_symmetric, ascending or descending, or give the .mdoc"
        )
    elif acquisition == "dose_symmetric":
        # Rounded: stages miss the nominal angle of a pair by some hundredths of a degree.
        start = min(angles, key=abs)
        order = sorted(
            range(len(angles)), key=lambda i: (round(abs(angles[i] - start), 1), -angles[i])
        )
    else:
        order = list(range(len(angles)))[:: 1 if acquisition == "ascending" else -1]
    exposure = np.empty(len(angles))
    exposure[order] = np.arange(len(angles)) * per_tilt
    return replace(series, exposure_e_per_angst2=exposure)


def _defocus_at(tilts_deg: Float64s, text: str, path: Path) -> Float64s:
    """Mean defocus at each tilt, µm; of ranges of views the one with the nearest centre."""
    if path.suffix.lower() != ".defocus":
        raise _fail(path, "expected an IMOD .defocus file; estimate the defocus with ctfplotter")
    low, high, defocus_um = _defocus_rows(text, path).reshape(-1, 3).T
    centre, half = 0.5 * (low + high), 0.5 * np.abs(high - low)
    found = np.empty(len(tilts_deg))
    for index, tilt in enumerate(tilts_deg):
        # The small margin keeps 3.0 and 3.1 a match.
        away = np.abs(centre - tilt)
        away[away > half + ANGLE_MATCH_DEG + 1e-9] = math.inf
        nearest = np.isfinite(away) & (away <= away.min(initial=math.inf) + 1e-9)
        if not nearest.any():
            raise _fail(path, f"expected a defocus for the tilt at {tilt:g} degrees, found none")
        if np.ptp(centre[nearest]) <= 1e-9 and np.ptp(defocus_um[nearest]) > 0:
            raise _fail(path, f"expected one defocus for the tilt at {tilt:g} degrees, found two")
        found[index] = defocus_um[nearest].mean()
    return found


def _defocus_rows(text: str, path: Path) -> Float64s:
    """(n, 3): first and last angle in degrees, mean defocus in µm."""
    lines = (line for line in text.splitlines() if line.strip())
    table = [
        [number_in(word, f"a column of entry {row}", path) for word in line.split()]
        for row, line in enumerate(lines, start=1)
    ]
    version = table[0][5] if len(table[0]) > 5 else 1
    if version not in {2, 3}:
        raise _fail(path, f"expected IMOD defocus version 2 or 3, found {version:g}; save it again")
    flags = int(table[0][0]) if version == 3 else 0
    wide, sign = bool(flags & HAS_ASTIGMATISM), -1.0 if flags & INVERTED_ANGLES else 1.0
    phase_column = 7 if wide else 5
    need = phase_column + 1 if flags & HAS_PHASE else 7 if wide else 5
    rows = table[1:] if version == 3 else table
    for number, row in enumerate(rows, start=1):
        if len(row) < need:
            raise _fail(path, f"expected {need} columns for entry {number}, found {len(row)}")
        if flags & HAS_PHASE and row[phase_column] != 0.0:
            raise _fail(path, f"expected no phase plate, found a phase shift in entry {number}")
    nm = [0.5 * (row[4] + row[5]) if wide else row[4] for row in rows]
    return np.array(
        [[sign * row[2], sign * row[3], value * 1e-3] for row, value in zip(rows, nm, strict=True)]
    )
