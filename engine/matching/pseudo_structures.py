"""Structures that do not exist, made alike to a template: the null of template matching.

A template is believed where it fits better than random structures of its size and mass do. A
pseudo-structure that differed in radius, mass or spectrum would lose for that alone, so these
three are matched first.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import affine_transform, gaussian_filter, spline_filter

from engine.data.arrays import Bools, Float32s, Float64s, Ints
from engine.data.template import Hand, Template
from engine.errors import BadInputError
from engine.simulation.macromolecules import blob_chain

# Of the maximum: a generated density fades into a background that is not quite 0.
BACKGROUND_SHARE = 0.02
SCALE_ROUNDS, SPECTRUM_ROUNDS = 8, 3
RADIUS_TOLERANCE = 0.01
# The radius answers to the scale less than in proportion where the box cuts: small steps.
STEP_RANGE = (0.8, 1.25)
# A shell that a structure lacks is not made of its rounding errors.
LARGEST_GAIN = 30.0
# Multiplied shells ring far outside a structure; kept there, the ringing would add to its radius.
SUPPORT_SMOOTHING_VOX, SUPPORT_SHARE = 1.5, 0.02
# Of the maximum: a template with deeper negative voxels was filtered, so may its rivals be.
NEGATIVE_SHARE = 0.02
# Of the summed magnitudes: below it the sum says nothing about the mass.
MASS_SHARE = 0.05
CHAIN_BOX_VOX, CHAIN_RADIUS_VOX, CHAIN_BLOBS = 32, 12.5, (8, 22)


@dataclass(frozen=True)
class _Target:
    """What the structures of one template are matched to."""

    region: Bools
    density: Float64s
    centre_vox: Float64s
    radius_vox: float
    shells: Ints
    radii: Float64s
    amplitudes: Float64s
    may_be_negative: bool


def centre_of_mass_vox(density: Float64s) -> Float64s:
    """Centre (3,) of the positive part, (z, y, x) in voxels from the corner."""
    positive = np.clip(density, 0.0, None)
    axes = np.ogrid[tuple(slice(n) for n in density.shape)]
    moments = np.array([(positive * axis).sum() for axis in axes], dtype=np.float64)
    return np.asarray(moments / positive.sum(), dtype=np.float64)


def radius_of_gyration_vox(density: Float64s) -> float:
    """Root mean square distance of the positive part from its centre of mass, voxels."""
    positive = np.clip(np.asarray(density, dtype=np.float64), 0.0, None)
    centre = centre_of_mass_vox(positive)
    axes = np.ogrid[tuple(slice(n) for n in density.shape)]
    squared = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    return float(np.sqrt((positive * squared).sum() / positive.sum()))


def radial_amplitudes(density: Float64s) -> Float64s:
    """Root mean square Fourier amplitude of the shells 0, 1, 2 … up to the corner."""
    shells, _ = _shells(density.shape[0])
    return _shell_amplitudes(rfftn(np.asarray(density, dtype=np.float64)), shells)


def matched_structures(densities: Float32s, template: Template) -> Float32s:
    """Structures scaled to a template: radius of gyration, radial spectrum, mass.

    Each is magnified to the radius of gyration of the template within its mask, its Fourier
    shells are multiplied to the amplitudes of the template, and it is confined to the sphere
    around the box centre that holds the mask (the mask itself may have the template's shape and
    would lend it to its rivals). Confining changes radius and spectrum a little, so the steps are
    repeated. The template counts as `voxels * mask`.

    Parameters
    ----------
    densities
        (n, side, side, side), at least 0; any side and scale.
    template
        Gives box, centre, radius, spectrum and mass.

    Returns
    -------
    Float32s
        (n, box, box, box), orientation as given, mass at the template's centre of mass; an
        empty batch for n = 0.

    Raises
    ------
    BadInputError
        A density without positive values, or a template without any.

    References
    ----------
    Equal mass and size, without which size alone rejects the null: Wang et al. (2018), BMVC.
    """
    if densities.ndim != 4:
        raise BadInputError(f"expected densities (n, z, y, x), found shape {densities.shape}")
    target = _target(template)
    box = template.box_vox
    matched = np.zeros((len(densities), box, box, box), dtype=np.float32)
    for index, density in enumerate(densities):
        matched[index] = _matched(np.asarray(density, dtype=np.float64), target)
    return matched


def mirrored(template: Template) -> Template:
    """The other hand: template and mask reflected in x through the box centre `n // 2`.

    In boxes of even side the first plane has no partner and stays where it is. Symmetry axes of
    `Cn` and `Dn` lie in the mirror's plane or across it, so the symmetry is unchanged.
    """
    hand: Hand = "as_given" if template.hand == "mirrored" else "mirrored"
    return dataclasses.replace(
        template, voxels=_reflected(template.voxels), mask=_reflected(template.mask), hand=hand
    )


def random_phases(voxels: Float32s, *, rng: np.random.Generator) -> Float32s:
    """A volume of the same amplitude in every Fourier component and random phases.

    The phases are those of white noise, hence Friedel-symmetric; the mean keeps its sign.
    """
    transform = rfftn(np.asarray(voxels, dtype=np.float64))
    noise = rfftn(rng.standard_normal(voxels.shape))
    noise[0, 0, 0] = transform[0, 0, 0]
    phases = noise / np.maximum(np.abs(noise), np.finfo(np.float64).tiny)
    return np.asarray(irfftn(np.abs(transform) * phases, s=voxels.shape), dtype=np.float32)


def phase_permuted(template: Template, *, rng: np.random.Generator) -> Template:
    """The template with random phases, masked, without symmetry.

    What random phases spread outside the mask is lost, so the rest is scaled to the sum of
    squares that the masked template has.
    """
    mask = template.mask.astype(np.float64)
    permuted = random_phases(template.voxels, rng=rng) * mask
    power = float(((template.voxels * mask) ** 2).sum())
    permuted *= np.sqrt(power / max(float((permuted**2).sum()), np.finfo(np.float64).tiny))
    return dataclasses.replace(template, voxels=permuted.astype(np.float32), symmetry="C1")


def random_blob_chains(n: int, template: Template, *, rng: np.random.Generator) -> Float32s:
    """Chains of 8 to 21 Gaussian blobs matched to a template; (n, box, box, box)."""
    chains = np.zeros((n, *(CHAIN_BOX_VOX,) * 3), dtype=np.float32)
    for index, child in enumerate(rng.spawn(n)):
        n_blobs = int(child.integers(*CHAIN_BLOBS))
        chains[index] = blob_chain(CHAIN_BOX_VOX, CHAIN_RADIUS_VOX, n_blobs, rng=child)
    return matched_structures(chains, template)


def _reflected(volume: Float32s) -> Float32s:
    flipped = np.flip(volume, axis=2)
    return np.roll(flipped, 1, axis=2) if volume.shape[2] % 2 == 0 else flipped


def _shells(side: int) -> tuple[Ints, Float64s]:
    """Nearest shell and radius of the components of a real transform."""
    full, half = np.fft.fftfreq(side, 1.0 / side), np.fft.rfftfreq(side, 1.0 / side)
    squared = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
    radii = np.sqrt(squared)
    return np.rint(radii).astype(np.int64), radii


def _shell_amplitudes(transform: Float64s, shells: Ints) -> Float64s:
    # Columns of the half transform stand for two, but for the first and that of Nyquist.
    weights = np.full(shells.shape, 2.0)
    weights[..., 0] = 1.0
    if shells.shape[0] % 2 == 0:
        weights[..., -1] = 1.0
    flat = shells.ravel()
    power = np.bincount(flat, (weights * np.abs(transform) ** 2).ravel())
    return np.asarray(np.sqrt(power / np.bincount(flat, weights.ravel())), dtype=np.float64)


def _target(template: Template) -> _Target:
    density = template.voxels.astype(np.float64) * template.mask
    if not density.max() > 0:
        raise BadInputError(f"{template.template_id}: no positive voxel within the mask")
    box = template.box_vox
    squared = sum((axis - box // 2) ** 2 for axis in np.ogrid[:box, :box, :box])
    distance = np.sqrt(np.asarray(squared, dtype=np.float64))
    reach_vox = min(float(distance[template.mask > 0].max()), (box - 1) / 2)
    shells, radii = _shells(box)
    return _Target(
        region=distance <= reach_vox,
        density=density,
        centre_vox=centre_of_mass_vox(density),
        radius_vox=radius_of_gyration_vox(density),
        shells=shells,
        radii=radii,
        amplitudes=_shell_amplitudes(rfftn(density), shells),
        may_be_negative=bool(density.min() < -NEGATIVE_SHARE * density.max()),
    )


def _matched(density: Float64s, target: _Target) -> Float64s:
    highest = float(density.max())
    if not (np.isfinite(density).all() and highest > 0):
        raise BadInputError("expected finite densities with positive values")
    density = np.clip(density / highest - BACKGROUND_SHARE, 0.0, None)
    scale = target.radius_vox / radius_of_gyration_vox(density)
    best, closest = density, np.inf
    for _ in range(SCALE_ROUNDS):
        fitted = _fitted(_magnified(density, scale, target), target)
        ratio = target.radius_vox / radius_of_gyration_vox(fitted)
        if abs(np.log(ratio)) < closest:
            best, closest = fitted, abs(np.log(ratio))
        if closest < RADIUS_TOLERANCE:
            break
        scale *= np.clip(ratio, *STEP_RANGE)
    best *= _mass_ratio(best, target)
    return best


def _magnified(density: Float64s, scale: float, target: _Target) -> Float64s:
    """The density magnified, its centre of mass at that of the target."""
    centre = centre_of_mass_vox(density)
    if scale < 1:
        density = gaussian_filter(density, 0.5 * np.sqrt(1.0 / scale**2 - 1.0))
    magnified = affine_transform(
        spline_filter(density, order=3),
        np.full(3, 1.0 / scale),
        offset=centre - target.centre_vox / scale,
        output_shape=target.density.shape,
        prefilter=False,
    )
    return np.asarray(np.clip(magnified, 0.0, None) * target.region, dtype=np.float64)


def _fitted(density: Float64s, target: _Target) -> Float64s:
    """The density with the shell amplitudes of the target, confined to its region."""
    wanted = target.amplitudes
    smooth = gaussian_filter(density, SUPPORT_SMOOTHING_VOX)
    support = target.region & (smooth > SUPPORT_SHARE * smooth.max())
    for _ in range(SPECTRUM_ROUNDS):
        transform = rfftn(density)
        found = _shell_amplitudes(transform, target.shells)
        gains = np.minimum(wanted / np.maximum(found, 1e-12 * found.max()), LARGEST_GAIN)
        # Between shells the gain is interpolated: steps would ring.
        gain = np.interp(target.radii, np.arange(len(gains)), gains)
        density = irfftn(transform * gain, s=density.shape) * support
        if not target.may_be_negative:
            density = np.clip(density, 0.0, None)
    return density


def _mass_ratio(density: Float64s, target: _Target) -> float:
    """Factor to the sum of the target; to its length where the sums all but vanish."""
    wanted, found = float(target.density.sum()), float(density.sum())
    shares = (wanted / np.abs(target.density).sum(), found / np.abs(density).sum())
    if min(shares) > MASS_SHARE:
        return wanted / found
    return float(np.sqrt((target.density**2).sum() / (density**2).sum()))
