"""The folder that `tomodx match` writes."""

import csv
import json
import math
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from engine.data.orientations import relion_from_rotations
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.io.digests import fresh_folder, plain_name, write_text_atomically
from engine.io.match_picture import write_match_picture
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.provenance_file import write_provenance
from engine.io.star import write_star
from engine.matching.abundance import Abundance
from engine.matching.results import MatchResult, TemplateSummary

PICKS_STAR, PICKS_CSV, SCORES = "picks.star", "picks.csv", "scores.mrc"
SUMMARY, PICTURE = "match.json", "preview.png"
PLACE_COLUMNS = ("template", "z_nm", "y_nm", "x_nm", "rot_deg", "tilt_deg", "psi_deg")
FIGURE_COLUMNS = ("score", "p_value", "q_value", "probability")
EXTRA_COLUMNS = (
    "scan_score",
    "sigmas",
    "margin",
    "peak_shape",
    "explained_share",
    "expected_noise_picks",
)


def write_match(
    folder: Path,
    result: MatchResult,
    tomogram: Tomogram,
    abundances: tuple[Abundance, ...],
    provenance: Provenance,
) -> tuple[str, ...]:
    """Write picks, scores, figures and a picture; the folder appears when all are in it.

    Returns
    -------
    tuple of str
        Names of the files. `scores.mrc` holds the first template's scores; each further one has a
        file of its own, `scores_NAME.mrc`. Where nothing is searched, scores are 0.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    simulated = provenance.simulated or tomogram.provenance.simulated
    words = f"{SIMULATED_WORDS}: " if simulated else ""
    with fresh_folder(folder) as staging:
        shapes = {tomogram.tomogram_id: tomogram.voxels.shape}
        write_star(
            staging / PICKS_STAR,
            result.particles,
            flavour="relion4",
            voxel_size_angst=tomogram.voxel_size_angst,
            tomogram_shapes=shapes,
        )
        write_text_atomically(staging / PICKS_CSV, picks_csv(result.particles))
        for number, summary in enumerate(result.summaries):
            name = SCORES if number == 0 else f"scores_{plain_name(summary.template_id)}.mrc"
            write_volume(
                staging / name,
                result.scores[number],
                tomogram.voxel_size_angst,
                label=f"{words}score of {summary.template_id}, best rotation"[:80],
            )
        write_text_atomically(
            staging / SUMMARY, _json(match_summary(result, tomogram, abundances, simulated))
        )
        write_match_picture(staging / PICTURE, result, tomogram, simulated=simulated)
        return write_provenance(staging, provenance)


def picks_csv(
    particles: ParticleSet,
    *,
    figures: tuple[str, ...] = (*FIGURE_COLUMNS, *EXTRA_COLUMNS),
    tomogram: bool = False,
) -> str:
    """Tidy table of picks in their order: positions in nanometre, angles as RELION's.

    Parameters
    ----------
    figures
        Columns after the angles; those that the picks lack are left out.
    tomogram
        Whether a column names each pick's tomogram.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    known = [name for name in figures if name in particles.figures]
    first = ("tomogram", *PLACE_COLUMNS) if tomogram else PLACE_COLUMNS
    writer.writerow([*first, *known])
    angles = relion_from_rotations(particles.rotations)
    for index in range(len(particles)):
        values = [particles.figures[name][index] for name in known]
        writer.writerow(
            [
                *([particles.tomogram_ids[index]] if tomogram else []),
                particles.class_names[index],
                *(f"{value / 10.0:.4f}" for value in particles.positions_angst[index]),
                *(f"{value:.4f}" for value in angles[index]),
                *("" if math.isnan(value) else f"{value:.6g}" for value in values),
            ]
        )
    return stream.getvalue()


def match_summary(
    result: MatchResult,
    tomogram: Tomogram,
    abundances: tuple[Abundance, ...],
    simulated: bool,
) -> dict[str, Any]:
    """What the search found and rests on, ready for JSON."""
    return {
        "tomogram": tomogram.tomogram_id,
        "n_picks": len(result.particles),
        "n_searched_voxels": result.n_searched_vox,
        "basis_size": result.basis_size,
        "simulated": simulated,
        "templates": [
            {**_summary_json(summary), "abundance": asdict(found)}
            for summary, found in zip(result.summaries, abundances, strict=True)
        ],
    }


def _summary_json(summary: TemplateSummary) -> dict[str, Any]:
    values = asdict(summary)
    del values["false_positives"]
    return values


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
