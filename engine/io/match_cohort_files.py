"""The folder with the matches of several tomograms taken together."""

import csv
from io import StringIO
from pathlib import Path

from engine.data.provenance import Provenance
from engine.io.digests import fresh_folder, write_text_atomically
from engine.io.match_cohort_picture import write_match_cohort_picture
from engine.io.match_files import EXTRA_COLUMNS, FIGURE_COLUMNS, picks_csv
from engine.io.particle_coordinates import TomogramShapes
from engine.io.provenance_file import write_provenance
from engine.io.star import write_star
from engine.matching.cohort import COHORT_Q, CohortRow, MatchCohort

PICKS_CSV, PICKS_STAR, ABUNDANCE_CSV = "cohort_picks.csv", "cohort_picks.star", "abundance.csv"
PICTURE = "cohort.png"
ALL = "all"
ABUNDANCE_COLUMNS = (
    "template", "tomogram", "picks", "significant", "copies", "per_um3", "low_per_um3",
    "high_per_um3", "volume_um3",
)  # fmt: skip


def write_match_cohort(
    folder: Path,
    cohort: MatchCohort,
    provenance: Provenance,
    *,
    voxel_size_angst: float | None,
    tomogram_shapes: TomogramShapes,
) -> tuple[str, ...]:
    """Write picks, abundances and a picture; the folder appears when all are in it.

    Parameters
    ----------
    voxel_size_angst
        Of all tomograms; None where they differ or it is not known: then there is no STAR file.

    Returns
    -------
    tuple of str
        Names of the files.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    with fresh_folder(folder) as staging:
        write_text_atomically(
            staging / PICKS_CSV,
            picks_csv(
                cohort.picks, figures=(*FIGURE_COLUMNS, COHORT_Q, *EXTRA_COLUMNS), tomogram=True
            ),
        )
        if voxel_size_angst is not None:
            write_star(
                staging / PICKS_STAR,
                cohort.picks,
                flavour="relion4",
                voxel_size_angst=voxel_size_angst,
                tomogram_shapes=tomogram_shapes,
            )
        write_text_atomically(staging / ABUNDANCE_CSV, _abundance_csv(cohort))
        write_match_cohort_picture(staging / PICTURE, cohort, simulated=provenance.simulated)
        return write_provenance(staging, provenance)


def _abundance_csv(cohort: MatchCohort) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(ABUNDANCE_COLUMNS)
    for row in (*cohort.rows, *cohort.totals):
        writer.writerow(_cells(row))
    return stream.getvalue()


def _cells(row: CohortRow) -> list[str]:
    found = row.abundance
    numbers = (
        found.copies, found.per_um3, found.low_per_um3, found.high_per_um3, found.volume_um3,
    )  # fmt: skip
    return [
        row.template_id,
        row.tomogram_id or ALL,
        str(row.n_picks),
        str(row.n_significant),
        *(f"{number:.6g}" for number in numbers),
    ]
