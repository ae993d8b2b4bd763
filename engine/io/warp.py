"""Tilt series as Warp and M describe them: XML metadata and .tomostar tables."""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import starfile

from engine.data.arrays import Float64s
from engine.data.tilt_series import TiltSeriesMetadata
from engine.errors import BadInputError


def series_from_warp_xml(text: str, path: Path) -> TiltSeriesMetadata:
    """Tilts of a Warp tilt series XML; those with `UseTilt` False are left out.

    `Dose` is taken as the exposure accumulated before each tilt. The defocus is the mean of the
    `GridCTF` nodes of a tilt (along Z), in micrometres; without that grid, the `Defocus` of `CTF`.
    A `Dose` of 0 throughout means that none was recorded, unless there is a single tilt.

    Raises
    ------
    BadInputError
        Not such a file, or a list does not have one value for each angle.
    """
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise BadInputError(f"{path.name}: expected Warp XML without a document type", path=path)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadInputError(
            f"{path.name}: expected the XML of a Warp tilt series, found broken XML ({error}); "
            "export it again",
            path=path,
        ) from error
    if root.find("Angles") is None:
        raise BadInputError(
            f"{path.name}: expected the XML of a Warp tilt series, found <{root.tag}> without "
            "<Angles>; give the file of the tilt series, not that of a movie",
            path=path,
        )
    angles = _numbers(root, "Angles", path)
    n_tilts = len(angles)
    used = _used(root, n_tilts, path)
    exposure = np.full(n_tilts, math.nan)
    if root.find("Dose") is not None:
        exposure = _one_each(_numbers(root, "Dose", path), "Dose", n_tilts, path)
        if n_tilts > 1 and not exposure.any():
            exposure = np.full(n_tilts, math.nan)
    optics = _ctf_params(root, path)
    defocus = _grid_defocus_um(root, n_tilts, path)
    if defocus is None:
        defocus = np.full(n_tilts, optics.get("Defocus", math.nan))
    if optics.get("PhaseShift", 0.0) != 0.0:
        raise _phase_error(path)
    return TiltSeriesMetadata.in_any_order(
        angles[used],
        exposure[used],
        defocus[used],
        voltage_kv=optics.get("Voltage"),
        spherical_aberration_mm=optics.get("Cs"),
        amplitude_contrast=optics.get("Amplitude"),
        source=path.name,
    )


def _phase_error(path: Path) -> BadInputError:
    return BadInputError(
        f"{path.name}: expected a tilt series without phase plate, found a phase shift; "
        "give the tilts without contrast transfer",
        path=path,
    )


def _entries(root: ElementTree.Element, tag: str) -> list[str]:
    """One text for each line; empty ones inside are kept, so that a gap keeps its place."""
    text = (root.findtext(tag) or "").strip()
    return [line.strip() for line in text.splitlines()]


def _numbers(root: ElementTree.Element, tag: str, path: Path) -> Float64s:
    values = [
        number_in(entry, f"<{tag}> of tilt {index}", path)
        for index, entry in enumerate(_entries(root, tag), start=1)
    ]
    return np.array(values, dtype=np.float64)


def number_in(text: str | None, what: str, path: Path) -> float:
    """Parse a finite number or refuse, naming the file and what is missing."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInputError(
            f"{path.name}: expected a number as {what}, found {text or 'nothing'!r}", path=path
        )
    return value


def _one_each(values: Float64s, tag: str, n_tilts: int, path: Path) -> Float64s:
    if len(values) != n_tilts:
        first = min(len(values), n_tilts) + 1
        raise BadInputError(
            f"{path.name}: expected one <{tag}> for each of {n_tilts} <Angles>, found "
            f"{len(values)} (first without a partner: tilt {first})",
            path=path,
        )
    return values


def _used(root: ElementTree.Element, n_tilts: int, path: Path) -> np.ndarray[tuple[int], np.dtype]:
    entries = [entry.lower() for entry in _entries(root, "UseTilt")]
    if root.find("UseTilt") is None:
        return np.ones(n_tilts, dtype=np.bool_)
    for index, entry in enumerate(entries, start=1):
        if entry not in {"true", "false"}:
            raise BadInputError(
                f"{path.name}: expected True or False as <UseTilt> of tilt {index}, found "
                f"{entry!r}",
                path=path,
            )
    used = np.array([entry == "true" for entry in entries], dtype=np.bool_)
    _one_each(used.astype(np.float64), "UseTilt", n_tilts, path)
    if not used.any():
        raise BadInputError(
            f"{path.name}: expected at least 1 tilt in use, found <UseTilt> False for all",
            path=path,
        )
    return used


def _ctf_params(root: ElementTree.Element, path: Path) -> dict[str, float]:
    wanted = {"Voltage", "Cs", "Amplitude", "Defocus", "PhaseShift"}
    return {
        name: number_in(param.get("Value"), f"CTF parameter {name}", path)
        for param in root.iterfind("CTF/Param")
        if (name := param.get("Name", "")) in wanted
    }


def _grid_defocus_um(root: ElementTree.Element, n_tilts: int, path: Path) -> Float64s | None:
    """Mean over the nodes of each tilt; a grid of depth 1 holds for all tilts."""
    grid = root.find("GridCTF")
    if grid is None:
        return None
    values: dict[int, list[float]] = {}
    for node in grid.iterfind("Node"):
        z = int(number_in(node.get("Z"), "Z of a GridCTF node", path))
        value = number_in(node.get("Value"), f"GridCTF value of tilt {z + 1}", path)
        values.setdefault(z, []).append(value)
    depth = int(number_in(grid.get("Depth", "1"), "depth of GridCTF", path))
    if depth == 1 and set(values) == {0}:
        return np.full(n_tilts, np.mean(values[0]))
    missing = [index + 1 for index in range(n_tilts) if index not in values]
    if missing or depth != n_tilts or len(values) != n_tilts:
        detail = f"no defocus for tilt {missing[0]}" if missing else f"depth {depth}"
        raise BadInputError(
            f"{path.name}: expected GridCTF nodes for each of {n_tilts} tilts, found {detail}; "
            "estimate the defocus per tilt",
            path=path,
        )
    return np.array([np.mean(values[index]) for index in range(n_tilts)], dtype=np.float64)


def series_from_tomostar(path: Path) -> TiltSeriesMetadata:
    """Tilts of a Warp .tomostar: `wrpAngleTilt`, and `wrpDose` where there is one.

    Raises
    ------
    BadInputError
        Not such a table, or a value is missing.
    """
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=["wrpMovieName"])
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path.name}: expected a STAR table of tilts, found text that does not parse "
            f"({error})".splitlines()[0],
            path=path,
        ) from error
    tables = [block for block in blocks.values() if "wrpAngleTilt" in block]
    if len(tables) != 1:
        raise BadInputError(
            f"{path.name}: expected one STAR table with wrpAngleTilt, found {len(tables)}; "
            "import the tilt series in Warp again",
            path=path,
        )
    table = tables[0]
    columns: dict[str, Float64s] = {}
    for name in ("wrpAngleTilt", "wrpDose"):
        if name in table:
            entries = np.atleast_1d(np.asarray(table[name])).tolist()
            columns[name] = np.array(
                [
                    number_in(str(entry), f"{name} of tilt {index}", path)
                    for index, entry in enumerate(entries, start=1)
                ],
                dtype=np.float64,
            )
    angles = columns["wrpAngleTilt"]
    unknown = np.full(len(angles), math.nan)
    exposure = columns.get("wrpDose", unknown)
    if len(angles) > 1 and not exposure.any():
        exposure = unknown
    return TiltSeriesMetadata.in_any_order(angles, exposure, unknown, source=path.name)
