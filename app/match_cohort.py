"""From the folders of several matches to one with q-values and abundance over all of them."""

from dataclasses import dataclass
from pathlib import Path

from engine import __version__
from engine.data.provenance import Provenance, parameters_digest
from engine.errors import BadInputError, OutputNotWritableError
from engine.io.digests import require_writable
from engine.io.match_cohort_files import write_match_cohort
from engine.io.match_folder import MatchFolder, read_match_folder
from engine.matching.cohort import MatchCohort, SearchedTomogram, match_cohort

# Headers keep voxel sizes as float32.
SAME_SAMPLING = 1e-3


@dataclass(frozen=True)
class FileMatchCohort:
    """A cohort of matches with what belongs to it."""

    cohort: MatchCohort
    simulated: bool
    files: tuple[str, ...]


def pool_matches(folders: tuple[Path, ...], out_folder: Path) -> FileMatchCohort:
    """Read matches, take them together and write.

    Raises
    ------
    MissingFileError, BadInputError
        A folder that no match wrote, a tomogram given twice.
    OutputNotWritableError
        The folder cannot be made, holds files of others or is one of the matches.
    """
    if out_folder.resolve() in {folder.resolve() for folder in folders}:
        raise OutputNotWritableError(
            f"expected another folder than those of the matches, found {out_folder}; choose "
            "another folder",
            path=str(out_folder),
        )
    require_writable(out_folder)
    matches = [read_match_folder(folder) for folder in folders]
    if not matches:
        raise BadInputError("expected at least one folder of `tomodx match`, found none")
    cohort = match_cohort(
        tuple(
            SearchedTomogram(match.picks, match.tomogram_id, match.volumes_um3) for match in matches
        )
    )
    provenance = Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest({}),
        inputs=tuple(entry for match in matches for entry in match.files),
        simulated=any(match.simulated for match in matches),
    )
    files = write_match_cohort(
        out_folder,
        cohort,
        provenance,
        voxel_size_angst=_shared_sampling(matches),
        tomogram_shapes={
            match.tomogram_id: match.grid[0] for match in matches if match.grid is not None
        },
    )
    return FileMatchCohort(cohort, provenance.simulated, files)


def _shared_sampling(matches: list[MatchFolder]) -> float | None:
    sizes = [match.grid[1] for match in matches if match.grid is not None]
    if len(sizes) < len(matches):
        return None
    same = max(sizes) / min(sizes) - 1.0 <= SAME_SAMPLING
    return sizes[0] if same else None
