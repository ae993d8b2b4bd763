"""p-values against other structures of the template's mass and size, drawn by a network.

Hypothesis: the template matches a place no better than a random macromolecule does (Wang et al.
2018, BMVC). Pseudo-structures come from a generator trained on known densities; each is brought to
the template's mass, radius and spectrum, since size alone would otherwise tell them apart.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from engine.data.arrays import Float32s
from engine.data.template import Template
from engine.matching.basis import TemplateBasis, template_basis
from engine.matching.filters import MatchFilter
from engine.matching.masked_template import masked_template
from engine.matching.pseudo_structures import matched_structures
from engine.matching.rotation_grid import even_rotations
from engine.matching.search import filtered_gram, score_coefficients, telling_rows
from engine.matching.significance import NullTable

KEEP, LARGEST_BASIS = 0.93, 320


class StructureSource(Protocol):
    """Draws densities of random macromolecules."""

    def draw(self, n: int, *, rng: np.random.Generator) -> Float32s:
        """Densities (n, side, side, side), at least 0."""
        ...


@dataclass(frozen=True)
class GenerativeNull:
    """A basis that spans template and pseudo-structures, and their scan coefficients in it."""

    basis: TemplateBasis
    table: NullTable


def generative_null(
    template: Template,
    match_filter: MatchFilter,
    source: StructureSource,
    *,
    n_nulls: int,
    n_rotations: int,
    rng: np.random.Generator,
) -> GenerativeNull:
    """Draw pseudo-structures and prepare the coarse search that all of them share.

    Every structure keeps the same share of its norm in the basis, so that none is favoured.
    """
    drawn = matched_structures(source.draw(n_nulls, rng=rng), template)
    structures = (template, *(replace(template, voxels=density) for density in drawn))
    basis = template_basis(
        tuple(masked_template(structure) for structure in structures),
        keep=KEEP,
        largest=LARGEST_BASIS,
    )
    gram = filtered_gram(basis, match_filter)
    rotations = even_rotations(n_rotations)
    share = min(*basis.kept_correlation, KEEP)
    out = np.zeros((len(structures), n_rotations, basis.size), dtype=np.float32)
    for number in range(len(structures)):
        rows = telling_rows(basis, number, share, basis.size)
        own = np.zeros((n_rotations, basis.size), dtype=np.float32)
        own[:, rows] = basis.coefficients_of(number, rotations)[:, rows]
        out[number] = score_coefficients(basis, gram, number, own)
    return GenerativeNull(basis, NullTable(torch.from_numpy(out), 0))
