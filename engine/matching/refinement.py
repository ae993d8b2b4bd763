"""Candidates scored again and refined with the template itself.

The scan's grid and basis find where to look. Around each candidate the orientation is refined in a
basis that keeps nearly all of the template (its coefficients are known for any rotation), then the
true rotated template gives the score, and a parabola the place between voxels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s, Ints
from engine.matching.basis import TemplateBasis, template_basis
from engine.matching.correlation import point_maps
from engine.matching.exact import TemplateRotator, exact_scores
from engine.matching.masked_template import MaskedTemplate
from engine.matching.matched_volume import MatchedVolume
from engine.matching.rotation_grid import distinct_rotations, even_rotations, step_deg_for
from engine.matching.search import filtered_gram, score_coefficients

KEEP, LARGEST_BASIS = 0.998, 400
N_SEED_ROTATIONS = 2000
N_SEEDS = 2
SMALLEST_STEP_DEG = 0.4
BATCH = 32
SHAPE_REACH_VOX = 2
NEIGHBOURS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
CENTRE = 13


@dataclass(frozen=True)
class Refined:
    """Refined candidates.

    Attributes
    ----------
    positions_vox
        float64 (n, 3), (z, y, x).
    rotations
        n.
    scores
        float64 (n,): exact score at the nearest voxel.
    """

    positions_vox: Float64s
    rotations: Rotation
    scores: Float64s


class Refiner:
    """Refines candidates of one template in one tomogram."""

    def __init__(self, volume: MatchedVolume, masked: MaskedTemplate) -> None:
        self._volume = volume
        self._basis: TemplateBasis = template_basis((masked,), keep=KEEP, largest=LARGEST_BASIS)
        self._gram = filtered_gram(self._basis, volume.filter)
        self._rotator = TemplateRotator(masked.template, volume.filter)
        symmetry = masked.template.symmetry
        self._seeds = distinct_rotations(even_rotations(N_SEED_ROTATIONS), symmetry)
        self._seed_coefficients = torch.from_numpy(self._coefficients(self._seeds))
        self._seed_step_deg = step_deg_for(N_SEED_ROTATIONS)

    def _coefficients(self, rotations: Rotation) -> Float32s:
        return score_coefficients(
            self._basis, self._gram, 0, self._basis.coefficients_of(0, rotations)
        )

    @property
    def rotator(self) -> TemplateRotator:
        """Turns the template."""
        return self._rotator

    def refine(self, positions_vox: Ints) -> Refined:
        """Refine candidates (n, 3) within a voxel of where they were found."""
        parts = [
            self._refine_some(positions_vox[start : start + BATCH])
            for start in range(0, len(positions_vox), BATCH)
        ]
        if not parts:
            return Refined(np.empty((0, 3)), Rotation.from_quat(np.empty((0, 4))), np.empty(0))
        return Refined(
            np.concatenate([p.positions_vox for p in parts]),
            Rotation.concatenate([p.rotations for p in parts]),
            np.concatenate([p.scores for p in parts]),
        )

    def peak_shape(self, position_vox: Ints, rotation: Rotation) -> float:
        """Correlation of the scores around a voxel with the template's own peak."""
        expected = self._rotator.own_peak(rotation, SHAPE_REACH_VOX).ravel()
        axis = np.arange(-SHAPE_REACH_VOX, SHAPE_REACH_VOX + 1)
        around = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        scores = exact_scores(self._volume, self._rotator, position_vox + around, rotation)
        if not scores.std() > 0:
            return 0.0
        return float(np.corrcoef(scores, expected)[0, 1])

    def _refine_some(self, positions_vox: Ints) -> Refined:
        n = len(positions_vox)
        around = (positions_vox[:, None] + NEIGHBOURS[None]).reshape(-1, 3)
        points = point_maps(self._volume, self._basis, around)
        inverse = points.inverse_norms[0]
        # (n, K, 27): maps in units of the score.
        maps = (
            (points.maps * inverse).reshape(self._basis.size, n, 27).permute(1, 0, 2).contiguous()
        )
        rotations = self._seed_rotations(maps)
        rotations, scores = self._climb(maps.repeat_interleave(N_SEEDS, dim=0), rotations)
        best = scores.reshape(n, N_SEEDS).argmax(axis=1) + np.arange(n) * N_SEEDS
        rotations = rotations[best]
        final = torch.einsum(
            "nk,nkp->np", torch.from_numpy(self._coefficients(rotations)), maps
        ).argmax(dim=1)
        return self._finish(positions_vox + NEIGHBOURS[final.numpy()], rotations)

    def _seed_rotations(self, maps: torch.Tensor) -> Rotation:
        """Best grid rotation of each candidate and the best one well away from it: (n * seeds)."""
        scores = torch.stack([(self._seed_coefficients @ one).amax(dim=1) for one in maps]).numpy()
        quaternions = self._seeds.as_quat()
        first = scores.argmax(axis=1)
        nearness = np.abs(quaternions[first] @ quaternions.T)
        near = nearness > np.cos(np.radians(1.5 * self._seed_step_deg))
        second = np.where(near, -np.inf, scores).argmax(axis=1)
        return self._seeds[np.stack([first, second], axis=1).ravel()]

    def _climb(self, maps: torch.Tensor, rotations: Rotation) -> tuple[Rotation, Float64s]:
        """Turn each orientation by smaller and smaller steps while its score grows."""
        step_deg = 0.5 * self._seed_step_deg
        directions = np.delete(NEIGHBOURS, CENTRE, axis=0).astype(np.float64)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        scores = np.full(len(rotations), -np.inf)
        while step_deg > SMALLEST_STEP_DEG:
            moves = Rotation.from_rotvec(
                np.concatenate([np.zeros((1, 3)), directions * np.radians(step_deg)])
            )
            for _ in range(2):
                tried = Rotation.concatenate([moves * rotation for rotation in rotations])
                values = self._scores_of(tried, maps, len(moves))
                choice = values.argmax(axis=1)
                scores = values[np.arange(len(values)), choice]
                rotations = tried[np.arange(len(values)) * len(moves) + choice]
                if not choice.any():
                    break
            step_deg *= 0.5
        return rotations, scores

    def _scores_of(self, tried: Rotation, maps: torch.Tensor, n_moves: int) -> Float64s:
        coefficients = torch.from_numpy(self._coefficients(tried))
        values = torch.bmm(coefficients.reshape(len(maps), n_moves, -1), maps).amax(dim=2)
        result: Float64s = values.double().numpy()
        return result

    def _finish(self, positions_vox: Ints, rotations: Rotation) -> Refined:
        places = positions_vox.astype(np.float64)
        scores = np.empty(len(places))
        for index, found in enumerate(positions_vox):
            position = found
            values = exact_scores(
                self._volume, self._rotator, position + NEIGHBOURS, rotations[index]
            )
            top = int(values.argmax())
            if top != CENTRE:
                position = position + NEIGHBOURS[top]
                values = exact_scores(
                    self._volume, self._rotator, position + NEIGHBOURS, rotations[index]
                )
            scores[index] = values[CENTRE]
            places[index] = position + parabola_offset(values.reshape(3, 3, 3))
        return Refined(places, rotations, scores)


def parabola_offset(values: Float64s) -> Float64s:
    """Offset (3,) of the maximum from the middle of 27 values, within half a voxel on each axis."""
    offsets = np.zeros(3)
    for axis in range(3):
        line = np.moveaxis(values, axis, 0)[:, 1, 1]
        curvature = line[0] - 2.0 * line[1] + line[2]
        if curvature < 0:
            offsets[axis] = np.clip(0.5 * (line[0] - line[2]) / curvature, -0.5, 0.5)
    return offsets
