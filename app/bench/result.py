"""What a benchmark returns: rows with figure, interval, goal and baseline."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from engine.segmentation.inference import available_cores


@dataclass(frozen=True)
class BenchRow:
    """One figure.

    Attributes
    ----------
    low, high
        95 % interval; None where there is none to give.
    goal
        None where none is set.
    baseline
        What the figure is to be read beside, in words with its number.
    """

    metric: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class BenchResult:
    """All figures of one benchmark run."""

    name: str
    tier: str
    rows: tuple[BenchRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {
            "name": self.name,
            "tier": self.tier,
            "machine": machine(),
            "rows": [asdict(row) for row in self.rows],
        }

    def to_text(self) -> str:
        """One line a figure."""
        lines = [f"{self.name} ({self.tier})"]
        for row in self.rows:
            interval = (
                "" if row.low is None or row.high is None else f" ({row.low:.3g} to {row.high:.3g})"
            )
            goal = "" if row.goal is None else f"; goal {row.goal:g}"
            beside = "" if row.baseline is None else f"; {row.baseline}"
            lines.append(f"  {row.metric}: {row.value:.4g} {row.unit}{interval}{goal}{beside}")
        return "\n".join(lines)


def machine() -> str:
    """The processor and cores in words."""
    return f"{platform.machine()}, {available_cores()} cores, Python {platform.python_version()}"


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean."""
    rng = np.random.default_rng(seed)
    data = np.asarray(values, dtype=np.float64)
    means = data[rng.integers(len(data), size=(2000, len(data)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
