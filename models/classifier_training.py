"""Training a network that names subtomograms: resumable, stopped early, seeded."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Ints
from models.classifier_data import (
    LabelledSubtomograms,
    augmented,
    epoch_batches,
    require_every_class,
    stratified_split,
)

logger = logging.getLogger(__name__)

# Loss of what a network makes of a batch, given the batch and its indices in the training part.
Objective = Callable[[Any, LabelledSubtomograms, Ints], Tensor]
# The training part of an epoch, by its number; what is held out stays.
Renewal = Callable[[int], LabelledSubtomograms]
# How wrong a network is on held-out examples.
Validation = Callable[[nn.Module, LabelledSubtomograms], float]
Precision = Literal["float32", "bfloat16"]
CHECKPOINT_FILE = "checkpoint.pt"
AVERAGE_DECAY = 0.98
# Share of the steps in which the rate rises, and how many a schedule must have for it to rise.
WARMING, LEAST_STEPS = 0.2, 11


@dataclass(frozen=True)
class FitParams:
    """How long and how fast a network is trained.

    Attributes
    ----------
    optimiser
        `adamw` with a one-cycle schedule, or `sgd`: Nesterov momentum 0.9 at a constant rate, as
        the published networks were trained.
    patience
        Epochs without a lower validation loss after which training stops; 0 for never.
    held_out
        Share of every class that is kept for validation.
    balanced
        Draw classes alike, whatever their numbers.
    mirrored
        Augment by mirror images too: for what has no hand.
    precision
        Of the products of a training step; weights, losses and validation keep 32 bits. 0.45 to
        0.85 of the time of a step where the processor has such products, slower elsewhere.
    """

    epochs: int
    batch: int = 32
    learning_rate: float = 3e-3
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    patience: int = 0
    held_out: float = 0.1
    balanced: bool = True
    augment: bool = True
    mirrored: bool = False
    precision: Precision = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """A trained network in evaluation mode, and what it made of what was held out.

    Attributes
    ----------
    losses
        Validation loss after each epoch.
    shown, held_out
        The part that was trained on, and the validation part: calibration belongs there.
    """

    network: nn.Module
    losses: tuple[float, ...]
    shown: LabelledSubtomograms
    held_out: LabelledSubtomograms


def fit(
    network: nn.Module,
    data: LabelledSubtomograms,
    params: FitParams,
    *,
    objective: Objective | None = None,
    validation: Validation | None = None,
    renewal: Renewal | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    on_progress: Callable[[float], None] | None = None,
) -> Fitted:
    """Train `network` (its weights change) and keep the weights of the best epoch.

    Parameters
    ----------
    objective
        Cross-entropy with smoothed labels where none is given.
    validation
        Cross-entropy where none is given.
    renewal
        Gives the training part of every epoch but the first; `data` alone where there is none.
    folder
        Where a checkpoint is kept; training goes on from one that is there.

    Raises
    ------
    BadInputError
        A class without an example.
    """
    require_every_class(data)
    report = on_progress or (lambda fraction: None)
    shown, kept = parts_of(data, params)
    network = network.to(device)
    if device == "cpu":
        # Channels together: a fifth (compact) to half (multi-task) of the time of a step less.
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    run = _Run(
        network, shown, kept, params, objective, validation, renewal, folder
    )  # fmt: skip
    while run.epoch < params.epochs and not run.is_stale:
        run.advance()
        report(run.epoch / params.epochs)
    network.load_state_dict(run.best)
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Fitted(network.eval().cpu(), tuple(run.losses), run.shown, kept)


def parts_of(
    data: LabelledSubtomograms, params: FitParams
) -> tuple[LabelledSubtomograms, LabelledSubtomograms]:
    """The training part, in the order in which an objective meets it, and the validation part."""
    return stratified_split(data, params.held_out, rng=np.random.default_rng([params.seed, 0]))


def logits_of(network: nn.Module, images: Tensor, batch: int = 128) -> Tensor:
    """Logits (n, classes) of many subtomograms, in batches, on the device of the network."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [network(part.to(device)).cpu() for part in images.split(batch)]
    return torch.cat(parts) if parts else torch.zeros((0, 0))


def class_entropy(network: nn.Module, data: LabelledSubtomograms) -> float:
    """Mean cross-entropy (nats) of the classes of examples."""
    logits = logits_of(network, data.images)
    return float(functional.cross_entropy(logits, data.kinds.cpu()))


class _Run:
    """State of one training run, restored from its checkpoint where there is one."""

    def __init__(
        self,
        network: nn.Module,
        shown: LabelledSubtomograms,
        kept: LabelledSubtomograms,
        params: FitParams,
        objective: Objective | None,
        validation: Validation | None,
        renewal: Renewal | None,
        folder: Path | None,
    ) -> None:
        self.network, self.shown, self.kept, self.params = network, shown, kept, params
        self.objective: Objective = objective or self._cross_entropy
        self.validation, self.renewal = validation or class_entropy, renewal
        self.path = None if folder is None else folder / CHECKPOINT_FILE
        # A renewed part may be as long as all that was given first.
        longest = len(shown) + (len(kept) if renewal is not None else 0)
        steps = params.epochs * -(-longest // params.batch)
        self.optimiser, self.schedule = _optimiser(network, params, steps)
        self.average = torch.optim.swa_utils.AveragedModel(
            network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE_DECAY),
            use_buffers=True,
        )
        self.epoch = 0
        self.losses: list[float] = []
        self.best = {name: values.clone() for name, values in network.state_dict().items()}
        self._restore()

    @property
    def is_stale(self) -> bool:
        """Whether the validation loss has not fallen for as long as patience lasts."""
        if not self.params.patience or not self.losses:
            return False
        return self.epoch - 1 - int(np.argmin(self.losses)) >= self.params.patience

    def advance(self) -> None:
        """One epoch, its validation loss, and a checkpoint."""
        # An epoch draws from its own number: a resumed run ends as one that was never stopped.
        rng = np.random.default_rng([self.params.seed, 1, self.epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        device = next(self.network.parameters()).device
        if self.renewal is not None and self.epoch:
            self.shown = self.renewal(self.epoch)
        self.network.train()
        for index in epoch_batches(
            self.shown, self.params.batch, balanced=self.params.balanced, rng=rng
        ):
            if len(index) < 2:
                # BatchNorm has no variance of one.
                continue
            batch = self.shown.take(index)
            if self.params.augment:
                batch = augmented(batch, rng, mirrored=self.params.mirrored)
            self.optimiser.zero_grad()
            self.objective(self._outputs(batch.images.to(device)), batch, index).backward()
            self.optimiser.step()
            if self.schedule is not None:
                self.schedule.step()
            self.average.update_parameters(self.network)
        self.epoch += 1
        self.losses.append(self._validation_loss())
        if self.losses[-1] <= min(self.losses):
            self.best = {
                name: values.detach().cpu().clone()
                for name, values in self.average.module.state_dict().items()
            }
        logger.info("epoch %d: validation loss %.4f", self.epoch, self.losses[-1])
        self._save()

    def _outputs(self, images: Tensor) -> object:
        """What the network makes of a batch, in 32 bits where it is one tensor."""
        narrow = self.params.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=narrow):
            outputs = self.network(images)
        return outputs.float() if isinstance(outputs, Tensor) else outputs

    def _cross_entropy(self, logits: Tensor, batch: LabelledSubtomograms, _index: Ints) -> Tensor:
        return functional.cross_entropy(
            logits, batch.kinds.to(logits.device), label_smoothing=self.params.label_smoothing
        )

    def _validation_loss(self) -> float:
        if not len(self.kept):
            return float(-self.epoch)
        return self.validation(self.average.module, self.kept)

    def _save(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".tmp")
        state = {
            "epoch": self.epoch,
            "losses": self.losses,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }
        torch.save(state, beside)
        beside.rename(self.path)

    def _restore(self) -> None:
        if self.path is None or not self.path.is_file():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.losses, self.best = state["epoch"], state["losses"], state["best"]
        logger.info("training goes on after epoch %d", self.epoch)


def _optimiser(
    network: nn.Module, params: FitParams, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    weights = network.parameters()
    if params.optimiser == "sgd":
        sgd = torch.optim.SGD(weights, params.learning_rate, momentum=0.9, nesterov=True)
        return sgd, None
    adamw = torch.optim.AdamW(weights, params.learning_rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adamw, params.learning_rate, total_steps=max(steps + 1, LEAST_STEPS), pct_start=WARMING
    )
    return adamw, schedule
