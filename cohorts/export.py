"""From the store to a feature table: one row an analysed tomogram."""

import pandas as pd

from cohorts.store import Store
from cohorts.tables import FeatureTable
from engine.errors import BadInputError

LEADING = (
    "donor",
    "group",
    "site",
    "tomogram",
    "simulated",
    "voxel_size_angst",
    "tilt_min_deg",
    "tilt_max_deg",
)


def feature_table(store: Store) -> FeatureTable:
    """Collect the current measurements of all donors.

    Parameters
    ----------
    store
        Tomograms that are not analysed yet have no row.

    Returns
    -------
    FeatureTable
        Donor, group, site, tomogram, whether simulated, acquisition, then features by name; NaN
        where a feature is not assessable.

    Raises
    ------
    BadInputError
        Nothing is analysed.
    """
    donors = {row.donor: row for row in store.donors()}
    tomograms = {row.tomogram_id: row for row in store.tomograms()}
    rows = []
    features: set[str] = set()
    for measured in store.measurements():
        tomogram = tomograms[measured.tomogram_id]
        donor = donors[tomogram.donor]
        values = {
            name: float("nan") if found.value is None else found.value
            for name, found in measured.values.items()
        }
        features.update(values)
        rows.append(
            {
                "donor": donor.donor,
                "group": donor.group or "",
                "site": donor.site or "",
                "tomogram": tomogram.tomogram_id,
                "simulated": measured.provenance.simulated,
                "voxel_size_angst": tomogram.voxel_size_angst,
                "tilt_min_deg": tomogram.tilt_min_deg,
                "tilt_max_deg": tomogram.tilt_max_deg,
                **values,
            }
        )
    if not rows:
        raise BadInputError("the store holds no analysed tomogram; run `tomodx cohort run` first")
    names = sorted(features)
    return FeatureTable(pd.DataFrame(rows, columns=[*LEADING, *names]), tuple(names))
