"""Training of the pseudo-structure generator: volumes on the fly, WGAN-GP, quality figures."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter
from torch import Tensor
from torch.nn import functional

from engine.data.arrays import Float32s
from engine.errors import BadInputError
from models.architectures.pseudo_structures import (
    SIDE_VOX,
    PseudoStructureCritic,
    PseudoStructureGenerator,
)

logger = logging.getLogger(__name__)

STORED_BOX_VOX = 48
STORED_RADIUS_VOX = 9.0
# Of gyration, of the training volumes; elongated structures are kept smaller so that 99 % of
# their mass stays within REACH_VOX of the centre.
RADIUS_VOX, RADIUS_SPREAD, REACH_VOX = 7.0, 0.15, 15.0


@dataclass(frozen=True)
class PseudoTrainingParams:
    """How the generator is trained; WGAN-GP as in Gulrajani et al. (2017), arXiv:1704.00028.

    Attributes
    ----------
    learning_rate
        Three times the paper's, falling linearly to 0 over the last 30 % of the time.
    critic_steps
        Per generator step; the paper's 5 leaves half as many generator steps in the same time.
    drift
        Weight of the squared scores of real volumes (keeps the critic near 0).
    whole_share
        Share of training volumes that are one structure and not a mixture of two.
    elastic_vox
        Standard deviation of the displacements on a 5^3 grid.
    max_steps
        Generator steps after which training ends even if time is left.
    """

    n_latent: int = 64
    generator_channels: tuple[int, ...] = (64, 64, 24, 12)
    critic_channels: tuple[int, ...] = (32, 64, 128, 256)
    batch: int = 32
    critic_steps: int = 3
    penalty: float = 10.0
    drift: float = 1e-3
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.0, 0.9)
    ema_decay: float = 0.998
    whole_share: float = 0.3
    elastic_vox: float = 0.8
    bfloat16: bool = False
    max_minutes: float = 4.3
    max_steps: int = 1_000_000
    checkpoint_minutes: float = 1.0
    seed: int = 1


def stored_density(density: Float32s) -> Float32s:
    """A structure as training stores it: 48^3, centred, radius of gyration 9 voxels, unit max.

    Raises
    ------
    BadInputError
        Nothing in the map is positive.
    """
    positive = np.clip(np.asarray(density, dtype=np.float64), 0.0, None)
    total = positive.sum()
    if not total > 0:
        raise BadInputError("expected a density with positive values, found none")
    axes = np.meshgrid(*(np.arange(n) for n in positive.shape), indexing="ij")
    centre = np.array([(positive * axis).sum() / total for axis in axes])
    squared = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    radius_vox = math.sqrt(float((positive * squared).sum() / total))
    step = radius_vox / STORED_RADIUS_VOX
    if step > 1:
        positive = gaussian_filter(positive, 0.5 * math.sqrt(step**2 - 1))
    offset = centre - step * (STORED_BOX_VOX // 2)
    shape = (STORED_BOX_VOX,) * 3
    resampled = affine_transform(positive, np.full(3, step), offset=offset, output_shape=shape)
    resampled = np.clip(resampled, 0.0, None)
    return np.asarray(resampled / resampled.max(), dtype=np.float32)


def box_offsets(side: int, device: torch.device) -> Tensor:
    """Offsets (side, side, side, 3) of the voxels from the centre, (x, y, z)."""
    axis = torch.arange(side, device=device, dtype=torch.float32) - side // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def random_rotations(n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Matrices (n, 3, 3) of uniformly distributed rotations."""
    quaternions = torch.randn(n, 4, generator=generator, device=device)
    w, x, y, z = functional.normalize(quaternions, dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1),
    ]
    return torch.stack(rows, dim=1)


def sampled(volumes: Tensor, points: Tensor) -> Tensor:
    """Trilinear values of volumes (n, s, s, s) at offsets (n, z, y, x, 3) from their centres."""
    side = volumes.shape[-1]
    places = (points + side // 2) * (2.0 / (side - 1)) - 1.0
    return functional.grid_sample(volumes[:, None], places, align_corners=True)[:, 0]


def centres_and_radii(densities: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of mass (n, 3) as (x, y, z) offsets and radii of gyration (n,), voxels."""
    offsets = box_offsets(densities.shape[-1], densities.device)
    masses = densities.sum(dim=(1, 2, 3)).clamp_min(1e-6)
    centres = torch.einsum("nzyx,zyxk->nk", densities, offsets) / masses[:, None]
    second = torch.einsum("nzyx,zyx->n", densities, (offsets**2).sum(-1)) / masses
    return centres, torch.sqrt((second - (centres**2).sum(1)).clamp_min(1e-6))


class TrainingVolumes:
    """Endless training volumes from a few stored densities (n, 48, 48, 48)."""

    def __init__(self, stored: Float32s, device: torch.device) -> None:
        self.stored = torch.from_numpy(np.asarray(stored, dtype=np.float32)).to(device)
        self._offsets = box_offsets(SIDE_VOX, device)
        distances = box_offsets(STORED_BOX_VOX, device).norm(dim=-1).flatten()
        order = distances.argsort()
        shares = self.stored.flatten(1)[:, order].cumsum(1)
        reaches = distances[order][(shares < 0.99 * shares[:, -1:]).sum(1)]
        self.largest_radii_vox = STORED_RADIUS_VOX * REACH_VOX / reaches

    def draw(self, n: int, params: PseudoTrainingParams, generator: torch.Generator) -> Tensor:
        """Volumes (n, 32, 32, 32) of unit maximum: turned, scaled, bent, mostly mixed in pairs."""
        device = self.stored.device
        kinds = torch.randint(len(self.stored), (2 * n,), generator=generator, device=device)
        chance = torch.rand(3, n, generator=generator, device=device)
        radii = RADIUS_VOX * (1.0 + RADIUS_SPREAD * (2.0 * chance[0] - 1.0))
        field = torch.randn(2 * n, 3, 5, 5, 5, generator=generator, device=device)
        size = (SIDE_VOX,) * 3
        bent = functional.interpolate(field, size, mode="trilinear", align_corners=True)
        bent = params.elastic_vox * bent.permute(0, 2, 3, 4, 1)
        rotations = random_rotations(2 * n, generator, device)
        turned = self.turned(kinds, rotations, radii.repeat(2), bent)
        share = torch.where(chance[1] < params.whole_share, 0.0, chance[2])[:, None, None, None]
        mixed = torch.lerp(turned[:n], turned[n:], share)
        highest = mixed.amax(dim=(1, 2, 3), keepdim=True)
        return torch.div(mixed, highest)

    def turned(
        self, kinds: Tensor, rotations: Tensor, radii_vox: Tensor, bent: Tensor | None = None
    ) -> Tensor:
        """Stored structures (n, 32, 32, 32) at the given orientations and radii of gyration."""
        radii = torch.minimum(radii_vox, self.largest_radii_vox[kinds])
        points = self._offsets if bent is None else self._offsets + bent
        matrices = rotations * (STORED_RADIUS_VOX / radii)[:, None, None]
        flat = points.reshape(-1 if bent is not None else 1, SIDE_VOX**3, 3)
        placed = flat.expand(len(kinds), -1, -1) @ matrices.transpose(1, 2)
        return sampled(self.stored[kinds], placed.reshape(-1, *(SIDE_VOX,) * 3, 3))


class PseudoTrainer:
    """Networks, optimisers and random state of one training; a checkpoint holds all of them."""

    def __init__(self, stored: Float32s, params: PseudoTrainingParams, device: str) -> None:
        self.params, self.device = params, torch.device(device)
        rng = np.random.default_rng(params.seed)
        self.volumes = TrainingVolumes(stored, self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            generator = PseudoStructureGenerator(params.n_latent, params.generator_channels)
            critic = PseudoStructureCritic(params.critic_channels)
        self.generator, self.critic = generator.to(self.device), critic.to(self.device)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        adam: dict[str, Any] = {"lr": params.learning_rate, "betas": params.betas}
        self.generator_steps = torch.optim.Adam(self.generator.parameters(), **adam)
        self.critic_steps = torch.optim.Adam(self.critic.parameters(), **adam)
        self.random = torch.Generator(self.device).manual_seed(int(rng.integers(2**31)))
        self.step, self.elapsed_s = 0, 0.0

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {
            "random": self.random.get_state(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.random.set_state(state["random"].cpu())
        self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "critic": self.critic,
            "averaged": self.averaged,
            "generator_steps": self.generator_steps,
            "critic_steps": self.critic_steps,
        }

    def run(self, on_checkpoint: Callable[["PseudoTrainer"], None] | None = None) -> None:
        """Train until the time or the steps are used up; losses go to the log."""
        params = self.params
        limit_s = 60.0 * params.max_minutes
        began = time.monotonic() - self.elapsed_s
        shown_s = saved_s = self.elapsed_s
        while self.elapsed_s < limit_s and self.step < params.max_steps:
            left = 1.0 - max(self.elapsed_s / limit_s, self.step / params.max_steps)
            for optimiser in (self.generator_steps, self.critic_steps):
                for group in optimiser.param_groups:
                    group["lr"] = params.learning_rate * min(1.0, max(left, 0.01) / 0.3)
            for _ in range(params.critic_steps):
                distance, penalty = self._critic_step()
            loss = self._generator_step()
            self.step += 1
            self.elapsed_s = time.monotonic() - began
            if self.elapsed_s - shown_s > min(10.0, limit_s / 20):
                shown_s = self.elapsed_s
                logger.info(
                    "%.1f s, step %d: distance %.4f, penalty %.4f, generator %.4f",
                    shown_s, self.step, float(distance), float(penalty), float(loss),
                )  # fmt: skip
            if on_checkpoint and self.elapsed_s - saved_s > 60.0 * params.checkpoint_minutes:
                saved_s = self.elapsed_s
                on_checkpoint(self)

    def _latents(self, n: int) -> Tensor:
        shape = (n, self.params.n_latent)
        return torch.randn(shape, generator=self.random, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.bfloat16)

    def _critic_step(self) -> tuple[Tensor, Tensor]:
        params = self.params
        with torch.no_grad():
            real = self.volumes.draw(params.batch, params, self.random)
            with self._autocast():
                fake = self.generator(self._latents(params.batch)).float()
        with self._autocast():
            scores = self.critic(torch.cat([real, fake])).float()
        on_real, on_fake = scores[: params.batch], scores[params.batch :]
        # Second derivatives in bf16 are too coarse, so the penalty stays in float32.
        share = torch.rand(params.batch, 1, 1, 1, generator=self.random, device=self.device)
        between = torch.lerp(real, fake, share).requires_grad_(True)
        total = self.critic(between).sum()
        (slope,) = torch.autograd.grad(total, between, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
        distance = on_real.mean() - on_fake.mean()
        loss = params.penalty * penalty - distance + params.drift * (on_real**2).mean()
        self.critic_steps.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.critic_steps.step()
        return distance.detach(), penalty.detach()

    def _generator_step(self) -> Tensor:
        with self._autocast():
            loss = -self.critic(self.generator(self._latents(self.params.batch))).float().mean()
        self.generator_steps.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=list(self.generator.parameters()))
        self.generator_steps.step()
        decay = min(self.params.ema_decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.generator.parameters(), strict=True)
            for average, current in pairs:
                average.lerp_(current, 1.0 - decay)
        return torch.clone(loss.detach())

    @torch.no_grad()
    def samples(self, n: int, seed: int) -> Tensor:
        """Densities (n, 32, 32, 32) of the averaged generator, on the training device."""
        random = torch.Generator(self.device).manual_seed(seed)
        shape = (n, self.params.n_latent)
        latents = torch.randn(shape, generator=random, device=self.device)
        return torch.cat([self.averaged(part) for part in torch.split(latents, 32)])


def save_checkpoint(trainer: PseudoTrainer, path: Path) -> None:
    """Write the state of a training; a file half written never replaces the last one."""
    partial = path.with_suffix(".partial")
    torch.save(trainer.state() | {"params": asdict(trainer.params)}, partial)
    partial.replace(path)


def load_checkpoint(trainer: PseudoTrainer, path: Path) -> None:
    """Go on from a file that `save_checkpoint` wrote."""
    trainer.restore(torch.load(path, map_location=trainer.device, weights_only=True))
