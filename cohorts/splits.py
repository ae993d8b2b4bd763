"""Who is left out together, and proof that nobody is on both sides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cohorts.tables import DonorMeans
from engine.data.arrays import Ints
from engine.errors import BadInputError


@dataclass(frozen=True)
class Split:
    """Positions of donors to train on and to predict."""

    name: str
    train: Ints
    test: Ints


def splits(means: DonorMeans) -> Iterator[Split]:
    """Leave one donor out, or one value of the fold column where the table has one.

    Raises
    ------
    BadInputError
        Fewer than two donors or folds.
    """
    units = means.donors if means.folds is None else means.folds
    names = list(dict.fromkeys(units))
    if len(names) < 2:
        what = "donors" if means.folds is None else "folds"
        raise BadInputError(f"validation: expected at least two {what}, found {len(names)}")
    values = np.array(units, dtype=object)
    for name in names:
        test = np.flatnonzero(values == name)
        train = np.flatnonzero(values != name)
        assert_no_leak([means.donors[i] for i in train], [means.donors[i] for i in test])
        yield Split(name, train, test)


def assert_no_leak(
    train: Sequence[str],
    test: Sequence[str],
    *,
    shared: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
) -> None:
    """Refuse a split that puts one donor, grid or session on both sides.

    Parameters
    ----------
    train, test
        Donors of the rows on each side.
    shared
        Further units that must not cross, by name: values of the rows on each side (grid,
        session). Empty values are ignored.

    Raises
    ------
    BadInputError
        Naming every unit that is on both sides.
    """
    sides = {"donor": (train, test), **(shared or {})}
    crossing = {
        name: sorted((set(left) & set(right)) - {""}) for name, (left, right) in sides.items()
    }
    faults = [f"{name} {', '.join(values)}" for name, values in crossing.items() if values]
    if faults:
        raise BadInputError(
            f"the split leaks: on both sides of it are {'; '.join(faults)}; "
            "keep each of them on one side"
        )
