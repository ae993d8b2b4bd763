"""Every feature of a case in one literal table; a new feature is one row here."""

from dataclasses import dataclass
from typing import Literal

from engine.errors import BadInputError

Aggregation = Literal["mean"]
Direction = Literal["high", "low", "either", "none"]


@dataclass(frozen=True)
class Feature:
    """One feature: what it is called, what it means and how it is printed.

    Attributes
    ----------
    name
        Stable name, as in `measurements.json` and in feature tables; carries the unit.
    unit
        UCUM-like unit of stored values: `1`, `nm`, `um3`, `/um3`, `nm/um3`.
    label
        Plain words for a reader who never saw the name.
    definition
        How it is counted or measured, in one sentence.
    aggregation
        How a donor's value follows from the values of the donor's tomograms.
    direction
        Side of the reference range that is looked for; a value on the other side is marked as
        not looked for. `none` for values that describe the recording rather than the cell.
    display_unit, display_factor, decimals
        How it is printed: stored value times factor, rounded.
    upper_bound
        Largest possible value, or None; every feature is at least 0.
    """

    name: str
    unit: str
    label: str
    definition: str
    aggregation: Aggregation = "mean"
    direction: Direction = "either"
    display_unit: str = ""
    display_factor: float = 1.0
    decimals: int = 1
    upper_bound: float | None = None


FEATURES: tuple[Feature, ...] = (
    Feature(
        "mitochondria_count",
        "1",
        "Mitochondria per tomogram",
        "Separated mitochondria with any part in the field of view, cut ones included.",
        direction="high",
    ),
    Feature(
        "mitochondria_count_whole",
        "1",
        "Whole mitochondria per tomogram",
        "Mitochondria that no face of the volume cuts.",
        direction="high",
    ),
    Feature(
        "mitochondria_count_unbiased",
        "1",
        "Mitochondria per tomogram, border-corrected",
        "Mitochondria counted by the unbiased brick: those that reach the last section, row or "
        "column are left out, so that each is counted in one of all fields it lies in.",
        direction="high",
    ),
    Feature(
        "mitochondria_density_per_um3",
        "/um3",
        "Mitochondria per volume of cell",
        "Mitochondria with any part in the field of view over the volume of cell in it.",
        direction="high",
        display_unit="per µm³",
        decimals=2,
    ),
    Feature(
        "mitochondria_volume_fraction",
        "1",
        "Share of the cell filled by mitochondria",
        "Volume of all mitochondria over the volume of cell in the field of view.",
        direction="high",
        display_unit="%",
        display_factor=100.0,
        decimals=2,
        upper_bound=1.0,
    ),
    Feature(
        "mitochondrion_volume_mean_um3",
        "um3",
        "Mean volume of a mitochondrion",
        "Mean volume of the whole mitochondria of a tomogram; cut ones would bias it.",
        display_unit="µm³",
        decimals=4,
    ),
    Feature(
        "mitochondrion_sphericity_mean",
        "1",
        "Mean roundness of mitochondria",
        "Mean sphericity pi^(1/3) (6 V)^(2/3) / A of the whole mitochondria; 1 is a ball.",
        decimals=3,
        upper_bound=1.0,
    ),
    Feature(
        "mitochondrion_length_mean_nm",
        "nm",
        "Mean length of a mitochondrion",
        "Length of the middle line of whole mitochondria, from surface to surface, mean.",
        display_unit="nm",
        decimals=0,
    ),
    Feature(
        "mitochondrion_branches_mean",
        "1",
        "Branches of a mitochondrion",
        "Branches that stick out of the middle line of whole mitochondria, mean.",
        decimals=2,
    ),
    Feature(
        "mitochondrion_membrane_distance_mean_nm",
        "nm",
        "Distance of mitochondria to the cell's outline",
        "Nearest place without cell, seen from each mitochondrion; mean.",
        display_unit="nm",
        decimals=0,
    ),
    Feature(
        "mito_abnormal_fraction",
        "1",
        "Share of abnormal mitochondria",
        "Mitochondria that a network trained on simulation calls swollen, or round and poor in "
        "cristae, over all whose state it tells.",
        display_unit="%",
        display_factor=100.0,
        decimals=0,
        upper_bound=1.0,
    ),
    Feature(
        "microtubule_count",
        "1",
        "Microtubules per tomogram",
        "Traced microtubules in the field of view after gaps are closed.",
        direction="low",
    ),
    Feature(
        "microtubule_length_total_nm",
        "nm",
        "Microtubule length per tomogram",
        "Sum of the arc lengths of all traced microtubules, on the fitted splines.",
        direction="low",
        display_unit="µm",
        display_factor=1e-3,
        decimals=2,
    ),
    Feature(
        "microtubule_length_mean_nm",
        "nm",
        "Mean length of a microtubule",
        "Mean arc length of the traced microtubules; those cut by the border count as far as "
        "they are seen.",
        direction="low",
        display_unit="µm",
        display_factor=1e-3,
        decimals=2,
    ),
    Feature(
        "microtubule_length_density_nm_per_um3",
        "nm/um3",
        "Microtubule length per volume of cell",
        "Total microtubule length over the volume of cell in the field of view.",
        direction="low",
        display_unit="µm per µm³",
        display_factor=1e-3,
        decimals=1,
    ),
    Feature(
        "microtubule_censored_fraction",
        "1",
        "Share of microtubules cut by the border",
        "Traced microtubules that leave the volume at one end or both, over all traced.",
        direction="none",
        display_unit="%",
        display_factor=100.0,
        decimals=0,
        upper_bound=1.0,
    ),
    Feature(
        "microtubule_curvature_rms_per_um",
        "/um",
        "Curvature of microtubules",
        "Root mean square curvature of microtubules of 100 nm and more, over chords of 30 nm.",
        display_unit="per µm",
        decimals=2,
    ),
    Feature(
        "microtubule_order",
        "1",
        "Common direction of microtubules",
        "Nematic order of chords of microtubules: 1 where all are parallel, near 0 where none is.",
        decimals=2,
        upper_bound=1.0,
    ),
    Feature(
        "microtubule_band_turns",
        "1",
        "Turns of the marginal band",
        "Microtubules along the cell's rim, mean number over places 25 nm apart.",
        direction="low",
    ),
    Feature(
        "microtubule_band_integrity",
        "1",
        "Integrity of the marginal band",
        "Share of the cell's rim in view with a microtubule along it.",
        direction="low",
        display_unit="%",
        display_factor=100.0,
        decimals=0,
        upper_bound=1.0,
    ),
    Feature(
        "alpha_granule_count",
        "1",
        "Alpha granules per tomogram",
        "Separated alpha granules with any part in the field of view.",
    ),
    Feature(
        "dense_granule_count",
        "1",
        "Dense granules per tomogram",
        "Separated dense granules with any part in the field of view.",
    ),
    Feature(
        "vesicle_count",
        "1",
        "Vesicles per tomogram",
        "Separated vesicles with any part in the field of view.",
    ),
    Feature(
        "cell_volume_imaged_um3",
        "um3",
        "Volume of cell in the field of view",
        "Volume of the tomogram that holds cell: neither ice outside the cell nor artefact.",
        direction="none",
        display_unit="µm³",
        decimals=2,
    ),
    Feature(
        "specimen_thickness_nm",
        "nm",
        "Thickness of the specimen",
        "Thickness of the layer that holds material, along the beam.",
        direction="none",
        display_unit="nm",
        decimals=0,
    ),
)

FEATURES_BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}


def feature_named(name: str) -> Feature:
    """The row of `name`; BadInputError where the table has none."""
    try:
        return FEATURES_BY_NAME[name]
    except KeyError:
        known = ", ".join(FEATURES_BY_NAME)
        message = f"expected a feature of the table, found {name!r}; known: {known}"
        raise BadInputError(message) from None


def display_number(feature: Feature, value: float) -> str:
    """`value` (stored unit) as it is printed, without unit: `12.3`, `−0.4`, `< 0.01`."""
    shown = value * feature.display_factor
    smallest = 10.0**-feature.decimals
    if 0 < abs(shown) < smallest / 2:
        return f"< {smallest:.{feature.decimals}f}"
    return f"{shown:,.{feature.decimals}f}".replace("-", "−").replace(",", " ")
