"""A classifier brought to subtomograms of another origin by its own surest answers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Float64s, Ints
from models.classifier_data import HALF_TURNS, LabelledSubtomograms, augmented
from models.classifier_training import logits_of
from models.domain_adaptation import with_target_statistics


@dataclass(frozen=True)
class SelfTrainingParams:
    """How long, and how many answers are believed.

    Attributes
    ----------
    rounds, epochs
        Answers are asked for anew before every round of so many epochs over those believed.
    first_share, last_share
        Of the target, believed in the first and in the last round: the surest of each class.
    """

    rounds: int = 6
    epochs: int = 2
    first_share: float = 0.3
    last_share: float = 0.9
    batch: int = 32
    learning_rate: float = 1e-3
    seed: int = 0


def adapted_by_own_answers(
    network: nn.Module,
    source: LabelledSubtomograms,
    target: Tensor,
    params: SelfTrainingParams | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> nn.Module:
    """A copy trained on the source's labels and on what it calls the target's surest images.

    Answers are means over half turns. Of each class as many are believed, so that none takes over;
    BatchNorm sees source and target in batches of their own and ends with the target's statistics.

    Parameters
    ----------
    target
        Images (n, 1, z, y, x) of the other origin, without labels.

    References
    ----------
    Cascante-Bonilla et al. (2021), arXiv:2001.06001 (curriculum of pseudo-labels).
    """
    params = params or SelfTrainingParams()
    rng = np.random.default_rng([params.seed, 12])
    adapted = with_target_statistics(copy.deepcopy(network), target)
    optimiser = torch.optim.AdamW(adapted.parameters(), params.learning_rate)
    shares = np.linspace(params.first_share, params.last_share, params.rounds)
    for number, share in enumerate(shares):
        answers = mean_over_turns(adapted, target)
        index, kinds = surest(answers, float(share))
        believed = LabelledSubtomograms(
            target[torch.as_tensor(index)], torch.as_tensor(kinds), source.class_names
        )
        steps = params.epochs * max(1, len(believed) // params.batch)
        adapted.train()
        for _ in range(steps):
            loss = torch.zeros(())
            for data in (source, believed):
                drawn = rng.permutation(len(data))[: params.batch]
                batch = augmented(data.take(drawn), rng)
                loss = loss + functional.cross_entropy(
                    adapted(batch.images), batch.kinds, label_smoothing=0.05
                )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        adapted = _settled(adapted, target)
        if on_progress:
            on_progress((number + 1) / params.rounds)
    return adapted


def _settled(network: nn.Module, target: Tensor) -> nn.Module:
    """The same network (its parameters stay the optimiser's) with the target's statistics."""
    other = with_target_statistics(network, target)
    network.load_state_dict(other.state_dict())
    return network.eval()


def mean_over_turns(network: nn.Module, images: Tensor) -> Float64s:
    """Mean probability (n, classes) over the half turns that keep hand and wedge."""
    parts = [
        torch.softmax(logits_of(network, images.flip(turn) if turn else images), dim=1)
        for turn in HALF_TURNS
    ]
    return np.asarray(torch.stack(parts).double().mean(dim=0).numpy())


def surest(probabilities: Float64s, share: float) -> tuple[Ints, Ints]:
    """Which images are believed and as what: equally many a class, where so many are called it."""
    kinds = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    n_classes = probabilities.shape[1]
    each = max(1, int(share * len(kinds) / n_classes))
    chosen = []
    for kind in range(n_classes):
        own = np.flatnonzero(kinds == kind)
        chosen.append(own[np.argsort(-sure[own], kind="stable")][:each])
    index = np.sort(np.concatenate(chosen))
    return index, kinds[index]
