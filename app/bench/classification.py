"""`tomodx bench classification`: networks that name subtomograms, trained and scored alike."""

from collections.abc import Callable
from pathlib import Path

from app.bench.classification_adapted import adaptation_rows
from app.bench.classification_central import central_rows
from app.bench.classification_int8 import int8_rows
from app.bench.classification_known import calibration_rows, speed_rows, supervised_rows
from app.bench.classification_runs import Runs
from app.bench.classification_shipped import shipped_rows
from app.bench.classification_states import state_rows
from app.bench.classification_strangers import stranger_rows
from app.bench.classification_table import table_rows
from app.bench.classification_tasks import task_rows
from app.bench.classification_taught import distillation_rows
from app.bench.classification_unseen import unseen_rows
from app.bench.result import BenchResult, BenchRow

PARTS: tuple[Callable[[Runs], list[BenchRow]], ...] = (
    supervised_rows, table_rows, distillation_rows, adaptation_rows, task_rows, unseen_rows,
    calibration_rows, stranger_rows, shipped_rows, central_rows, state_rows, speed_rows, int8_rows,
)  # fmt: skip


def run(tier: str, device: str, work: Path, on_progress: Callable[[float], None]) -> BenchResult:
    """Every part in turn; what is trained is kept in `work` and not trained again."""
    rows: list[BenchRow] = []
    number, furthest = 0, 0.0

    def on_training(fraction: float) -> None:
        """A part trains several networks: what is shown never falls."""
        nonlocal furthest
        furthest = max(furthest, (number + 0.9 * fraction) / len(PARTS))
        on_progress(furthest)

    runs = Runs(tier, device, work, on_training)
    for number, part in enumerate(PARTS):
        rows += part(runs)
        on_progress((number + 1) / len(PARTS))
    return BenchResult("classification", tier, tuple(rows))
