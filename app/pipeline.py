"""The cohort pipeline: every tomogram analysed once, whatever happens in between."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from app.context import Device, OnProgress, Settings
from app.executors import InProcess, LocalProcesses
from app.method import AnalysisMethod
from cohorts.store import ArtifactRow, StepClaim, Store, TomogramRow, open_store
from cohorts.store.heartbeat import heartbeat
from engine import __version__
from engine.data.provenance import parameters_digest
from engine.data.tomogram import TiltRange
from engine.errors import MissingFileError, PipelineError
from engine.io.digests import sha256_of

logger = logging.getLogger(__name__)

STEP = "analyze"
BUSY_POLL_S = 1.0
Outcome = Literal["done", "skipped", "busy", "failed"]


@dataclass(frozen=True)
class StepOutcome:
    """What became of one tomogram."""

    tomogram_id: str
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True)
class CohortRun:
    """What became of a run: tomograms analysed, done before, and failed with their reasons."""

    n_done: int
    n_skipped: int
    failed: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {
            "n_analysed": self.n_done,
            "n_done_before": self.n_skipped,
            "n_failed": len(self.failed),
            "failed": [
                {"tomogram": tomogram, "reason": reason} for tomogram, reason in self.failed
            ],
        }


@dataclass(frozen=True)
class _Task:
    store_url: str
    tomogram_id: str
    method: AnalysisMethod
    artifacts_folder: Path
    device: Device


def content_key(row: TomogramRow, input_sha256: str, method: AnalysisMethod) -> str:
    """SHA-256 of all that a result depends on; the file's name and place are not part of it."""
    acquisition = {
        "voxel_size_angst": row.voxel_size_angst,
        "tilt_min_deg": row.tilt_min_deg,
        "tilt_max_deg": row.tilt_max_deg,
        "contrast": row.contrast,
    }
    identity = {
        "step": STEP,
        "software": __version__,
        "parameters": parameters_digest(method.parameters),
        "acquisition": acquisition,
        "input": input_sha256,
        "models": sorted(model.sha256 for model in method.models),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def run_cohort(
    store: Store,
    settings: Settings,
    on_progress: OnProgress,
    workers: int = 1,
    *,
    method: AnalysisMethod | None = None,
) -> CohortRun:
    """Analyse every tomogram of the store whose content key is not done.

    Parameters
    ----------
    store
        Steps that another live run holds are waited for, and taken over if that run dies.
    settings
        Artifacts folder and device.
    on_progress
        Fraction of the tomograms.
    workers
        Processes; 1 stays in this one.
    method
        The analysis; by default the one that this release ships.

    Returns
    -------
    CohortRun
        A tomogram that fails does not stop the others; it is tried again by the next run.
    """
    chosen = method or default_method(settings.device)
    pending = [
        _Task(store.url, row.tomogram_id, chosen, settings.artifacts_folder, settings.device)
        for row in store.tomograms()
    ]
    total = max(len(pending), 1)
    ended: dict[str, StepOutcome] = {}
    on_progress(0.0)
    while pending:
        for result in _outcomes(store, pending, workers, lambda f: on_progress(f / total), ended):
            if result.outcome != "busy":
                ended[result.tomogram_id] = result
            on_progress(len(ended) / total)
        pending = [task for task in pending if task.tomogram_id not in ended]
        if pending:
            time.sleep(BUSY_POLL_S)
    on_progress(1.0)
    return CohortRun(
        n_done=sum(item.outcome == "done" for item in ended.values()),
        n_skipped=sum(item.outcome == "skipped" for item in ended.values()),
        failed=tuple(
            (item.tomogram_id, item.message) for item in ended.values() if item.outcome == "failed"
        ),
    )


def default_method(device: Device) -> AnalysisMethod:
    """Return the analysis with the shipped networks.

    Raises
    ------
    ModelFileError
        A network file is absent or altered.
    """
    # The inference stack takes seconds to import: commands that only read tables do without.
    from app.shipped import shipped_method  # noqa: PLC0415

    return shipped_method(device)


def _outcomes(
    store: Store,
    tasks: list[_Task],
    workers: int,
    on_tomograms: OnProgress,
    ended: dict[str, StepOutcome],
) -> Iterator[StepOutcome]:
    if workers > 1 and len(tasks) > 1:
        return LocalProcesses(workers).run(_run_task, tasks)
    within = lambda fraction: on_tomograms(len(ended) + fraction)  # noqa: E731
    return InProcess().run(partial(_run_here, store=store, on_progress=within), tasks)


def _run_here(task: _Task, store: Store, on_progress: OnProgress) -> StepOutcome:
    return analyse_stored_tomogram(
        store, task.tomogram_id, task.method, task.artifacts_folder, task.device, on_progress
    )


def _run_task(task: _Task) -> StepOutcome:
    """Run in a process of a pool."""
    return _run_here(task, _store_of_process(task.store_url), lambda fraction: None)


@lru_cache(maxsize=1)
def _store_of_process(url: str) -> Store:
    return open_store(url)


def analyse_stored_tomogram(
    store: Store,
    tomogram_id: str,
    method: AnalysisMethod,
    artifacts_folder: Path,
    device: Device = "auto",
    on_progress: OnProgress | None = None,
) -> StepOutcome:
    """Analyse one tomogram of the store, unless its content key is done or in other hands.

    Parameters
    ----------
    store
        Holds the tomogram and gets the measurements.
    tomogram_id
        In the store.
    method
        The analysis.
    artifacts_folder
        Files go to a folder there named after the content key.
    device
        For the networks.
    on_progress
        May raise to stop: the step is then handed back.

    Raises
    ------
    BadInputError
        The tomogram is not in the store.
    """
    row = store.tomogram(tomogram_id)
    try:
        key = content_key(row, _input_sha256(store, row), method)
    except (PipelineError, OSError) as error:
        return StepOutcome(tomogram_id, "failed", str(error))
    claim = _claim(store, key, tomogram_id)
    if claim.outcome == "done":
        store.attach_analysis(tomogram_id, key)
        return StepOutcome(tomogram_id, "skipped")
    if claim.outcome == "busy":
        return StepOutcome(tomogram_id, "busy")
    with heartbeat(lambda: store.renew_step(claim)):
        return _run_step(store, row, claim, method, artifacts_folder / key, device, on_progress)


def _claim(store: Store, key: str, tomogram_id: str) -> StepClaim:
    """Claim the step; a done one whose files are gone is opened again first."""
    claim = store.claim_step(key, STEP, tomogram_id)
    folder = store.analysis_folder(key) if claim.outcome == "done" else None
    if claim.outcome == "done" and (folder is None or not Path(folder).is_dir()):
        store.reopen_step(key)
        return store.claim_step(key, STEP, tomogram_id)
    return claim


def _run_step(
    store: Store,
    row: TomogramRow,
    claim: StepClaim,
    method: AnalysisMethod,
    folder: Path,
    device: Device,
    on_progress: OnProgress | None,
) -> StepOutcome:
    began = time.monotonic()
    try:
        analysis = method.analyse(
            Path(row.path),
            folder,
            voxel_size_angst=row.voxel_size_angst,
            contrast=row.contrast,
            tilt_range=_tilt_range(row),
            device=device,
            on_progress=on_progress,
        )
        files = _digests(folder)
    except (PipelineError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        store.finish_step(claim, "failed", reason)
        logger.warning("%s: analysis failed: %s", row.tomogram_id, reason)
        return StepOutcome(row.tomogram_id, "failed", reason)
    except BaseException:
        store.finish_step(claim, "queued", "interrupted")
        raise
    log = f"analysed in {time.monotonic() - began:.1f} s"
    recorded = store.record_analysis(
        row.tomogram_id, claim.key, folder, analysis.measurements, files=files, claim=claim, log=log
    )
    logger.info("%s: %s", row.tomogram_id, log)
    return StepOutcome(row.tomogram_id, "done" if recorded else "busy")


def _tilt_range(row: TomogramRow) -> TiltRange | None:
    if row.tilt_min_deg is None or row.tilt_max_deg is None:
        return None
    return TiltRange(row.tilt_min_deg, row.tilt_max_deg)


def _input_sha256(store: Store, row: TomogramRow) -> str:
    """Digest of the tomogram's file, remembered by size and time of change."""
    path = Path(row.path)
    if not path.is_file():
        raise MissingFileError(f"{row.tomogram_id}: {path.name} is not there any more")
    stat = path.stat()
    known = store.file_sha256(row.tomogram_id, stat.st_size, stat.st_mtime_ns)
    if known is None:
        known = sha256_of(path)
        store.remember_file(row.tomogram_id, known, stat.st_size, stat.st_mtime_ns)
    return known


def _digests(folder: Path) -> list[ArtifactRow]:
    return [
        ArtifactRow(path.name, sha256_of(path), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]
