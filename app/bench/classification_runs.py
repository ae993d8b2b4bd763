"""Training runs of the classification benchmark: each once, kept in a work folder."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from app.bench.classification_sets import (
    BOX_VOX,
    PUBLISHED,
    TEST,
    Material,
    View,
    made_set,
    material,
    training_set,
)
from app.bench.result import BenchRow, bootstrap_mean
from engine.data.arrays import Bools, Float64s
from models.arithmetic import multiply_adds
from models.classifier_data import LabelledSubtomograms
from models.classifier_start import begin_with
from models.classifier_training import FitParams, Fitted, Objective, Validation, fit, logits_of
from models.reference_fitting import ReferenceParams, fit_references
from models.registry import TRAINED_FOLDER
from models.table import CLASSIFIERS, MULTI_REFERENCE

# Of training sets and first weights of our own network; all others take the first.
SEEDS = (0, 1, 2)
TEST_EACH = 1000
# What the quick tier trains; larger networks are scored where the work folder holds them.
LARGEST_QUICK = 0.2e9
FINISHED = "finished"
# Folders of parts that take an hour and more, whatever the network.
HOURS = ("table-", "tasks-")
# Features that were learnt from random complexes alone.
EMBEDDING_MODEL = "embedding-1"
# Whose statistics the BatchNorms of a begun network start with.
FIRST_IMAGES = 512

OURS = FitParams(epochs=24)
# From features that are learnt already.
BEGUN = FitParams(epochs=16, learning_rate=1.5e-3)


@dataclass
class Runs:
    """What all rows share; sets and networks are made when a row first asks.

    Attributes
    ----------
    work
        Keeps checkpoints: a stopped benchmark goes on, a finished network is only scored.
    on_training
        Told how far the present training, or set, is.
    """

    tier: str
    device: str
    work: Path
    on_training: Callable[[float], None] = lambda fraction: None
    _sets: dict[tuple[int, View], LabelledSubtomograms] = field(default_factory=dict)
    _tests: dict[View, LabelledSubtomograms] = field(default_factory=dict)
    _references: dict[tuple[int, View], Fitted] = field(default_factory=dict)

    @property
    def is_reduced(self) -> bool:
        """Whether the parts that take hours train on half as many.

        Without a GPU they do in both tiers: whole, they would take days.
        """
        return self.tier != "full" or not self._on_gpu

    @property
    def _on_gpu(self) -> bool:
        return self.device != "cpu" and torch.cuda.is_available()

    @cached_property
    def material(self) -> Material:
        """Structures."""
        return material()

    def test(self, view: View = PUBLISHED) -> LabelledSubtomograms:
        """10,000 subtomograms of the known classes that no training sees."""
        if view not in self._tests:
            self._tests[view] = made_set(
                self.material.known, view.conditions, TEST_EACH, (TEST,),
                on_progress=self.on_training,
            )  # fmt: skip
        return self._tests[view]

    def training(self, seed: int, view: View = PUBLISHED) -> LabelledSubtomograms:
        """200 subtomograms a class."""
        key = (seed, view)
        if key not in self._sets:
            self._sets[key] = training_set(self.material.known, seed, view)
        return self._sets[key]

    def compact(self, view: View, seed: int = 0) -> Fitted:
        """Ours, from random weights."""
        return self.trained("compact", seed, OURS, view=view)

    def references(self, view: View, seed: int = 0) -> Fitted:
        """Ours that averages the classes and compares in every pose."""
        key = (seed, view)
        if key not in self._references:
            self._references[key] = self.averaged(
                f"{MULTI_REFERENCE}{view.suffix}-{seed}",
                self.training(seed, view),
                ReferenceParams(seed=seed),
            )
        return self._references[key]

    def averaged(
        self,
        key: str,
        data: LabelledSubtomograms,
        params: ReferenceParams,
        strangers: Tensor | None = None,
    ) -> Fitted:
        """Classes averaged; averages that the work folder holds are not estimated again."""
        folder = self.work / key
        fitted = fit_references(
            data, params, strangers=strangers, folder=folder, on_progress=self.on_training
        )
        (folder / FINISHED).touch()
        return fitted

    def begun(
        self, view: View, *, key: str, seed: int = 0, data: LabelledSubtomograms | None = None
    ) -> Fitted | None:
        """`compact` that begins with the shipped embedding; None where there is none."""
        folder = TRAINED_FOLDER / EMBEDDING_MODEL
        if not folder.is_dir():
            return None
        data = self.training(seed, view) if data is None else data
        shown = torch.split(data.images[:FIRST_IMAGES], 64)
        return self.trained(
            "compact", seed, BEGUN, view=view, key=key, data=data,
            start=lambda network: begin_with(network, folder, shown),
        )  # fmt: skip

    def has(self, name: str, key: str) -> bool:
        """Whether there is a network to score: this tier trains its size, or it is finished."""
        n_classes = len(self.material.known)
        small = multiply_adds(name, BOX_VOX, n_classes) <= LARGEST_QUICK
        return self.tier == "full" or small or self.is_finished(key)

    def is_finished(self, key: str) -> bool:
        """Whether the work folder holds a trained network."""
        return (self.work / key / FINISHED).is_file()

    def trained(
        self,
        name: str,
        seed: int,
        params: FitParams,
        *,
        view: View = PUBLISHED,
        key: str | None = None,
        data: LabelledSubtomograms | None = None,
        objective: Objective | None = None,
        validation: Validation | None = None,
        make: Callable[[], nn.Module] | None = None,
        start: Callable[[nn.Module], object] | None = None,
    ) -> Fitted:
        """A network, trained or taken from the work folder.

        Parameters
        ----------
        key
            Folder in the work folder, where it is not just a network on the known classes.
        data
            Training set where it is not that of seed and view.
        make
            Gives a network that is not in the table of classifiers.
        start
            Changes the first weights.
        """
        data = self.training(seed, view) if data is None else data
        torch.manual_seed(seed)
        network = make() if make else CLASSIFIERS[name](BOX_VOX, len(data.class_names))
        if start is not None:
            start(network)
        folder = self.work / (key or f"{name}{view.suffix}-{seed}")
        folder.mkdir(parents=True, exist_ok=True)
        fitted = fit(
            network,
            data,
            replace(params, seed=seed),
            objective=objective,
            validation=validation,
            folder=folder,
            device="cuda" if self._on_gpu else "cpu",
            on_progress=self.on_training,
        )
        (folder / FINISHED).touch()
        return fitted


def scored_if_at_hand(work: Path) -> list[str]:
    """Finished networks in a work folder that the quick tier scores and does not train."""
    large = [
        name
        for name in CLASSIFIERS
        if name != MULTI_REFERENCE and multiply_adds(name, BOX_VOX, 10) > LARGEST_QUICK
    ]
    names = [path.parent.name for path in work.glob(f"*/{FINISHED}")]
    return sorted(name for name in names if name.startswith((*large, *HOURS)))


def right(network: nn.Module, data: LabelledSubtomograms) -> Bools:
    """Whether each subtomogram is named rightly, (n,)."""
    return np.asarray((logits_of(network, data.images).argmax(dim=1) == data.kinds).numpy())


def accuracy_row(
    metric: str, each: list[Bools], *, goal: float | None = None, baseline: str | None = None
) -> BenchRow:
    """Share of right names: mean over runs, interval over test subtomograms."""
    mean = np.mean([one.astype(np.float64) for one in each], axis=0)
    spread = f"; runs {', '.join(f'{one.mean():.3f}' for one in each)}" if len(each) > 1 else ""
    return BenchRow(
        metric, float(mean.mean()), "1", "higher", *bootstrap_mean(mean.tolist()), goal,
        f"{len(mean):,} subtomograms{spread}" + (f"; {baseline}" if baseline else ""),
    )  # fmt: skip


def auroc(known: Float64s, others: Float64s) -> float:
    """Area under the ROC curve of scores that should be larger for others than for known ones."""
    truth = np.repeat([0, 1], [len(known), len(others)])
    return float(roc_auc_score(truth, np.concatenate([known, others])))
