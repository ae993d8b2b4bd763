"""Named numbers of one tomogram, each with an interval that carries segmentation uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.data.filaments import Filament
from engine.data.measurements import Measurement
from engine.data.organelles import Organelle

# One standard deviation of a traced end, from simulated tubes.
END_ERROR_NM = 4.0
NO_CELL = "no cytoplasm was found in this tomogram"
WEAK = "the networks of this version do not find {} well enough to measure"


def measure(
    organelles: Sequence[Organelle],
    filaments: Sequence[Filament],
    *,
    mitochondria_band: tuple[int, int],
    length_band_nm: tuple[float, float],
    cell_volume_um3: float,
    thickness_nm: float,
    weak_outputs: Sequence[str] = (),
) -> dict[str, Measurement]:
    """Every feature of a tomogram by name.

    Parameters
    ----------
    mitochondria_band, length_band_nm
        Smallest and largest result over the band of probability thresholds.
    cell_volume_um3, thickness_nm
        Of the specimen inside the volume; 0 where there is none.
    weak_outputs
        Network outputs that are not good enough to measure on: what rests on them is not
        assessable.
    """
    no_cell = NO_CELL
    if "void" in weak_outputs:
        cell_volume_um3 = thickness_nm = 0.0
        no_cell = WEAK.format("the cell's outline")
    mitochondria = [one for one in organelles if one.organelle_class == "mitochondrion"]
    values = {
        **_mitochondria(mitochondria, mitochondria_band, cell_volume_um3),
        **_microtubules(filaments, length_band_nm, cell_volume_um3),
    }
    for name in ("alpha_granule", "dense_granule", "vesicle"):
        found = [one for one in organelles if one.organelle_class == name]
        values[f"{name}_count"] = _count(found, (len(found), len(found)))
        if name in weak_outputs:
            values[f"{name}_count"] = _no("1", WEAK.format(f"{name.replace('_', ' ')}s"))
    for name, value, unit in (
        ("cell_volume_imaged_um3", cell_volume_um3, "um3"),
        ("specimen_thickness_nm", thickness_nm, "nm"),
    ):
        values[name] = _plain(value, unit, 0.05 * value, 1) if value > 0 else _no(unit)
    return {
        name: replace(one, not_assessable=no_cell) if one.not_assessable == NO_CELL else one
        for name, one in values.items()
    }


def _no(unit: str, reason: str = NO_CELL) -> Measurement:
    return Measurement(None, unit, None, None, 0, reason)


def _plain(value: float, unit: str, half_width: float, n: int) -> Measurement:
    return Measurement(value, unit, max(0.0, value - half_width), value + half_width, n)


def _count(found: Sequence[Organelle], band: tuple[int, int]) -> Measurement:
    """Count with the band over thresholds, widened by doubtful instances (Poisson-binomial)."""
    value = len(found)
    doubt = math.sqrt(sum(one.confidence * (1.0 - one.confidence) for one in found))
    low = max(0.0, min(band[0], value) - (1.96 * doubt if found else 0.0))
    high = max(band[1], value) + (1.96 * doubt if found else 0.0)
    return Measurement(float(value), "1", float(math.floor(low + 0.5)), float(round(high)), value)


def _mitochondria(
    found: Sequence[Organelle], band: tuple[int, int], cell_volume_um3: float
) -> dict[str, Measurement]:
    count = _count(found, band)
    whole = _count([one for one in found if not one.touches_border], (10**6, 0))
    # Unbiased: an object cut by the border is seen in two neighbouring fields, so it counts half.
    unbiased = sum(0.5 if one.touches_border else 1.0 for one in found)
    total = sum(one.volume_um3 for one in found)
    values = {
        "mitochondria_count": count,
        "mitochondria_count_whole": whole,
        "mitochondria_count_unbiased": _plain(
            unbiased, "1", float((count.high or 0) - (count.low or 0)) / 2.0, len(found)
        ),
        "mitochondria_density_per_um3": _no("/um3"),
        "mitochondria_volume_fraction": _no("1"),
        "mitochondrion_volume_mean_um3": _no("um3", "no mitochondrion was found"),
        "mitochondrion_sphericity_mean": _no("1", "no mitochondrion was found"),
    }
    if cell_volume_um3 > 0:
        low, high = (float(v or 0.0) / cell_volume_um3 for v in (count.low, count.high))
        values["mitochondria_density_per_um3"] = Measurement(
            len(found) / cell_volume_um3, "/um3", low, high, len(found)
        )
        share = total / cell_volume_um3
        values["mitochondria_volume_fraction"] = _plain(share, "1", 0.1 * share, len(found))
    if found:
        volumes = np.array([one.volume_um3 for one in found])
        shapes = np.array([one.sphericity for one in found])
        values["mitochondrion_volume_mean_um3"] = _mean(volumes, "um3", 0.05)
        values["mitochondrion_sphericity_mean"] = _mean(shapes, "1", 0.05)
    return values


def _mean(values: np.ndarray, unit: str, relative_error: float) -> Measurement:
    """Mean with its standard error and a relative measurement error, in quadrature."""
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    half = 1.96 * math.hypot(spread, relative_error * mean)
    return _plain(mean, unit, half, len(values))


def _microtubules(
    filaments: Sequence[Filament], band_nm: tuple[float, float], cell_volume_um3: float
) -> dict[str, Measurement]:
    lengths = [filament.length_nm for filament in filaments]
    total, n = float(sum(lengths)), len(lengths)
    ends = 1.96 * END_ERROR_NM * math.sqrt(2.0 * n)
    low = max(0.0, min(band_nm[0], total) - ends)
    high = max(band_nm[1], total) + ends
    doubt = math.sqrt(sum(one.confidence * (1.0 - one.confidence) for one in filaments))
    values = {
        "microtubule_count": _plain(float(n), "1", 1.96 * doubt, n),
        "microtubule_length_total_nm": Measurement(total, "nm", low, high, n),
        "microtubule_length_mean_nm": _no("nm", "no microtubule was found"),
        "microtubule_length_density_nm_per_um3": _no("nm/um3"),
        "microtubule_censored_fraction": _no("1", "no microtubule was found"),
    }
    if n:
        values["microtubule_length_mean_nm"] = _mean(np.array(lengths), "nm", 0.01)
        cut = sum(one.starts_at_border or one.ends_at_border for one in filaments)
        share = cut / n
        half = 1.96 * math.sqrt(max(share * (1 - share), 0.25 / n) / n)
        values["microtubule_censored_fraction"] = Measurement(
            share, "1", max(0.0, share - half), min(1.0, share + half), n
        )
    if cell_volume_um3 > 0:
        values["microtubule_length_density_nm_per_um3"] = Measurement(
            total / cell_volume_um3, "nm/um3", low / cell_volume_um3, high / cell_volume_um3, n
        )
    return values
