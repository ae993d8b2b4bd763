"""One new simulated case on disk: tomograms, their truth, the manifest."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from app.context import Device, OnProgress
from app.reference_cohort import field_params, read_cohort_recipe
from diagnostics.panels import panel_named
from engine import __version__
from engine.errors import BadInputError, OutputNotWritableError
from engine.io.digests import write_text_atomically
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.truth_files import write_truth
from engine.simulation.case import SimulatedTomogram, simulate_tomogram
from engine.simulation.params import SimulationParams

DONOR = "DEMO-01"
STATE, MANIFEST, TOMOGRAMS = "demo.json", "manifest.csv", "tomograms"
TRUTH, COUNTS = "truth", "counts.json"


@dataclass(frozen=True)
class DemoParams:
    """What makes a demo case; a folder holds one case and can only be gone on with.

    Attributes
    ----------
    seed
        The same seed gives the same case.
    n_tomograms
        The platelet panel asks for three or more.
    """

    seed: int
    n_tomograms: int = 3


@dataclass(frozen=True)
class TrueCounts:
    """What is really in one tomogram of the case."""

    tomogram: str
    mitochondria: int
    microtubule_length_nm: float


def open_demo_folder(folder: Path, params: DemoParams) -> None:
    """Make the folder, or check that it holds an earlier, perhaps unfinished run of this case.

    Raises
    ------
    BadInputError
        It holds something else, or the demo of another seed or version.
    OutputNotWritableError
        It cannot be made or written.
    """
    wanted = {"software": __version__, **asdict(params)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = _state(folder)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputNotWritableError(
            f"expected a folder for the demo that can be written, found {folder} ({reason}); "
            "choose another with --out"
        ) from error
    if found not in ({}, wanted):
        seed = (found or {}).get("seed")
        what = "files of others" if seed is None else f"the demo of seed {seed}"
        raise BadInputError(
            f"expected an empty folder or a demo of seed {params.seed} by TomoDx {__version__}, "
            f"found {what} in {folder}; choose another with --out"
        )
    write_text_atomically(folder / STATE, json.dumps(wanted, indent=1) + "\n")


def _state(folder: Path) -> dict[str, object] | None:
    """What an earlier run noted; {} for an empty folder, None for one of others."""
    if not any(folder.iterdir()):
        return {}
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        return None
    return found if isinstance(found, dict) else None


def simulate_case(
    folder: Path, params: DemoParams, device: Device, on_progress: OnProgress
) -> list[TrueCounts]:
    """Simulate what is not there yet; writes tomograms, truth and manifest.

    A tomogram is written after its truth, so that one that is there is complete.
    """
    (folder / TOMOGRAMS).mkdir(exist_ok=True)
    names = [f"{DONOR}_{number + 1}" for number in range(params.n_tomograms)]
    rows = []
    for index, (name, (drawn, seed)) in enumerate(zip(names, case_params(params), strict=True)):
        path = folder / TOMOGRAMS / f"{name}.mrc"
        if not path.is_file():
            simulated = simulate_tomogram(
                drawn,
                seed=seed,
                tomogram_id=name,
                device="cuda" if device == "cuda" else "cpu",
                on_progress=part_of(on_progress, index, len(names)),
            )
            _write_truth(simulated, folder / TRUTH / name)
            write_volume(
                path,
                simulated.tomogram.voxels,
                simulated.tomogram.voxel_size_angst,
                label=f"{SIMULATED_WORDS} platelet, seed {seed}",
            )
        rows.append(_manifest_row(path, drawn))
    table = _csv(tuple(rows[0]), [tuple(row.values()) for row in rows])
    write_text_atomically(folder / MANIFEST, table)
    on_progress(1.0)
    return [_read_truth(folder / TRUTH / name) for name in names]


def part_of(on_progress: OnProgress, index: int, n: int) -> OnProgress:
    """Progress of item `index` of `n` as progress of the whole."""
    return lambda fraction: on_progress((index + fraction) / n)


def case_params(params: DemoParams) -> list[tuple[SimulationParams, int]]:
    """Draw a further donor of the reference cohort's positive group, as the cohort's were drawn.

    Returns
    -------
    list[tuple[SimulationParams, int]]
        Parameters and seed of each tomogram.
    """
    recipe = read_cohort_recipe()
    positive = panel_named("platelet").positive_group
    group = next(one for one in recipe.groups if one.name == positive)
    rng = np.random.default_rng([recipe.seed, params.seed, len(DONOR)])
    factors = np.exp(rng.normal(0.0, recipe.donor_spread, size=2))
    seeds = [int(seed) for seed in rng.integers(2**31, size=params.n_tomograms)]
    rates = (group.mean_mitochondria * factors[0], group.mean_microtubules * factors[1])
    return [(field_params(recipe, *rates, seed), seed) for seed in seeds]


def _manifest_row(path: Path, drawn: SimulationParams) -> dict[str, object]:
    """A new case has no group: that is what the report is asked for."""
    acquisition = drawn.acquisition
    return {
        "donor": DONOR,
        "group": "",
        "site": "simulated",
        "tomogram": f"{TOMOGRAMS}/{path.name}",
        "voxel_size_angst": repr(round(10.0 * acquisition.voxel_size_nm, 4)),
        "tilt_min_deg": repr(acquisition.tilt_range.min_deg),
        "tilt_max_deg": repr(acquisition.tilt_range.max_deg),
        "contrast": "bright",
    }


def _write_truth(simulated: SimulatedTomogram, folder: Path) -> None:
    truth = simulated.truth
    write_truth(truth, folder)
    counts = TrueCounts(
        folder.name, truth.count("mitochondrion"), round(truth.microtubule_length_nm, 2)
    )
    write_text_atomically(folder / COUNTS, json.dumps(asdict(counts), indent=1) + "\n")


def _read_truth(folder: Path) -> TrueCounts:
    return TrueCounts(**json.loads((folder / COUNTS).read_text(encoding="utf-8")))


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()
