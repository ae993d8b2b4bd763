"""From subtomograms, or a tomogram with picks, to a folder of classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.context import Device
from app.wiring import feature_spreads, subtomogram_classifier
from engine import __version__
from engine.classification.classifier import ClassifierSpec, SubtomogramClassifier
from engine.classification.extraction import extract_subtomograms
from engine.classification.few_examples import labelled_examples
from engine.data.classification import Classification
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance, parameters_digest
from engine.data.subtomograms import SubtomogramStack
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError
from engine.io.classification_files import write_classification
from engine.io.digests import digest_of, fresh_folder
from engine.io.mrc import GivenContrast, read_tomogram, tomogram_id_of
from engine.io.picks_table import read_picks_csv
from engine.io.star import read_star
from engine.io.subtomogram_files import is_subtomogram_file, read_subtomograms


@dataclass(frozen=True)
class ClassifyRequest:
    """What a user asks for.

    Attributes
    ----------
    source
        A stack of subtomograms; with `picks`, a tomogram.
    picks
        Particle STAR, or the `picks.csv` of a match.
    examples
        A labelled stack, or with `picks` particles of the same tomogram with classes: what they
        are of is what is looked for, in the place of the model's own classes.
    averaged
        With examples: let the stack average what they stand for, and compare it with that.
    """

    source: Path
    model: str
    picks: Path | None = None
    examples: Path | None = None
    averaged: bool = False
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
        Boxes that are too small for the model, or no particle in the tomogram; examples without a
        class, or all of one.
    ModelFileError
        Examples for a model that does not say how features of unseen structures lie.
    """
    if request.averaged and request.examples is None:
        raise BadInputError("--averaged needs --examples: a few labelled ones of every class")
    classifier = subtomogram_classifier(request.model, device)
    stack, examples, cut = _read(request, classifier.spec)
    averages = None
    if examples is None:
        found = classifier.classify(stack, on_progress)
    else:
        # Averages need torch, which takes its time to load.
        from app.naming_by_examples import named_by_examples  # noqa: PLC0415

        found, averages = named_by_examples(
            classifier, feature_spreads(request.model), stack, labelled_examples(examples),
            averaged=request.averaged, on_progress=on_progress,
        )  # fmt: skip
    with fresh_folder(out) as folder:
        files = write_classification(
            folder, stack, found, _provenance(stack, examples, classifier, request),
            averages=averages,
            particles=None if cut is None else cut.particles,
            voxel_size_angst=None if cut is None else cut.tomogram.voxel_size_angst,
        )  # fmt: skip
    return FileClassification(stack, found, files, 0 if cut is None else cut.n_left_out)


@dataclass(frozen=True)
class _Cut:
    """What was cut out of a tomogram: the particles that lie in it, and how many do not."""

    tomogram: Tomogram
    particles: ParticleSet
    n_left_out: int


def _read(
    request: ClassifyRequest, spec: ClassifierSpec
) -> tuple[SubtomogramStack, SubtomogramStack | None, _Cut | None]:
    """Subtomograms, examples where there are any, and the tomogram that they were cut out of."""
    if request.picks is None:
        stack = _read_stack(request, request.source)
        shown = None if request.examples is None else _read_stack(request, request.examples)
        return stack, shown, None
    tomogram = read_tomogram(
        request.source,
        voxel_size_angst=request.voxel_size_angst,
        contrast=request.contrast or "auto",
    )
    stack, cut = _cut_out(tomogram, request.source, request.picks, spec)
    if request.examples is None:
        return stack, None, cut
    if is_subtomogram_file(request.examples):
        return stack, _read_stack(request, request.examples), cut
    return stack, _cut_out(tomogram, request.source, request.examples, spec)[0], cut


def _read_stack(request: ClassifyRequest, path: Path) -> SubtomogramStack:
    return read_subtomograms(
        path,
        voxel_size_angst=request.voxel_size_angst,
        contrast=request.contrast or "bright",
    )


def _cut_out(
    tomogram: Tomogram, source: Path, picks: Path, spec: ClassifierSpec
) -> tuple[SubtomogramStack, _Cut]:
    """Subtomograms at the picks of one tomogram, at the model's sampling."""
    name = tomogram_id_of(source)
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
    stack, kept = extract_subtomograms(tomogram, particles, spec.box_vox, spec.voxel_size_nm * 10.0)
    inputs = (*tomogram.provenance.inputs, digest_of(picks))
    stack = replace(stack, provenance=replace(tomogram.provenance, inputs=inputs))
    return stack, _Cut(tomogram, particles.take(kept), len(particles) - len(kept))


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
    stack: SubtomogramStack,
    examples: SubtomogramStack | None,
    classifier: SubtomogramClassifier,
    request: ClassifyRequest,
) -> Provenance:
    parameters = {
        "model": classifier.spec.name,
        "voxel_size_angst": request.voxel_size_angst,
        "contrast": request.contrast,
    }
    shown = () if examples is None else examples.provenance.inputs
    if examples is not None:
        parameters["examples"] = len(examples)
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(parameters),
        inputs=tuple(dict.fromkeys((*stack.provenance.inputs, *shown))),
        models=(classifier.spec.digest,),
        simulated=stack.provenance.simulated,
    )
