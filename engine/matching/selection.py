"""Which candidates of all templates stand: no overlaps, and no peaks that a better pick explains.

A copy of a structure also raises scores a radius away, where a turned template meets one half of
it. Such a shoulder is not a second copy: when the better pick's own image is taken out of the
tomogram, its score falls to noise. A pick that may itself be noise explains nothing: it would
take neighbours of its kind with it, and fewer picks of noise would be left than are expected.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s, Ints
from engine.matching.exact import TemplateRotator, exact_terms
from engine.matching.matched_volume import MatchedVolume

# Noise picks that may be expected at the score of a pick that explains others.
SURE_BELOW = 0.05


@dataclass(frozen=True)
class Contender:
    """A refined candidate.

    Attributes
    ----------
    template
        Its number.
    place_vox
        int (3,), nearest voxel.
    rotation
        Reference onto particle.
    strength
        Score in comparable sigmas.
    expected_noise_picks
        At or above its score.
    """

    template: int
    place_vox: Ints
    rotation: Rotation
    strength: float
    expected_noise_picks: float


@dataclass(frozen=True)
class Reach:
    """How far a template's copies keep others away and how far they are felt, voxels."""

    radius_vox: float
    support_vox: float
    threshold: float


def select(
    volume: MatchedVolume,
    rotators: list[TemplateRotator],
    reaches: list[Reach],
    contenders: list[Contender],
) -> Ints:
    """Indices of the contenders that stand, best first."""
    order = np.argsort([-c.strength for c in contenders], kind="stable")
    kept: list[int] = []
    images: dict[int, tuple[float, Float64s]] = {}
    for index in order:
        own = contenders[index]
        reach = reaches[own.template]
        places = np.array([contenders[k].place_vox for k in kept]).reshape(-1, 3)
        distance = np.linalg.norm(places - own.place_vox, axis=1)
        others = [reaches[contenders[k].template] for k in kept]
        nearest = np.array([max(reach.radius_vox, other.radius_vox) for other in others])
        if (distance < nearest - 0.5).any():
            continue
        felt = np.array([reach.support_vox + other.support_vox for other in others])
        sure = np.array([contenders[k].expected_noise_picks for k in kept]) <= SURE_BELOW
        near = [kept[k] for k in np.flatnonzero((distance < felt) & sure)]
        if near and not _stands(volume, rotators, contenders, int(index), near, reach, images):
            continue
        kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def _stands(
    volume: MatchedVolume,
    rotators: list[TemplateRotator],
    contenders: list[Contender],
    index: int,
    near: list[int],
    reach: Reach,
    images: dict[int, tuple[float, Float64s]],
) -> bool:
    """Whether a contender's score without its better neighbours' images exceeds the threshold."""
    own = contenders[index]
    rotator = rotators[own.template]
    above, norm = exact_terms(volume, rotator, own.place_vox[None], own.rotation)
    if not norm[0] > 0:
        return False
    weighted = rotator.rotated(own.rotation).weighted.astype(np.float64)
    left = float(above[0])
    for neighbour in near:
        if neighbour not in images:
            images[neighbour] = _image_of(volume, rotators, contenders[neighbour])
        contrast, image = images[neighbour]
        shift = own.place_vox - contenders[neighbour].place_vox
        left -= contrast * _overlap(weighted, image, shift)
    return left / float(norm[0]) >= reach.threshold


def _image_of(
    volume: MatchedVolume, rotators: list[TemplateRotator], pick: Contender
) -> tuple[float, Float64s]:
    """Contrast of a pick by least squares, and its image of unit contrast."""
    rotator = rotators[pick.template]
    above, _ = exact_terms(volume, rotator, pick.place_vox[None], pick.rotation)
    image = rotator.image(pick.rotation).astype(np.float64)
    weighted = rotator.rotated(pick.rotation).weighted.astype(np.float64)
    own = _overlap(weighted, image, np.zeros(3, dtype=np.int64))
    return float(above[0]) / own, image


def _overlap(weighted: Float64s, image: Float64s, shift_vox: Ints) -> float:
    """Inner product of a template box and a larger image, the box shifted from its centre."""
    box, side = weighted.shape[0], image.shape[0]
    start = side // 2 - box // 2 + shift_vox
    low = np.maximum(start, 0)
    high = np.minimum(start + box, side)
    if (high <= low).any():
        return 0.0
    inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    outer = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    return float((weighted[outer] * image[inner]).sum())
