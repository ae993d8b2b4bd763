"""Named numbers of one tomogram, each with an interval that carries segmentation uncertainty."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from engine.data.filaments import Filament
from engine.data.labels import NORMAL_STATE
from engine.data.measurements import Measurement
from engine.data.organelles import Organelle
from engine.segmentation.filament_shape import (
    curvature_rms_per_um,
    filament_interval,
    nematic_order,
)
from engine.segmentation.marginal_band import MarginalBand

# One standard deviation of a traced end, from simulated tubes.
END_ERROR_NM = 4.0
# Places along the rim farther apart than this are taken for independent (a short microtubule).
INDEPENDENT_RIM_NM = 300.0
FilamentMeasure = Callable[[Sequence[Filament]], float | None]
NO_CELL = "no cytoplasm was found in this tomogram"
WEAK = "the networks of this version do not find {} well enough to measure"
NO_OUTPUT = "the networks of this version do not look for {}"
NO_RIM = "less than 300 nm of the cell's rim are in view"
NO_MITOCHONDRION = "no mitochondrion was found"
# What is not assessable where an output is weak.
RESTS_ON_OUTLINE = (
    "mitochondrion_membrane_distance_mean_nm",
    "microtubule_band_turns",
    "microtubule_band_integrity",
)
RESTS_ON = {
    "inner_mitochondrial_membrane": (
        "crista_volume_ratio_mean",
        "crista_junctions_mean",
        "mitochondrion_membrane_spacing_mean_nm",
    ),
    "outer_mitochondrial_membrane": ("mitochondrion_membrane_spacing_mean_nm",),
    "ribosome": ("ribosome_count", "ribosome_density_per_um3"),
    "matrix_granule": ("matrix_granules_mean", "matrix_granule_diameter_mean_nm"),
}


def measure(
    organelles: Sequence[Organelle],
    filaments: Sequence[Filament],
    *,
    mitochondria_band: tuple[int, int],
    length_band_nm: tuple[float, float],
    cell_volume_um3: float,
    thickness_nm: float,
    n_ribosomes: int | None = None,
    band: MarginalBand | None = None,
    weak_outputs: Sequence[str] = (),
) -> dict[str, Measurement]:
    """Every feature of a tomogram by name.

    Parameters
    ----------
    mitochondria_band, length_band_nm
        Smallest and largest result over the band of probability thresholds.
    cell_volume_um3, thickness_nm
        Of the specimen inside the volume; 0 where there is none.
    n_ribosomes
        None where the networks do not look for them.
    band
        The rim in view and its microtubules; None where too little of a rim is in view.
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
        **_filament_shapes(filaments),
        **_marginal_band(band),
        **_ribosomes(n_ribosomes, cell_volume_um3),
    }
    if "void" in weak_outputs:
        values |= {name: _no(values[name].unit, no_cell) for name in RESTS_ON_OUTLINE}
    for output, names in RESTS_ON.items():
        if output in weak_outputs:
            reason = WEAK.format(f"{output.replace('_', ' ')}s")
            values |= {name: _no(values[name].unit, reason) for name in names}
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
    unbiased = sum(one.is_counted_unbiased for one in found)
    total = sum(one.volume_um3 for one in found)
    values = {
        "mitochondria_count": count,
        "mitochondria_count_whole": whole,
        "mitochondria_count_unbiased": _plain(
            unbiased, "1", float((count.high or 0) - (count.low or 0)) / 2.0, len(found)
        ),
        "mitochondria_density_per_um3": _no("/um3"),
        "mitochondria_volume_fraction": _no("1"),
        "mitochondrion_volume_mean_um3": _no("um3", NO_MITOCHONDRION),
        "mitochondrion_sphericity_mean": _no("1", NO_MITOCHONDRION),
        "mito_abnormal_fraction": _abnormal(found),
        **_each_mitochondrion(found),
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
        mean = _mean(shapes, "1", 0.05)
        # A ball has 1, and nothing has more.
        highest = None if mean.high is None else min(1.0, mean.high)
        values["mitochondrion_sphericity_mean"] = replace(mean, high=highest)
    return values


def _abnormal(found: Sequence[Organelle]) -> Measurement:
    """Share that is swollen or round and poor in cristae, of those whose state was told."""
    known = [one for one in found if one.state is not None]
    if not known:
        return _no("1", "no mitochondrion's state was told" if found else NO_MITOCHONDRION)
    n = len(known)
    share = sum(one.state != NORMAL_STATE for one in known) / n
    doubts = [one.state_probability or 0.0 for one in known]
    of_calls = sum(each * (1.0 - each) for each in doubts) / n**2
    half = 1.96 * math.sqrt(max(share * (1.0 - share), 0.25 / n) / n + of_calls)
    return Measurement(share, "1", max(0.0, share - half), min(1.0, share + half), n)


def _each_mitochondrion(found: Sequence[Organelle]) -> dict[str, Measurement]:
    """Means over the mitochondria that have the value; length and branches of whole ones only."""
    whole = [one for one in found if not one.touches_border]
    rows = (
        ("mitochondrion_length_mean_nm", "nm", [one.length_nm for one in whole], 0.05,
         "no whole mitochondrion was found"),
        ("mitochondrion_branches_mean", "1", [one.n_branches for one in whole], 0.1,
         "no whole mitochondrion was found"),
        ("mitochondrion_membrane_distance_mean_nm", "nm",
         [one.membrane_distance_nm for one in found], 0.1,
         "no outline of the cell is in view beside a mitochondrion"),
        ("mitochondrion_membrane_spacing_mean_nm", "nm",
         [one.membrane_spacing_nm for one in found], 0.1,
         "both membranes of no mitochondrion were seen apart"),
        # Twice the error of a mean over five mitochondria of development tomograms.
        ("crista_volume_ratio_mean", "1", [one.crista_volume_ratio for one in found], 0.35,
         "both membranes of no mitochondrion were seen apart"),
        ("crista_junctions_mean", "1", [one.n_crista_junctions for one in found], 0.2,
         "the inner membrane of no mitochondrion was seen"),
        ("matrix_granules_mean", "1", [one.n_matrix_granules for one in found], 0.2,
         NO_OUTPUT.format("matrix granules")),
        ("matrix_granule_diameter_mean_nm", "nm",
         [one.matrix_granule_diameter_nm for one in found], 0.15,
         "no matrix granule was found"),
    )  # fmt: skip
    values = {}
    for name, unit, each, error, reason in rows:
        known = np.array([value for value in each if value is not None], dtype=np.float64)
        if len(known):
            values[name] = _mean(known, unit, error)
        else:
            values[name] = _no(unit, reason if found else NO_MITOCHONDRION)
    return values


def _filament_shapes(filaments: Sequence[Filament]) -> dict[str, Measurement]:
    """Curvature and common direction, with bootstrap intervals over filaments."""
    values = {}
    rows: tuple[tuple[str, str, FilamentMeasure, str], ...] = (
        ("microtubule_curvature_rms_per_um", "/um", curvature_rms_per_um,
         "no microtubule of 100 nm was found"),
        ("microtubule_order", "1", nematic_order, "no microtubule was found"),
    )  # fmt: skip
    for name, unit, measured, reason in rows:
        value = measured(filaments)
        interval = filament_interval(filaments, measured)
        if value is None:
            values[name] = _no(unit, reason)
        elif interval is None:
            values[name] = _no(unit, "a single microtubule gives no interval")
        else:
            low, high = min(interval[0], value), max(interval[1], value)
            values[name] = Measurement(value, unit, low, high, len(filaments))
    return values


def _marginal_band(band: MarginalBand | None) -> dict[str, Measurement]:
    """Turns and integrity; places within a microtubule's length are not independent."""
    if band is None:
        return {
            "microtubule_band_turns": _no("1", NO_RIM),
            "microtubule_band_integrity": _no("1", NO_RIM),
        }
    independent = max(1.0, band.rim_nm / INDEPENDENT_RIM_NM)
    spread = float(band.crossings.std()) / math.sqrt(independent)
    share = band.integrity
    doubt = 1.96 * math.sqrt(max(share * (1.0 - share), 0.25 / independent) / independent)
    n = len(band.crossings)
    return {
        "microtubule_band_turns": _plain(band.turns, "1", 1.96 * max(spread, 0.1), n),
        "microtubule_band_integrity": Measurement(
            share, "1", max(0.0, share - doubt), min(1.0, share + doubt), n
        ),
    }


def _ribosomes(count: int | None, cell_volume_um3: float) -> dict[str, Measurement]:
    """Count with its Poisson interval and the share that a network misses or invents."""
    if count is None:
        reason = NO_OUTPUT.format("ribosomes")
        return {
            "ribosome_count": _no("1", reason),
            "ribosome_density_per_um3": _no("/um3", reason),
        }
    half = 1.96 * math.hypot(math.sqrt(count + 1.0), 0.15 * count)
    values = {"ribosome_count": _plain(float(count), "1", half, count)}
    values["ribosome_density_per_um3"] = (
        _plain(count / cell_volume_um3, "/um3", half / cell_volume_um3, count)
        if cell_volume_um3 > 0
        else _no("/um3")
    )
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
