"""The shipped reference cohort, rebuilt: simulate tomograms, run the pipeline, lock the model."""

import json
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from app.context import OnProgress, Settings
from app.method import AnalysisMethod
from app.pipeline import default_method, run_cohort
from cohorts.export import feature_table
from cohorts.manifest import read_manifest
from cohorts.store import open_store
from cohorts.tables import FeatureTable, csv_text, read_feature_table
from diagnostics.locked_model import lock_model, model_to_json
from diagnostics.packaged import packaged_text
from diagnostics.panels import panel_named
from engine import __version__
from engine.data.provenance import parameters_digest
from engine.errors import PipelineError
from engine.io.digests import write_text_atomically
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.truth_files import write_truth
from engine.one_thread import one_thread_processes
from engine.segmentation.inference import available_cores
from engine.simulation.case import simulate_tomogram
from engine.simulation.params import Family, SimulationParams, draw_acquisition, draw_scene

REFERENCE = "platelet_simulated"
COMMAND = "tomodx reference --work DIR --out diagnostics/reference/platelet_simulated"
SIMULATING = 0.4


class GroupRecipe(BaseModel):
    """One group: donors and mean objects in a field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    donors: int
    mean_mitochondria: float
    mean_microtubules: float


class CohortRecipe(BaseModel):
    """How the reference cohort is simulated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int
    tomograms_per_donor: int
    shape: tuple[int, int, int]
    voxel_size_nm: float
    family: Family
    snr_range: tuple[float, float]
    donor_spread: float
    groups: tuple[GroupRecipe, ...]
    description: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class SimulatedDonor:
    """A donor's own rates and the seeds of its tomograms."""

    donor: str
    group: str
    site: str
    mean_mitochondria: float
    mean_microtubules: float
    seeds: tuple[int, ...]


def read_cohort_recipe() -> CohortRecipe:
    """Read the shipped recipe."""
    text = packaged_text("reference", REFERENCE, "recipe.yaml")
    return CohortRecipe.model_validate(yaml.safe_load(text))


def draw_donors(recipe: CohortRecipe) -> list[SimulatedDonor]:
    """Draw every donor; each depends on the seed and its own number alone."""
    donors: list[SimulatedDonor] = []
    for group in recipe.groups:
        for number in range(group.donors):
            rng = np.random.default_rng([recipe.seed, len(donors)])
            factors = np.exp(rng.normal(0.0, recipe.donor_spread, size=2))
            seeds = rng.integers(2**31, size=recipe.tomograms_per_donor)
            donors.append(
                SimulatedDonor(
                    donor=f"SIM-{len(donors) + 1:02d}",
                    group=group.name,
                    site=f"site-{1 + number % 2}",
                    mean_mitochondria=float(group.mean_mitochondria * factors[0]),
                    mean_microtubules=float(group.mean_microtubules * factors[1]),
                    seeds=tuple(int(seed) for seed in seeds),
                )
            )
    return donors


def field_params(
    recipe: CohortRecipe, mean_mitochondria: float, mean_microtubules: float, seed: int
) -> SimulationParams:
    """Draw one field of a donor with these rates."""
    rng = np.random.default_rng(seed)
    acquisition = draw_acquisition(
        recipe.family, rng, snr_range=recipe.snr_range, voxel_size_nm=recipe.voxel_size_nm
    )
    scene = draw_scene(
        rng,
        recipe.shape,
        recipe.voxel_size_nm,
        family=recipe.family,
        mean_mitochondria=mean_mitochondria,
        mean_microtubules=mean_microtubules,
    )
    return SimulationParams(scene, acquisition)


def build_reference(
    work: Path,
    settings: Settings,
    on_progress: OnProgress,
    workers: int = 1,
    *,
    recipe: CohortRecipe | None = None,
    method: AnalysisMethod | None = None,
) -> dict[str, str]:
    """Simulate and analyse what is missing in `work`; returns the shipped files by name.

    Raises
    ------
    PipelineError
        A tomogram could not be analysed; the finished ones are kept.
    """
    recipe = recipe or read_cohort_recipe()
    donors = draw_donors(recipe)
    _simulate(work, recipe, donors, lambda f: on_progress(SIMULATING * f))
    settings = replace(settings, store=str(work / "store.sqlite"))
    store = open_store(settings.store_url)
    try:
        store.add_cohort(read_manifest(work / "manifest.csv"))
        chosen = method or default_method(settings.device)
        outcome = run_cohort(
            store,
            settings,
            lambda f: on_progress(SIMULATING + (1.0 - SIMULATING) * f),
            workers,
            method=chosen,
        )
        if outcome.failed:
            tomogram, reason = outcome.failed[0]
            raise PipelineError(f"{len(outcome.failed)} tomograms failed; {tomogram}: {reason}")
        table = feature_table(store)
    finally:
        store.close()
    return _shipped_files(recipe, table, chosen, work)


def _simulate(
    work: Path, recipe: CohortRecipe, donors: list[SimulatedDonor], on_progress: OnProgress
) -> None:
    """Write the tomograms that are not there yet, on every core; then the manifest."""
    (work / "tomograms").mkdir(parents=True, exist_ok=True)
    fields = [
        (donor, f"{donor.donor}_{number}", seed)
        for donor in donors
        for number, seed in enumerate(donor.seeds, start=1)
    ]
    missing = [one for one in fields if not (work / "tomograms" / f"{one[1]}.mrc").is_file()]
    with one_thread_processes(max(1, min(available_cores(), len(missing)))) as workers:
        running = [workers.submit(_simulate_field, work, recipe, *one) for one in missing]
        for done, field in enumerate(as_completed(running), start=1):
            field.result()
            on_progress(1.0 - (len(missing) - done) / len(fields))
    lines = ["donor,group,site,tomogram,voxel_size_angst,tilt_min_deg,tilt_max_deg,contrast"]
    for donor, name, seed in fields:
        tilts = _params_of(recipe, donor, seed).acquisition.tilt_range
        lines.append(
            f"{donor.donor},{donor.group},{donor.site},tomograms/{name}.mrc,"
            f"{10.0 * recipe.voxel_size_nm:g},{tilts.min_deg:g},{tilts.max_deg:g},bright"
        )
    write_text_atomically(work / "manifest.csv", "\n".join(lines) + "\n")


def _params_of(recipe: CohortRecipe, donor: SimulatedDonor, seed: int) -> SimulationParams:
    return field_params(recipe, donor.mean_mitochondria, donor.mean_microtubules, seed)


def _simulate_field(
    work: Path, recipe: CohortRecipe, donor: SimulatedDonor, name: str, seed: int
) -> None:
    """Write one tomogram, after its truth."""
    simulated = simulate_tomogram(_params_of(recipe, donor, seed), seed=seed, tomogram_id=name)
    write_truth(simulated.truth, work / "truth" / name)
    write_volume(
        work / "tomograms" / f"{name}.mrc",
        simulated.tomogram.voxels,
        simulated.tomogram.voxel_size_angst,
        label=f"{SIMULATED_WORDS} platelet, seed {seed}",
    )


def _shipped_files(
    recipe: CohortRecipe, table: FeatureTable, method: AnalysisMethod, work: Path
) -> dict[str, str]:
    """`features.csv`, `model.json`, `provenance.json` as texts.

    The model is locked on the table as it is read back: its hash must be that of the file.
    """
    features = csv_text(table.frame)
    write_text_atomically(work / "features.csv", features)
    table = read_feature_table(work / "features.csv")
    model = lock_model(table, panel_named("platelet"), simulated=True)
    provenance: dict[str, Any] = {
        "name": recipe.name,
        "simulated": True,
        "description": recipe.description,
        "assumptions": list(recipe.assumptions),
        "software_version": __version__,
        "command": COMMAND,
        "recipe_sha256": parameters_digest(recipe.model_dump()),
        "analysis_parameters_sha256": parameters_digest(method.parameters),
        "models": {digest.name: digest.sha256 for digest in method.models},
    }
    return {
        "features.csv": features,
        "model.json": model_to_json(model),
        "provenance.json": _json(provenance),
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
