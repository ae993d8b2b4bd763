"""How good a generator of pseudo-structures is: like the known ones, and not copies of them."""

import torch
from torch import Tensor
from torch.nn import functional

from models.architectures.pseudo_structures import SIDE_VOX
from models.pseudo_training import (
    RADIUS_VOX,
    PseudoTrainer,
    TrainingVolumes,
    box_offsets,
    centres_and_radii,
    random_rotations,
    sampled,
)

# Of the maximum; as where structures are matched to a template, fainter voxels are background.
BACKGROUND_SHARE = 0.02
# Correlations are taken within this distance of the centre: corners would only add zeros.
CORRELATION_RADIUS_VOX = 14.0


@torch.no_grad()
def quality_figures(
    trainer: PseudoTrainer, n_samples: int = 64, n_rotations: int = 300
) -> dict[str, float]:
    """How samples compare with training volumes, each figure beside that of real volumes.

    `nearest_*` is the highest correlation of a sample with any training structure over random
    rotations, both at the same radius of gyration about the centre of mass: near 1 means a copy.
    `pair_*` is the correlation among samples as drawn: near 1 means they are all alike.
    `spectrum_log_ratio_rms` compares the mean radial amplitudes of shells 1 to 12 (natural
    logarithm), `spectrum_spread_ratio` their relative standard deviations.
    """
    volumes, random = trainer.volumes, torch.Generator(trainer.device).manual_seed(7)
    real = volumes.draw(n_samples, trainer.params, random)
    figures: dict[str, float] = {}
    spectra = {}
    for name, drawn in (("sample", trainer.samples(n_samples, seed=11)), ("real", real)):
        background = BACKGROUND_SHARE * drawn.amax(dim=(1, 2, 3), keepdim=True)
        made = torch.clamp(drawn - background, min=0.0)
        nearest = _nearest_correlations(made, volumes, n_rotations, random)
        unit = _unit_vectors(made)
        pairs = (unit @ unit.T)[~torch.eye(len(made), dtype=torch.bool, device=made.device)]
        radii = centres_and_radii(made)[1]
        for label, values in (("nearest", nearest), ("pair", pairs), ("radius_vox", radii)):
            figures[f"{label}_{name}_mean"] = float(values.mean())
            figures[f"{label}_{name}_sd"] = float(values.std())
        figures[f"nearest_{name}_max"] = float(nearest.max())
        figures[f"pair_{name}_max"] = float(pairs.max())
        spectra[name] = _radial_amplitudes(made)[:, 1:13]
    means = {name: one.mean(0) for name, one in spectra.items()}
    spreads = {name: one.std(0) / means[name] for name, one in spectra.items()}
    logs = torch.log(means["sample"] / means["real"])
    figures["spectrum_log_ratio_rms"] = float(logs.square().mean().sqrt())
    figures["spectrum_spread_ratio"] = float((spreads["sample"] / spreads["real"]).mean())
    return figures


def _unit_vectors(densities: Tensor) -> Tensor:
    """Voxels within the correlation sphere, mean 0 and length 1; (n, voxels)."""
    inside = box_offsets(SIDE_VOX, densities.device).norm(dim=-1) <= CORRELATION_RADIUS_VOX
    values = densities[:, inside]
    return functional.normalize(values - values.mean(1, keepdim=True), dim=1)


def _nearest_correlations(
    densities: Tensor, volumes: TrainingVolumes, n_rotations: int, random: torch.Generator
) -> Tensor:
    centres, radii = centres_and_radii(densities)
    offsets = box_offsets(SIDE_VOX, densities.device)
    scale = (radii / RADIUS_VOX)[:, None, None, None, None]
    points = offsets * scale + centres[:, None, None, None, :]
    unit = _unit_vectors(sampled(densities, points))
    best = torch.full((len(densities),), -1.0, device=densities.device)
    for kind in range(len(volumes.stored)):
        rotations = random_rotations(n_rotations, random, densities.device)
        for part in torch.split(rotations, 50):
            kinds = torch.full((len(part),), kind, device=densities.device)
            wanted = torch.full((len(part),), RADIUS_VOX, device=densities.device)
            turned = _unit_vectors(volumes.turned(kinds, part, wanted))
            best = torch.maximum(best, (unit @ turned.T).amax(1))
    return best


def _radial_amplitudes(densities: Tensor) -> Tensor:
    """Root mean square Fourier amplitude of every shell, per volume; (n, shells)."""
    side = densities.shape[-1]
    power = torch.fft.fftn(densities, dim=(1, 2, 3)).abs().square().flatten(1)
    axis = torch.fft.fftfreq(side, 1.0 / side, device=densities.device)
    grids = torch.meshgrid(axis, axis, axis, indexing="ij")
    shells = torch.sqrt(sum((g * g for g in grids), torch.zeros_like(grids[0]))).round().long()
    counts = torch.bincount(shells.flatten()).float()
    sums = torch.zeros(len(power), len(counts), device=power.device)
    return torch.sqrt(sums.index_add_(1, shells.flatten(), power) / counts)
