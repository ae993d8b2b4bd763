"""A classifier brought to subtomograms of another origin, whose classes nobody gave.

Five ways, each without labels of the target: adversarial features as 3D-ADA has them, with one
source or several; statistics of BatchNorm; correlation alignment; the target's power spectrum for
the source's images. What any of them is worth is seen beside the network as it was (source only)
and one that was trained on the target's labels (oracle).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Float64s
from engine.errors import BadInputError
from engine.physics.fourier import frequencies_3d
from models.architectures.ada3d import DomainDiscriminator
from models.classifier_data import LabelledSubtomograms, augmented

OnProgress = Callable[[float], None]
# Largest factor by which a shell of the spectrum is lifted or damped.
LARGEST_GAIN = 10.0


@dataclass(frozen=True)
class AdaptationParams:
    """How long and how strongly.

    Attributes
    ----------
    learning_rate, decay, beta
        Of the adversarial steps: Adam as 3D-ADA's program has it.
    coral_weight
        Of the distance of covariances beside the cross-entropy.
    """

    epochs: int = 10
    batch: int = 64
    learning_rate: float = 1e-5
    beta: float = 0.99
    decay: float = 2e-5
    coral_weight: float = 1.0
    coral_learning_rate: float = 3e-4
    seed: int = 0


def with_target_statistics(network: nn.Module, target: Tensor, batch: int = 64) -> nn.Module:
    """A copy whose BatchNorms hold the mean and variance of the target's images.

    References
    ----------
    Li et al. (2016), arXiv:1603.04779 (AdaBN).
    """
    adapted = copy.deepcopy(network)
    norms = [one for one in adapted.modules() if isinstance(one, nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        # The plain mean over all batches instead of a running one.
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for part in torch.split(target, batch):
            if len(part) > 1:
                adapted(part)
    return adapted.eval()


def coral_distance(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the covariances of two sets of outputs (n, d), over 4 d^2.

    References
    ----------
    Sun and Saenko (2016), arXiv:1607.01719, equation 1.
    """
    width = source.shape[1]
    return (_covariance(source) - _covariance(target)).square().sum() / (4.0 * width**2)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0, keepdim=True)
    return centred.T @ centred / max(1, len(features) - 1)


def adapted_by_coral(
    network: nn.Module,
    source: LabelledSubtomograms,
    target: Tensor,
    params: AdaptationParams,
    on_progress: OnProgress | None = None,
) -> nn.Module:
    """A copy trained on, so that the logits of source and target vary alike, as published."""
    adapted = copy.deepcopy(network)
    rng = np.random.default_rng([params.seed, 10])
    optimiser = torch.optim.AdamW(adapted.parameters(), params.coral_learning_rate)
    steps = params.epochs * max(1, len(source) // params.batch)
    adapted.train()
    for step in range(steps):
        batch = augmented(source.take(_some(rng, len(source), params.batch)), rng)
        other = target[torch.as_tensor(_some(rng, len(target), params.batch))]
        ours, theirs = adapted(batch.images), adapted(other)
        loss = functional.cross_entropy(ours, batch.kinds)
        loss = loss + params.coral_weight * coral_distance(ours, theirs)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if on_progress:
            on_progress((step + 1) / steps)
    return adapted.eval()


def _some(rng: np.random.Generator, n: int, wanted: int) -> np.ndarray:
    return rng.permutation(n)[: min(n, wanted)]


def adapted_adversarially(
    network: nn.Module,
    sources: Sequence[Tensor],
    target: Tensor,
    params: AdaptationParams,
    on_progress: OnProgress | None = None,
) -> nn.Module:
    """A copy whose features of the target cannot be told from those of the sources.

    The source extractor stays as it is; the target's begins as its copy and is trained against a
    discriminator that names the domain. The classifier is the source's.

    Parameters
    ----------
    sources
        Images (n, 1, z, y, x) of every source domain, without labels.

    Raises
    ------
    BadInputError
        No source or target image.

    References
    ----------
    Lin et al. (2019), PMC6612867 (3D-ADA): two extractors that share no weights; with several
    sources the discriminator has an output for each, and the target is drawn to all alike.
    """
    if not sources or not len(target) or not all(len(one) for one in sources):
        raise BadInputError("adversarial adaptation needs images of every source and of the target")
    fixed, adapted = network.eval(), copy.deepcopy(network)
    rng = np.random.default_rng([params.seed, 11])
    torch.manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        width = fixed.features(target[:1]).shape[1]  # type: ignore[operator]
    judge = DomainDiscriminator(width, len(sources) + 1)
    settings = {"lr": params.learning_rate, "betas": (params.beta, 0.999),
                "weight_decay": params.decay}  # fmt: skip
    of_judge = torch.optim.Adam(judge.parameters(), **settings)  # type: ignore[arg-type]
    of_features = torch.optim.Adam(adapted.parameters(), **settings)  # type: ignore[arg-type]
    steps = params.epochs * max(1, len(target) // params.batch)
    # Running statistics stay those of the source: only weights are adapted.
    adapted.eval()
    share = max(2, params.batch // len(sources))
    for step in range(steps):
        theirs = target[torch.as_tensor(_some(rng, len(target), params.batch))]
        parts = [one[torch.as_tensor(_some(rng, len(one), share))] for one in sources]
        with torch.no_grad():
            known = torch.cat([fixed.features(one) for one in parts])  # type: ignore[operator]
            origin = torch.cat([torch.full((len(p),), i) for i, p in enumerate(parts)])
            unknown = adapted.features(theirs)  # type: ignore[operator]
        last = torch.full((len(unknown),), len(sources))
        loss = functional.cross_entropy(
            judge(torch.cat([known, unknown])), torch.cat([origin, last])
        )
        of_judge.zero_grad()
        torch.autograd.backward(loss)
        of_judge.step()
        fooled = functional.log_softmax(judge(adapted.features(theirs)), dim=1)  # type: ignore[operator]
        loss = -torch.logsumexp(fooled[:, : len(sources)], dim=1).mean()
        of_features.zero_grad()
        torch.autograd.backward(loss)
        of_features.step()
        if on_progress:
            on_progress((step + 1) / steps)
    return adapted.eval()


def mean_power(images: Tensor) -> Float64s:
    """Mean power of every Fourier shell of many subtomograms (n, 1, z, y, x)."""
    side = images.shape[-1]
    shells = _shells(side)
    power = torch.fft.rfftn(images[:, 0], dim=(1, 2, 3)).abs().square().mean(dim=0)
    sums = np.bincount(shells.ravel(), power.numpy().ravel().astype(np.float64))
    return np.asarray(sums / np.bincount(shells.ravel()), dtype=np.float64)


def with_target_spectrum(images: Tensor, wanted: Float64s) -> Tensor:
    """Images (n, 1, z, y, x) of the mean radial power of others, unit variance, phases kept.

    References
    ----------
    Yang and Soatto (2020), doi:10.1109/CVPR42600.2020.00414, of the radial mean of all images.
    """
    side = images.shape[-1]
    own = mean_power(images)
    floor = 1e-6 * max(float(own.max()), float(wanted.max()))
    gain = np.sqrt((wanted + floor) / (own + floor))
    gain = np.clip(gain / np.median(gain), 1.0 / LARGEST_GAIN, LARGEST_GAIN)
    by_place = torch.as_tensor(gain[_shells(side)], dtype=images.dtype)
    spectrum = torch.fft.rfftn(images, dim=(2, 3, 4)) * by_place
    changed = torch.fft.irfftn(spectrum, s=(side,) * 3)
    changed = changed - changed.mean(dim=(1, 2, 3, 4), keepdim=True)
    scaled: Tensor = changed / changed.std(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-12)
    return scaled


def _shells(side: int) -> np.ndarray:
    freq = frequencies_3d((side,) * 3, 1.0, torch.device("cpu")).numpy()
    return np.asarray(np.rint(freq * side).astype(np.int64))
