"""What `tomodx classify` writes: classes, embeddings, particles, picture, provenance."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.arrays import Float32s
from engine.data.classification import NONE_OF_THESE, ClassAverages, Classification
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.io.averages_picture import write_averages_picture
from engine.io.classification_picture import write_classification_picture
from engine.io.digests import atomic_file, plain_name, write_text_atomically
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.provenance_file import write_provenance
from engine.io.star import write_star

CLASSES_CSV, EMBEDDINGS, PARTICLES, PICTURE = (
    "classes.csv", "embeddings.npy", "particles.star", "classes.png",
)  # fmt: skip
AVERAGE, AVERAGES_PICTURE = "average", "averages.png"
ANGST_PER_NM = 10.0


def write_classification(
    folder: Path,
    stack: SubtomogramStack,
    found: Classification,
    provenance: Provenance,
    *,
    averages: ClassAverages | None = None,
    particles: ParticleSet | None = None,
    voxel_size_angst: float | None = None,
) -> tuple[str, ...]:
    """Write all files into an empty folder; returns their names.

    Parameters
    ----------
    averages
        What the stack made of its classes: one map each, and a picture of all.
    particles
        The picks that the subtomograms were cut out at, in the same order; None for a stack. They
        come back as `particles.star` in voxels of `voxel_size_angst`, named by their class.
    """
    names = class_names_of(found)
    write_text_atomically(folder / CLASSES_CSV, _table(stack, found, names, particles))
    _write_array(folder / EMBEDDINGS, found.embeddings)
    if particles is not None and voxel_size_angst is not None:
        named = ParticleSet(
            particles.positions_angst,
            particles.rotations,
            particles.tomogram_ids,
            tuple(names),
            {**particles.figures, "class_probability": found.probabilities.max(axis=1)},
        )
        write_star(folder / PARTICLES, named, flavour="relion4", voxel_size_angst=voxel_size_angst)
    write_classification_picture(folder / PICTURE, stack, found, simulated=provenance.simulated)
    if averages is not None:
        label = SIMULATED_WORDS if provenance.simulated else ""
        # Numbers keep names apart that are plain names alike.
        for number, (name, volume) in enumerate(
            zip(averages.names, averages.volumes, strict=True), start=1
        ):
            path = folder / f"{AVERAGE}_{number}_{plain_name(name)}.mrc"
            write_volume(path, volume, averages.voxel_size_angst, label=label)
        write_averages_picture(folder / AVERAGES_PICTURE, averages, simulated=provenance.simulated)
    return write_provenance(folder, provenance)


def class_names_of(found: Classification) -> list[str]:
    """Name of every subtomogram's class, `none_of_these` beyond the limit."""
    return [
        NONE_OF_THESE if none else found.class_names[kind]
        for kind, none in zip(found.kinds, found.is_none, strict=True)
    ]


def _table(
    stack: SubtomogramStack,
    found: Classification,
    names: Sequence[str],
    particles: ParticleSet | None,
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = ("z_nm", "y_nm", "x_nm") if particles is not None else ()
    known = ("label",) if any(stack.labels) else ()
    writer.writerow(
        ["name", "class", "probability", "distance", *places, *known]
        + [f"p_{name}" for name in found.class_names]
    )
    for index, name in enumerate(stack.names):
        own = found.probabilities[index]
        # What is none of the classes has no probability of being one.
        sure = "" if found.is_none[index] else f"{own.max():.4f}"
        place = (
            [f"{one / ANGST_PER_NM:.2f}" for one in particles.positions_angst[index]]
            if particles is not None
            else []
        )
        label = [stack.labels[index]] if known else []
        writer.writerow(
            [name, names[index], sure, f"{found.distances[index]:.2f}", *place, *label]
            + [f"{one:.4f}" for one in own]
        )
    return text.getvalue()


def _write_array(path: Path, values: Float32s) -> None:
    with atomic_file(path) as staging, staging.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(values, dtype=np.float32))
