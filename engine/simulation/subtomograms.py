"""Subtomograms of known structures in batches: pose, neighbours, microscope, noise.

Signal and noise pass the microscope apart, so that the stated SNR holds exactly. Every subtomogram
draws from a generator of its own: what it is does not depend on its batch.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from engine.data.arrays import Float32s, Ints
from engine.errors import BadInputError
from engine.physics.fourier import gaussian_transfer
from engine.simulation.subtomogram_imaging import convolved, tilt_series
from engine.simulation.subtomogram_params import SubtomogramParams

# Of the largest density: where a structure is, for its mask.
MASK_LEVEL = 0.2
TOUCHING_TRIES = 50


@dataclass(frozen=True)
class Structure:
    """A density to make subtomograms of: cubic, centred on voxel `n // 2`, protein bright."""

    name: str
    voxels: Float32s
    voxel_size_angst: float

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels, dtype=np.float32)
        if voxels.ndim != 3 or len(set(voxels.shape)) != 1:
            raise BadInputError(f"{self.name}: expected a cubic density, found {voxels.shape}")
        if not np.isfinite(voxels).all() or not voxels.max() > 0:
            raise BadInputError(f"{self.name}: expected finite densities with positive values")
        object.__setattr__(self, "voxels", voxels)


@dataclass(frozen=True)
class SubtomogramBatch:
    """A batch, on the device it was made on.

    Attributes
    ----------
    images
        float32 (n, z, y, x): signal and noise, zero mean and unit variance each.
    signals
        The same without noise, on the scale of `images`.
    densities
        The particle alone, before the microscope, mean of its structure's mask 1.
    masks
        bool: where the particle is.
    kinds
        int64 (n,), index of the structure.
    """

    images: Tensor
    signals: Tensor
    densities: Tensor
    masks: Tensor
    kinds: Tensor


class SubtomogramMaker:
    """Makes subtomograms of the same structures; holds them resampled on a device."""

    def __init__(
        self, structures: Sequence[Structure], params: SubtomogramParams, device: str = "cpu"
    ) -> None:
        if not structures:
            raise BadInputError("expected at least one structure to make subtomograms of")
        self.params, self.device = params, torch.device(device)
        resampled = [_at_voxel(one, params.voxel_size_angst) for one in structures]
        side = max(one.shape[0] for one in resampled)
        self._stack = torch.stack([_padded(one, side) for one in resampled]).to(self.device)
        self._radii_vox = np.array([_radius_vox(one) for one in resampled])

    def under(self, params: SubtomogramParams) -> "SubtomogramMaker":
        """The same structures under other conditions.

        Raises
        ------
        BadInputError
            Another box or voxel size: the structures are held at this one.
        """
        own = self.params
        if (params.box_vox, params.voxel_size_angst) != (own.box_vox, own.voxel_size_angst):
            raise BadInputError(
                f"expected boxes of {own.box_vox} voxels of {own.voxel_size_angst:g} A, found "
                f"{params.box_vox} of {params.voxel_size_angst:g} A"
            )
        other = copy.copy(self)
        other.params = params
        return other

    def make(self, kinds: Ints, *, rng: np.random.Generator) -> SubtomogramBatch:
        """One subtomogram of each kind asked for, in order."""
        draws = [_draw(int(kind), self._radii_vox, self.params, child)
                 for kind, child in zip(kinds, rng.spawn(len(kinds)), strict=True)]  # fmt: skip
        own = self.posed([(one.kind, one.rotation, one.place) for one in draws])
        around = self._neighbours(draws)
        signal, noise = self._imaged(own, around, draws)
        level = MASK_LEVEL * self._stack.amax(dim=(1, 2, 3))
        index = torch.as_tensor(np.asarray(kinds), dtype=torch.int64, device=self.device)
        image = signal + noise
        scale = image.flatten(1).std(dim=1)[:, None, None, None].clamp_min(1e-12)
        mean = image.flatten(1).mean(dim=1)[:, None, None, None]
        return SubtomogramBatch(
            images=(image - mean) / scale,
            signals=(signal - mean) / scale,
            densities=own,
            masks=own > level[index][:, None, None, None],
            kinds=index,
        )

    def posed(self, poses: Sequence[tuple[int, Rotation, Float32s]]) -> Tensor:
        """Structures turned and moved into boxes (n, z, y, x), linear interpolation."""
        box, side = self.params.box_vox, self._stack.shape[-1]
        kinds = torch.tensor([kind for kind, _, _ in poses], device=self.device)
        # A box voxel at x comes from the reference at R^-1 (x - place).
        inverse = np.stack([rotation.inv().as_matrix() for _, rotation, _ in poses])
        places = np.stack([place for _, _, place in poses])
        axis = torch.arange(box, device=self.device, dtype=torch.float32) - box // 2
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        grid = torch.stack([x, y, z], dim=-1).reshape(1, -1, 3)
        offset = torch.as_tensor(places[:, None], dtype=torch.float32, device=self.device)
        turn = torch.as_tensor(inverse, dtype=torch.float32, device=self.device)
        source = (grid - offset) @ turn.transpose(1, 2) + side // 2
        normalised = (2.0 * source / (side - 1) - 1.0).reshape(len(poses), box, box, box, 3)
        posed: Tensor = functional.grid_sample(
            self._stack[kinds][:, None], normalised, mode="bilinear", align_corners=True
        )
        return posed[:, 0]

    def _neighbours(self, draws: "Sequence[_Draw]") -> Tensor:
        """What touches the particles, (n, z, y, x)."""
        box = self.params.box_vox
        around = torch.zeros((len(draws), box, box, box), device=self.device)
        poses = [(index, pose) for index, one in enumerate(draws) for pose in one.neighbours]
        if poses:
            owners = torch.tensor([index for index, _ in poses], device=self.device)
            around.index_add_(0, owners, self.posed([pose for _, pose in poses]))
        return around

    def _imaged(
        self, own: Tensor, around: Tensor, draws: "Sequence[_Draw]"
    ) -> tuple[Tensor, Tensor]:
        """Signal and noise; the noise is set by the particle's own signal."""
        params = self.params
        image = tilt_series if params.microscopy == "tilt_series" else convolved
        generators = [_generator(one.seed, self.device) for one in draws]
        signal, noise = image(own, around, params, generators)
        if math.isinf(params.snr):
            return signal.sum(dim=0), torch.zeros_like(noise)
        variance = signal[0].flatten(1).var(dim=1)
        factor = torch.sqrt(variance / (params.snr * noise.flatten(1).var(dim=1).clamp_min(1e-20)))
        return signal.sum(dim=0), noise * factor[:, None, None, None]


def densities_in_boxes(
    structures: Sequence[Structure], box_vox: int, voxel_size_angst: float
) -> Tensor:
    """Structures as they are, neither turned nor moved, float32 (n, z, y, x): what boxes hold."""
    maker = SubtomogramMaker(structures, SubtomogramParams(box_vox, voxel_size_angst, math.inf))
    nowhere, as_is = np.zeros(3, dtype=np.float32), Rotation.identity()
    return maker.posed([(kind, as_is, nowhere) for kind in range(len(structures))])


@dataclass(frozen=True)
class _Draw:
    """What is drawn for one subtomogram."""

    kind: int
    rotation: Rotation
    place: Float32s
    neighbours: tuple[tuple[int, Rotation, Float32s], ...]
    seed: int


def _draw(
    kind: int, radii_vox: np.ndarray, params: SubtomogramParams, rng: np.random.Generator
) -> _Draw:
    rotation = Rotation.random(rng=rng)
    place = rng.uniform(-params.shift_vox, params.shift_vox, size=3)
    neighbours: list[tuple[int, Rotation, Float32s]] = []
    wanted = int(rng.integers(params.n_neighbours[0], params.n_neighbours[1] + 1))
    taken = [(place, radii_vox[kind])]
    for _ in range(TOUCHING_TRIES * wanted):
        if len(neighbours) == wanted:
            break
        other = int(rng.integers(len(radii_vox)))
        direction = rng.normal(size=3)
        gap = rng.uniform(1.0, 1.2)
        apart = gap * (radii_vox[kind] + radii_vox[other])
        there = place + apart * direction / np.linalg.norm(direction)
        turned = Rotation.random(rng=rng)
        # Not through another neighbour; bounding spheres may overlap a little.
        if all(np.linalg.norm(there - p) > 0.9 * (r + radii_vox[other]) for p, r in taken):
            taken.append((there, radii_vox[other]))
            neighbours.append((other, turned, there.astype(np.float32)))
    seed = int(rng.integers(2**62))
    return _Draw(kind, rotation, place.astype(np.float32), tuple(neighbours), seed)


def _generator(seed: int, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    return generator


def _at_voxel(structure: Structure, voxel_size_angst: float) -> Tensor:
    """A structure at another sampling, centre on its middle voxel, blurred to what it can show."""
    ratio = voxel_size_angst / structure.voxel_size_angst
    voxels = torch.tensor(structure.voxels)[None, None]
    side = voxels.shape[-1]
    if ratio > 1.0:
        # A Gaussian with the second moment by which the voxels differ.
        blur = gaussian_transfer((side,) * 3, 0.5 * math.sqrt(ratio**2 - 1.0), voxels.device)
        voxels = torch.fft.irfftn(torch.fft.rfftn(voxels, dim=(2, 3, 4)) * blur, s=(side,) * 3)
    wanted = 2 * math.ceil(side / ratio / 2.0 + 1.0)
    axis = (torch.arange(wanted, dtype=torch.float32) - wanted // 2) * ratio + side // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    grid = 2.0 * torch.stack([x, y, z], dim=-1)[None] / (side - 1) - 1.0
    sampled: Tensor = functional.grid_sample(voxels, grid, mode="bilinear", align_corners=True)
    positive = sampled[0, 0].clamp_min(0.0)
    # Maps come on scales of their own; within structures, protein is alike.
    return positive / positive[positive > MASK_LEVEL * positive.max()].mean()


def _padded(volume: Tensor, side: int) -> Tensor:
    before = side // 2 - volume.shape[0] // 2
    return functional.pad(volume, (before, side - volume.shape[0] - before) * 3)


def _radius_vox(volume: Tensor) -> float:
    """Of the sphere around the centre that holds the mask."""
    inside = torch.nonzero(volume > MASK_LEVEL * volume.max()) - volume.shape[0] // 2
    return float(inside.float().norm(dim=1).max())
