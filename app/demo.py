"""The whole way on one simulated case: tomograms, analysis, report."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from app.context import OnProgress, Settings
from app.demo_case import (
    DONOR,
    MANIFEST,
    TOMOGRAMS,
    DemoParams,
    TrueCounts,
    open_demo_folder,
    part_of,
    simulate_case,
)
from app.method import AnalysisMethod
from app.pipeline import BUSY_POLL_S, analyse_stored_tomogram, default_method
from app.reporting import WrittenReport, report_donor
from cohorts.manifest import read_manifest
from cohorts.store import Store, open_store
from diagnostics.locked_model import LockedModel
from diagnostics.reference import Reference, load_reference
from engine.errors import PipelineError

REPORT = "report"
SIMULATING, ANALYSING = 0.45, 0.5


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes
    ----------
    settings
        Those given, with the store of the demo where none was named.
    truth
        What is really in each tomogram, to hold the report against.
    """

    folder: Path
    settings: Settings
    truth: tuple[TrueCounts, ...]
    written: WrittenReport

    @property
    def data_root(self) -> Path:
        """Folder of the tomograms."""
        return self.folder / TOMOGRAMS


@dataclass(frozen=True)
class DemoTools:
    """What the demo uses; by default what is shipped, made when it is needed."""

    method: AnalysisMethod | None = None
    shipped: tuple[Reference, LockedModel] | None = None


def run_demo(
    folder: Path,
    params: DemoParams,
    settings: Settings,
    on_progress: OnProgress,
    tools: DemoTools | None = None,
) -> Demo:
    """Simulate a case, analyse it, report on it; what an earlier run finished is not redone.

    Parameters
    ----------
    folder
        New, empty, or of an earlier run of the same case.
    params
        Seed and number of tomograms.
    settings
        Without a store, `store.sqlite` and `artifacts` in the folder are used.
    on_progress
        Takes a fraction in [0, 1].
    tools
        Analysis and reference cohort.

    Raises
    ------
    BadInputError, OutputNotWritableError
        The folder holds something else or cannot be written.
    ModelFileError
        A network or the reference's model is absent or altered.
    PipelineError
        A tomogram could not be analysed.
    """
    tools = tools or DemoTools()
    # Before minutes of work: what is shipped must be there.
    shipped = tools.shipped or load_reference()
    method = tools.method or default_method(settings.device)
    open_demo_folder(folder, params)
    if settings.store is None:
        settings = replace(settings, store=str(folder / "store.sqlite"))
    truth = simulate_case(
        folder, params, settings.device, lambda fraction: on_progress(SIMULATING * fraction)
    )
    store = open_store(settings.store_url)
    store.add_cohort(read_manifest(folder / MANIFEST))
    _analyse(store, settings, method, lambda f: on_progress(SIMULATING + ANALYSING * f))
    written = report_donor(store, DONOR, folder / REPORT, settings, shipped=shipped)
    store.close()
    on_progress(1.0)
    return Demo(folder, settings, tuple(truth), written)


def _analyse(
    store: Store, settings: Settings, method: AnalysisMethod, on_progress: OnProgress
) -> None:
    """Analyse the tomograms of the demo's donor alone, whatever else the store holds."""
    names = [row.tomogram_id for row in store.tomograms(DONOR)]
    for index, name in enumerate(names):
        while True:
            outcome = analyse_stored_tomogram(
                store,
                name,
                method,
                settings.artifacts_folder,
                settings.device,
                part_of(on_progress, index, len(names)),
            )
            if outcome.outcome != "busy":
                break
            time.sleep(BUSY_POLL_S)
        if outcome.outcome == "failed":
            raise PipelineError(f"{name}: {outcome.message}", tomogram_id=name)
