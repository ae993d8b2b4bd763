"""The score itself: local normalised correlation with the true rotated template.

score(x, R) = <W m (T_R - mean), x> / (|| W m (T_R - mean) || k sigma_m(x)), with the soft mask m,
the weights W of wedge and optics, k = sqrt(sum m T'^2) / || m T' || and sigma_m(x) the root of the
masked sum of squared deviations of the tomogram (Roseman 2003,
doi:10.1016/S0304-3991(02)00333-9; without W and with a hard mask exactly his). Departure: W is
applied to the masked template, so that its norm is that of what really correlates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from engine.data.arrays import Float32s, Float64s, Ints
from engine.data.template import Template
from engine.matching.correlation import gather, mask_sums_inside
from engine.matching.filters import MatchFilter, grid_frequencies
from engine.matching.masked_template import rotate_volume, voxel_offsets_xyz
from engine.matching.matched_volume import MatchedVolume
from engine.matching.region import fitted_to, needed_box_vox
from engine.matching.transforms import forward, inverse_inner


@dataclass(frozen=True)
class RotatedTemplate:
    """A template in one orientation, as it is correlated.

    Attributes
    ----------
    weighted
        float32 (n, n, n): mask times mean-free template, divided by `scale`.
    mask
        float32 (n, n, n).
    """

    weighted: Float32s
    mask: Float32s


class TemplateRotator:
    """Turns one template; its spline is made once.

    A spherical mask stays as it is; any other turns with the template. The template is taken in
    the smallest box that holds its mask: the filter's weights are sampled in a box of twice the
    side, and the score must not depend on the box that a file happens to have.
    """

    def __init__(self, template: Template, match_filter: MatchFilter) -> None:
        template = fitted_to(template, needed_box_vox(template))
        self._offsets = voxel_offsets_xyz(template.box_vox)
        self._spline = spline_filter(template.voxels.astype(np.float64), order=3)
        self._mask = template.mask
        self.turns_mask = not is_spherical(template.mask)
        self._weights = _box_weights(match_filter, 2 * template.box_vox)
        self.box_vox = template.box_vox
        self._last: tuple[bytes, RotatedTemplate] | None = None

    def rotated(self, rotation: Rotation) -> RotatedTemplate:
        """Template and mask carried by a rotation; the score's own scale divided out."""
        key = rotation.as_quat().tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, self._rotated(rotation))
        return self._last[1]

    def _rotated(self, rotation: Rotation) -> RotatedTemplate:
        box = (self.box_vox,) * 3
        mask = self._mask.astype(np.float64)
        if self.turns_mask:
            places = rotation.inv().apply(self._offsets)[:, ::-1].T + self.box_vox // 2
            mask = map_coordinates(mask, places, order=1).reshape(box).clip(0.0, 1.0)
        inside = mask > 0
        density = np.zeros(box)
        density[inside] = rotate_volume(self._spline, rotation, self._offsets[inside.ravel()])
        free = density - (mask * density).sum() / mask.sum()
        weighted = mask * free
        soft = np.sqrt((mask * free**2).sum() / (weighted**2).sum())
        scale = soft * filtered_norm(weighted, self._weights)
        return RotatedTemplate((weighted / scale).astype(np.float32), mask.astype(np.float32))

    def image(self, rotation: Rotation) -> Float32s:
        """A copy of unit contrast as it stands in `template_padded`, a box of twice the side.

        The weights act twice: once by the microscope, once by the matching filter.
        """
        side = 2 * self.box_vox
        spectrum = forward(torch.from_numpy(self.rotated(rotation).weighted), (side,) * 3)
        half = torch.full((side // 2 + 1,), 2.0)
        half[0] = half[-1] = 1.0
        spectrum = spectrum * self._weights**2 * float(side) ** 3 / half
        image = torch.fft.irfftn(spectrum, s=(side,) * 3)
        # The template's box starts at 0: bring its centre to the middle of the large box.
        shift = self.box_vox - self.box_vox // 2
        values: Float32s = torch.roll(image, (shift,) * 3, (0, 1, 2)).numpy()
        return values

    def own_peak(self, rotation: Rotation, reach_vox: int) -> Float64s:
        """Expected scores around a copy, up to a factor: the filtered autocorrelation.

        Returns
        -------
        Float64s
            (2 reach + 1,) * 3.
        """
        weighted = self.rotated(rotation).weighted
        side = 2 * self.box_vox
        spectrum = forward(torch.from_numpy(weighted), (side, side, side))
        half = torch.ones(side // 2 + 1) * 2.0
        half[0] = half[-1] = 1.0
        power = (spectrum.abs() * self._weights) ** 2 / half
        peak = torch.fft.irfftn(power, s=(side, side, side))
        around = torch.roll(peak, (reach_vox,) * 3, (0, 1, 2))
        near = slice(0, 2 * reach_vox + 1)
        values: Float64s = around[near, near, near].double().numpy()
        return values


def is_spherical(mask: Float32s) -> bool:
    """Whether a mask depends on the distance from the box's centre alone."""
    axis = np.arange(mask.shape[0]) - mask.shape[0] // 2
    squared = (
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    ).ravel()
    order = np.argsort(squared, kind="stable")
    values, radii = mask.ravel()[order], squared[order]
    same = radii[1:] == radii[:-1]
    return bool(np.abs(np.diff(values))[same].max(initial=0.0) < 1e-3)


def _box_weights(match_filter: MatchFilter, box: int) -> Tensor:
    """Weights of `rfftn` coefficients of a box, with the square root of their multiplicity."""
    z, y, x = grid_frequencies((box, box, box), torch.device("cpu"))
    weights = match_filter.template_weights(z, y, x)
    half = torch.full((box // 2 + 1,), 2.0)
    half[0] = half[-1] = 1.0
    scaled: Tensor = weights * half.sqrt() / box**1.5
    return scaled


def filtered_norm(weighted: Float64s, box_weights: Tensor) -> float:
    """Norm of a masked template after the filter, in a box of twice the side."""
    side = 2 * weighted.shape[0]
    spectrum = forward(torch.from_numpy(weighted.astype(np.float32)), (side, side, side))
    return float(torch.linalg.vector_norm(spectrum.abs() * box_weights))


def exact_scores(
    volume: MatchedVolume, rotator: TemplateRotator, positions_vox: Ints, rotation: Rotation
) -> Float64s:
    """Scores (n,) of one rotation at voxels (n, 3)."""
    above, norms = exact_terms(volume, rotator, positions_vox, rotation)
    return np.divide(above, norms, out=np.zeros_like(above), where=norms > 0)


def exact_terms(
    volume: MatchedVolume, rotator: TemplateRotator, positions_vox: Ints, rotation: Rotation
) -> tuple[Float64s, Float64s]:
    """Numerators and local norms (n,) of the score; a norm of 0 marks an empty place."""
    template = rotator.rotated(rotation)
    support = np.flatnonzero(template.mask.ravel() > 0)
    box = (rotator.box_vox,) * 3
    offsets = np.stack(np.unravel_index(support, box), axis=1) - rotator.box_vox // 2
    values = gather(volume.template_padded, volume.halo_vox, positions_vox, offsets).double()
    above = values @ torch.from_numpy(template.weighted.ravel()[support].astype(np.float64))
    if not volume.is_one_side:
        values = gather(volume.local_padded, volume.halo_vox, positions_vox, offsets).double()
    weights = torch.from_numpy(template.mask.ravel()[support].astype(np.float64))
    total = weights.sum()
    there = mask_sums_inside(volume.shape, positions_vox, offsets, weights[None])[0]
    mean = values @ weights / there
    variance = (values**2) @ weights / there - mean**2
    norms = torch.sqrt((total * variance).clamp_min(1e-20))
    norms = torch.where(variance <= volume.empty_variance, torch.zeros_like(norms), norms)
    return above.numpy(), norms.numpy()


def exhaustive_scores(
    volume: MatchedVolume, rotator: TemplateRotator, rotations: Rotation
) -> tuple[Float32s, Ints]:
    """Score and best rotation of every voxel, one Fourier transform a rotation.

    The plain way (as pytom-match-pick and pyTME go it), kept to check the fast one and to measure
    against. Whole volume at once; circular at the faces.
    """
    shape = volume.shape
    spectrum = forward(volume.template_side)
    first, second = forward(volume.local_side), forward(volume.local_side**2)
    best = torch.full(shape, -torch.inf)
    index = torch.zeros(shape, dtype=torch.int64)
    inverse: Tensor | None = None
    fixed_mask = not rotator.turns_mask
    for number in range(len(rotations)):
        template = rotator.rotated(rotations[number])
        if inverse is None or not fixed_mask:
            inverse = _inverse_norm(volume, first, second, template.mask)
        kernel = forward(_laid_around_origin(template.weighted, shape))
        scores = inverse_inner(spectrum * kernel.conj(), shape, 0, shape) * inverse
        better = scores > best
        best = torch.where(better, scores, best)
        index[better] = number
    return best.numpy(), index.numpy()


def _inverse_norm(volume: MatchedVolume, first: Tensor, second: Tensor, mask: Float32s) -> Tensor:
    shape = volume.shape
    kernel = forward(_laid_around_origin(mask, shape)).conj()
    total = float(mask.sum(dtype=np.float64))
    mean = inverse_inner(first * kernel, shape, 0, shape) / total
    square = inverse_inner(second * kernel, shape, 0, shape) / total
    variance = square - mean**2
    norm = torch.rsqrt((total * variance).clamp_min(1e-20))
    return torch.where(variance > volume.empty_variance, norm, torch.zeros_like(norm))


def _laid_around_origin(box: Float32s, shape: tuple[int, int, int]) -> Tensor:
    side = box.shape[0]
    padded = torch.zeros(shape)
    padded[:side, :side, :side] = torch.from_numpy(np.array(box))
    return torch.roll(padded, (-(side // 2),) * 3, (0, 1, 2))
