"""`tomodx bench classification`: networks that name subtomograms, trained and scored alike."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import app.bench
import engine
import models
from app.bench.classification_adapted import adaptation_rows
from app.bench.classification_central import central_rows
from app.bench.classification_chapter import chapter_rows
from app.bench.classification_few import averaged_rows, few_example_rows, stack_rows
from app.bench.classification_int8 import int8_rows
from app.bench.classification_known import (
    begun_rows,
    calibration_rows,
    compact_rows,
    limit_rows,
    reference_rows,
    speed_rows,
)
from app.bench.classification_runs import Runs, scored_if_at_hand
from app.bench.classification_sets import densities_folder
from app.bench.classification_shipped import shipped_rows
from app.bench.classification_states import state_rows
from app.bench.classification_strangers import stranger_rows
from app.bench.classification_table import table_rows
from app.bench.classification_tasks import task_rows
from app.bench.classification_taught import distillation_rows
from app.bench.classification_unseen import unseen_rows
from app.bench.kept_rows import KeptRows, digest_of_files
from app.bench.result import BenchResult, BenchRow
from engine.segmentation.network_files import MANIFEST_FILE
from models.registry import TRAINED_FOLDER

# In the order of their rows; each is kept when it is measured.
PARTS: tuple[Callable[[Runs], list[BenchRow]], ...] = (
    limit_rows, compact_rows, begun_rows, reference_rows, chapter_rows, table_rows,
    distillation_rows, adaptation_rows, task_rows, unseen_rows, few_example_rows, averaged_rows,
    stack_rows, calibration_rows, stranger_rows, shipped_rows, central_rows, state_rows,
    speed_rows, int8_rows,
)  # fmt: skip
# What rows rest on, beside the tier and the known structures.
PACKAGES = (engine, models, app.bench)


def run(tier: str, device: str, work: Path, on_progress: Callable[[float], None]) -> BenchResult:
    """Every part in turn; what is trained or measured is kept in `work`, and not done again.

    Rows are measured anew where program, shipped networks, tier or known structures are others.
    """
    rows: list[BenchRow] = []
    number, furthest = 0, 0.0

    def on_training(fraction: float) -> None:
        """A part trains several networks: what is shown never falls."""
        nonlocal furthest
        furthest = max(furthest, (number + 0.9 * fraction) / len(PARTS))
        on_progress(furthest)

    runs = Runs(tier, device, work, on_training)
    kept = KeptRows(work / "rows", f"{tier}-{_digest(runs)}")
    for number, part in enumerate(PARTS):
        rows += kept.measured(part.__name__, partial(part, runs))
        on_progress((number + 1) / len(PARTS))
    return BenchResult("classification", tier, tuple(rows))


def _digest(runs: Runs) -> str:
    """Of the program, the shipped networks, the densities and finished large networks at hand."""
    sources = [path for one in PACKAGES for path in Path(one.__path__[0]).rglob("*.py")]
    densities = densities_folder()
    known = sorted(densities.glob("*.mrc")) if densities else []
    found = [*sources, *TRAINED_FOLDER.glob(f"*/{MANIFEST_FILE}"), *known]
    return digest_of_files(found, [] if runs.tier == "full" else scored_if_at_hand(runs.work))
