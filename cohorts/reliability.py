"""How alike the repeats of one donor are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.data.arrays import Float64s


def icc_one_way(
    values: Float64s, donors: Sequence[str], groups: Sequence[str | None] | None = None
) -> float | None:
    """ICC(1) of rows within donors, for any number of rows a donor.

    Parameters
    ----------
    values
        One a row; NaN rows are left out.
    donors
        Of each row.
    groups
        Where given, the means are compared within groups: the variance between donors is then
        that of donors about their group. Rows without a group are left out.

    Returns
    -------
    float or None
        None where no donor has two rows, there is no degree of freedom between donors, or
        nothing varies. Negative values are given as they are.

    References
    ----------
    Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420, case (1,1); unequal numbers by the
    mean number of Donner (1986), doi:10.2307/1403259.
    """
    frame = pd.DataFrame({"value": values, "donor": list(donors)})
    frame["group"] = "all" if groups is None else list(groups)
    frame = frame.dropna()
    n_donors, n_groups = frame["donor"].nunique(), frame["group"].nunique()
    n = len(frame)
    if n <= n_donors or n_donors <= n_groups:
        return None
    donor_mean = frame.groupby("donor")["value"].transform("mean").to_numpy()
    group_mean = frame.groupby("group")["value"].transform("mean").to_numpy()
    seen = frame["value"].to_numpy(dtype=np.float64)
    between = float(((donor_mean - group_mean) ** 2).sum()) / (n_donors - n_groups)
    within = float(((seen - donor_mean) ** 2).sum()) / (n - n_donors)
    typical = _typical_number(frame, n_donors - n_groups)
    total = between + (typical - 1) * within
    scale = float(np.abs(seen).max()) ** 2
    return None if total <= 1e-24 * scale else (between - within) / total


def _typical_number(frame: pd.DataFrame, degrees: int) -> float:
    """Rows a donor as they count in the expected mean square between donors."""
    sizes = frame.groupby(["group", "donor"]).size()
    per_group = [
        counts.sum() - (counts**2).sum() / counts.sum() for _, counts in sizes.groupby(level=0)
    ]
    return float(sum(per_group)) / degrees
