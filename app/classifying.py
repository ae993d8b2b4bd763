"""From subtomograms, or a tomogram with picks, to a folder of classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.context import Device
from app.wiring import subtomogram_classifier
from engine import __version__
from engine.classification.classifier import SubtomogramClassifier
from engine.classification.extraction import extract_subtomograms
from engine.data.classification import Classification
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance, parameters_digest
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError
from engine.io.classification_files import write_classification
from engine.io.digests import digest_of, fresh_folder
from engine.io.mrc import GivenContrast, read_tomogram, tomogram_id_of
from engine.io.picks_table import read_picks_csv
from engine.io.star import read_star
from engine.io.subtomogram_files import read_subtomograms


@dataclass(frozen=True)
class ClassifyRequest:
    """What a user asks for.

    Attributes
    ----------
    source
        A stack of subtomograms; with `picks`, a tomogram.
    picks
        Particle STAR, or the `picks.csv` of a match.
    """

    source: Path
    model: str
    picks: Path | None = None
    voxel_size_angst: float | None = None
    contrast: GivenContrast | None = None


@dataclass(frozen=True)
class FileClassification:
    """A classification with what belongs to it."""

    stack: SubtomogramStack
    found: Classification
    files: tuple[str, ...]
    n_left_out: int


def classify_file(
    request: ClassifyRequest,
    out: Path,
    *,
    device: Device,
    on_progress: Callable[[float], None],
) -> FileClassification:
    """Read, classify, write; nothing is left behind where that fails.

    Raises
    ------
    BadInputError
        Boxes that are too small for the model, or no particle in the tomogram.
    """
    classifier = subtomogram_classifier(request.model, device)
    particles = None
    n_left_out = 0
    if request.picks is None:
        contrast = request.contrast or "bright"
        stack = read_subtomograms(
            request.source, voxel_size_angst=request.voxel_size_angst, contrast=contrast
        )
        coordinates = None
    else:
        stack, particles, coordinates, n_left_out = _cut_out(request, request.picks, classifier)
    found = classifier.classify(stack, on_progress)
    with fresh_folder(out) as folder:
        files = write_classification(
            folder, stack, found, _provenance(stack, classifier, request),
            particles=particles, voxel_size_angst=coordinates,
        )  # fmt: skip
    return FileClassification(stack, found, files, n_left_out)


def _cut_out(
    request: ClassifyRequest, picks: Path, classifier: SubtomogramClassifier
) -> tuple[SubtomogramStack, ParticleSet, float, int]:
    """Subtomograms at the picks of one tomogram, at the model's sampling."""
    tomogram = read_tomogram(
        request.source,
        voxel_size_angst=request.voxel_size_angst,
        contrast=request.contrast or "auto",
    )
    name = tomogram_id_of(request.source)
    if picks.suffix.lower() == ".csv":
        particles = read_picks_csv(picks, tomogram_id=name)
    else:
        particles = read_star(
            picks,
            default_voxel_size_angst=tomogram.voxel_size_angst,
            tomogram_shapes={name: tomogram.voxels.shape},
            allow_missing_angles=True,
        )
        particles = _of_tomogram(particles, name, picks)
    spec = classifier.spec
    stack, kept = extract_subtomograms(tomogram, particles, spec.box_vox, spec.voxel_size_nm * 10.0)
    inputs = (*tomogram.provenance.inputs, digest_of(picks))
    stack = replace(stack, provenance=replace(tomogram.provenance, inputs=inputs))
    return stack, particles.take(kept), tomogram.voxel_size_angst, len(particles) - len(kept)


def _of_tomogram(particles: ParticleSet, name: str, picks: Path) -> ParticleSet:
    """Those of one tomogram; all where the file is of one tomogram, whatever it calls it."""
    names = set(particles.tomogram_ids)
    if len(names) <= 1:
        return particles
    own = np.array([tomogram_id_of(Path(one)) == name for one in particles.tomogram_ids])
    if not own.any():
        raise BadInputError(
            f"{picks.name}: holds particles of {len(names)} tomograms, none of them {name}; give "
            "the tomogram that they are of"
        )
    return particles.take(own)


def _provenance(
    stack: SubtomogramStack, classifier: SubtomogramClassifier, request: ClassifyRequest
) -> Provenance:
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(
            {
                "model": classifier.spec.name,
                "voxel_size_angst": request.voxel_size_angst,
                "contrast": request.contrast,
            }
        ),
        inputs=stack.provenance.inputs,
        models=(classifier.spec.digest,),
        simulated=stack.provenance.simulated,
    )
