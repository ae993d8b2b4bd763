"""Training a network on a simulated pool: resumable, seeded, CPU or GPU."""

import csv
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.arrays import Float64s
from engine.errors import BadInputError, MissingFileError
from engine.segmentation.inference import load_network
from models.calibration import Calibration, calibrate
from models.finished import averaged, read_uncalibrated
from models.losses import coarse_loss, distillation_loss, fine_loss
from models.patches import Batch, PatchSampler
from models.recipe import Recipe
from models.registry import finished_folder
from models.table import ARCHITECTURES
from models.training_pool import build_pool, pool_folder
from models.validation import seen_member, validation_metrics
from models.warm_start import take_weights

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY = 50
# Batches whose statistics stand for all when training starts from a finished network.
CALIBRATION_BATCHES = 6
# Patches are cut and changed on the CPU: one core does it for another, a GPU needs many.
SAMPLING_THREADS = {"cuda": 12}
# The shipped weights are a running average of the last hundred or so steps.
AVERAGE_DECAY = 0.99
POOL_SHARE = 0.35
FEWEST_TO_HOLD_OUT = 3
# Above this (and for NaN) a gradient is a fault of the arithmetic, not of the data.
LARGEST_GRADIENT = 1e3


@dataclass(frozen=True)
class TrainedNetwork:
    """A calibrated network in evaluation mode and what it reached on held-out pool members."""

    network: nn.Module
    recipe: Recipe
    calibration: Calibration
    metrics: dict[str, float]


def make_network(recipe: Recipe) -> nn.Module:
    """The untrained network of a recipe; weights depend on its seed."""
    torch.manual_seed(recipe.seed)
    architecture = ARCHITECTURES[recipe.architecture]
    return architecture.make(recipe.channels, len(recipe.outputs), 1 + len(recipe.context))


def train(
    recipe: Recipe,
    work_folder: Path,
    device: str = "cpu",
    on_progress: Callable[[float], None] | None = None,
    labelled: Sequence[Path] = (),
    spectra: Sequence[Float64s] = (),
) -> TrainedNetwork:
    """Train or go on training; checkpoints, log and pool live in `work_folder`.

    One member in ten of the pool is never trained on: it gives the card's metrics and calibrates
    the network. A recipe of no steps calibrates the network that it starts from on all of them.

    Parameters
    ----------
    labelled
        Further members, a site's own; half of the patches are theirs. Of three or more the last
        is never trained on and gives the metrics in place of the pool's.
    spectra
        Of unlabelled tomograms, see `models.foreign_spectra`.

    Raises
    ------
    MissingFileError
        A network that it starts from or is taught by is neither in the work folder nor shipped.
    """
    report = on_progress or (lambda fraction: None)
    # Simulating the pool takes long: what training starts from must be there before.
    for name in (*recipe.ancestors, *([recipe.teacher] if recipe.teacher else ())):
        finished_folder(name, work_folder)
    paths = build_pool(work_folder, recipe.pool, device, lambda done: report(POOL_SHARE * done))
    held_out = paths if recipe.steps == 0 else _held_out(paths)
    own = list(labelled)
    if len(own) >= FEWEST_TO_HOLD_OUT:
        held_out = [own.pop()]
    shown = [path for path in paths if path not in held_out]
    sampler = PatchSampler(shown if recipe.steps else paths, recipe, own, spectra)
    run = _Run(recipe, work_folder, device)
    if run.step == 0 and recipe.ancestors:
        run.start_from(sampler)
    for batch in sampler.batches(run.step, recipe.steps, SAMPLING_THREADS.get(device, 1)):
        run.advance(batch)
        report(POOL_SHARE + (0.97 - POOL_SHARE) * run.step / recipe.steps)
    trained = _finished(run, held_out)
    report(1.0)
    return trained


def load_checkpoint(recipe: Recipe, work_folder: Path) -> TrainedNetwork:
    """The network of the last checkpoint of a run, finished or not.

    Raises
    ------
    MissingFileError
        The work folder holds no checkpoint of this recipe.
    """
    run = _Run(recipe, work_folder, "cpu")
    if run.step == 0:
        raise MissingFileError(
            f"{recipe.name}: no checkpoint in {work_folder}; run `tomodx train` there first"
        )
    paths = sorted(pool_folder(work_folder, recipe.pool).glob("[0-9]*[0-9]"))
    return _finished(run, _held_out(paths[: recipe.pool.n_tomograms]))


def _held_out(paths: list[Path]) -> list[Path]:
    """One member in ten, of both families in turn."""
    chosen = [path for index, path in enumerate(paths) if index % 10 in (8, 9)]
    return chosen[: len(paths) // 10]


def _finished(run: "_Run", held_out: list[Path]) -> TrainedNetwork:
    network = run.average.module.eval().cpu()
    seen = [seen_member(network, run.recipe, path) for path in held_out]
    calibration, seen = calibrate(network, run.recipe, seen)
    metrics = validation_metrics(seen, run.recipe, calibration.thresholds)
    return TrainedNetwork(network, run.recipe, calibration, metrics)


class _Teacher:
    """A finished network whose probabilities another one is taught."""

    def __init__(self, recipe: Recipe, work_folder: Path, device: str) -> None:
        self.network = load_network(finished_folder(recipe.teacher or "", work_folder), device)
        spec = self.network.spec
        if spec.context != recipe.context or not set(recipe.outputs) <= set(spec.outputs):
            raise BadInputError(
                f"{recipe.name}: its teacher {spec.name} is shown {list(spec.context)} and knows "
                f"{list(spec.outputs)}; the recipe must ask for the same"
            )
        self.order = [spec.outputs.index(name) for name in recipe.outputs]

    def probabilities(self, images: Tensor) -> Tensor:
        """What it makes of images (n, 1 + context, z, y, x): (n, outputs, z, y, x)."""
        logits = [self.network.runtime.run(one.numpy())[self.order] for one in images.contiguous()]
        return torch.sigmoid(torch.from_numpy(np.stack(logits)))


class _Run:
    """State of one training run, restored from its checkpoint where there is one."""

    def __init__(self, recipe: Recipe, work_folder: Path, device: str) -> None:
        self.recipe, self.work_folder, self.device = recipe, work_folder, torch.device(device)
        self.folder = work_folder / recipe.name
        self.folder.mkdir(parents=True, exist_ok=True)
        network = make_network(recipe).to(self.device)
        if not any(isinstance(one, nn.Conv2d) for one in network.modules()):
            # Convolutions run a third faster on the CPU in this layout.
            network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.network = network
        self.teacher = _Teacher(recipe, work_folder, device) if recipe.teacher else None
        self.average = torch.optim.swa_utils.AveragedModel(
            network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE_DECAY),
            use_buffers=True,
        )
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.learning_rate, total_steps=recipe.steps + 1, pct_start=0.15
        )
        self.step = 0
        self._restore()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def start_from(self, sampler: PatchSampler) -> None:
        """Begin with the weights of finished networks instead of random ones."""
        folders = [finished_folder(name, self.work_folder) for name in self.recipe.ancestors]
        finished = averaged([read_uncalibrated(folder) for folder in folders])
        images = (self._images(sampler.batch(-1 - one)) for one in range(CALIBRATION_BATCHES))
        taken = take_weights(self.network, finished, self.recipe.outputs, images)
        self.average.module.load_state_dict(self.network.state_dict())
        logger.info("%s starts with %d layers of %s", self.recipe.name, taken, finished.name)

    def _images(self, batch: Batch) -> Tensor:
        return batch.images.to(self.device).contiguous(memory_format=torch.channels_last_3d)

    def advance(self, batch: Batch) -> None:
        """One optimiser step; writes the log, and a checkpoint now and then."""
        started = time.perf_counter()
        self.network.train()
        images = self._images(batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
            outputs = self.network(images)
        loss = self._loss(outputs.float(), batch.targets.to(self.device))
        if self.teacher is not None:
            taught = self.teacher.probabilities(batch.images).to(self.device)
            loss = loss + distillation_loss(outputs.float(), taught)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        if float(norm) < LARGEST_GRADIENT:
            self.optimiser.step()
        else:
            logger.warning("step %d is left out: gradient norm %.1e", self.step, float(norm))
        self.optimiser.zero_grad()
        self.schedule.step()
        self.average.update_parameters(self.network)
        self.step += 1
        with (self.folder / "training.csv").open("a", newline="", encoding="utf-8") as log:
            seconds = time.perf_counter() - started
            csv.writer(log).writerow([self.step, f"{float(loss.detach()):.4f}", f"{seconds:.2f}"])
        if self.step % CHECKPOINT_EVERY == 0 or self.step == self.recipe.steps:
            self._save()

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.recipe.task == "coarse":
            return coarse_loss(outputs, targets)
        return fine_loss(outputs, targets, self.recipe.outputs)

    def _parts(
        self,
    ) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
        }

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        beside = self.checkpoint_path.with_suffix(".tmp")
        torch.save({"step": self.step, **state}, beside)
        beside.rename(self.checkpoint_path)

    def _restore(self) -> None:
        if not self.checkpoint_path.is_file():
            return
        state = torch.load(self.checkpoint_path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step = int(state["step"])
        # The schedule follows the recipe as it is now, also where its length was changed.
        self.schedule.last_epoch = self.step
        logger.info("training of %s goes on at step %d", self.recipe.name, self.step)
