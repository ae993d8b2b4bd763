"""The volume being painted: density, classes, instances, membranes and microtubule axes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS

FAR_NM = 1e3


@dataclass
class Canvas:
    """Mutable working volumes of one scene, all (z, y, x); local to the simulation.

    Attributes
    ----------
    density
        Excess over ice; 1.0 is packed protein.
    regions
        uint8 class ids without membranes and microtubules.
    instances
        int32, 0 = none.
    membrane_distance_nm, axis_distance_nm
        Distance to the nearest bilayer's middle and microtubule axis.
    outer_distance_nm, inner_distance_nm
        Distance to the nearest outer and inner mitochondrial membrane; cristae are inner.
    crista
        Crista membranes and what they enclose.
    ribosome_distance_nm
        Distance to the nearest ribosome's centre.
    matrix_granule
        Dense granules of mitochondria.
    margin_vox
        Voxels beyond the field on both sides in x, seen only by tilted beams.
    """

    density: Tensor
    regions: Tensor
    instances: Tensor
    membrane_distance_nm: Tensor
    axis_distance_nm: Tensor
    outer_distance_nm: Tensor
    inner_distance_nm: Tensor
    crista: Tensor
    ribosome_distance_nm: Tensor
    matrix_granule: Tensor
    voxel_size_nm: float
    margin_vox: int
    generator: torch.Generator

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x) with the margin."""
        z, y, x = self.density.shape
        return z, y, x

    @property
    def device(self) -> torch.device:
        """Where the volumes live."""
        return self.density.device

    def axis_nm(self, axis: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Coordinates of the voxel centres along one axis, zero at the field's first voxel."""
        index = torch.arange(start, self.shape[axis] if stop is None else stop, device=self.device)
        offset = self.margin_vox if axis == 2 else 0
        return (index - offset).float() * self.voxel_size_nm

    def box(
        self, low_nm: tuple[float, ...], high_nm: tuple[float, ...]
    ) -> tuple[slice, slice, slice] | None:
        """Index box that holds a nanometre box, or None where they do not meet."""
        slices = []
        for axis in range(3):
            offset = self.margin_vox if axis == 2 else 0
            start = max(0, int(low_nm[axis] // self.voxel_size_nm) + offset)
            stop = min(self.shape[axis], int(high_nm[axis] // self.voxel_size_nm) + 2 + offset)
            if stop <= start:
                return None
            slices.append(slice(start, stop))
        return slices[0], slices[1], slices[2]

    def grid_nm(self, box: tuple[slice, slice, slice]) -> tuple[Tensor, Tensor, Tensor]:
        """Broadcastable z, y, x coordinates of a box."""
        z, y, x = (self.axis_nm(axis, box[axis].start, box[axis].stop) for axis in range(3))
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def away_nm(self, box: tuple[slice, slice, slice], point_nm: Float64s) -> Tensor:
        """Distance of a box's voxels (z, y, x) from a point."""
        z, y, x = self.grid_nm(box)
        return torch.sqrt(
            (z - float(point_nm[0])) ** 2
            + (y - float(point_nm[1])) ** 2
            + (x - float(point_nm[2])) ** 2
        )


def blank_canvas(
    shape: tuple[int, int, int], voxel_size_nm: float, margin_vox: int, generator: torch.Generator
) -> Canvas:
    """An empty (all void, all ice) canvas of the field plus its margin."""
    full = (shape[0], shape[1], shape[2] + 2 * margin_vox)
    device = generator.device

    def far() -> Tensor:
        return torch.full(full, FAR_NM, device=device)

    return Canvas(
        density=torch.zeros(full, device=device),
        regions=torch.full(full, CLASS_IDS["void"], dtype=torch.uint8, device=device),
        instances=torch.zeros(full, dtype=torch.int32, device=device),
        membrane_distance_nm=far(),
        axis_distance_nm=far(),
        outer_distance_nm=far(),
        inner_distance_nm=far(),
        crista=torch.zeros(full, dtype=torch.bool, device=device),
        ribosome_distance_nm=far(),
        matrix_granule=torch.zeros(full, dtype=torch.bool, device=device),
        voxel_size_nm=voxel_size_nm,
        margin_vox=margin_vox,
        generator=generator,
    )
