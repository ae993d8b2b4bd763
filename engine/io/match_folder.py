"""The folder that `tomodx match` wrote, read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.particles import ParticleSet
from engine.data.provenance import FileDigest
from engine.errors import BadInputError, MissingFileError
from engine.io.digests import digest_of
from engine.io.match_files import PICKS_CSV, SCORES, SUMMARY
from engine.io.mrc_header import read_header
from engine.io.picks_table import read_picks_csv
from engine.io.provenance_file import PROVENANCE


@dataclass(frozen=True)
class MatchFolder:
    """What a match found and rests on.

    Attributes
    ----------
    picks
        All of them, best first.
    n_searched_vox
        Of the tomogram that was matched.
    volumes_um3
        Searched for each template; empty where the summary does not say.
    grid
        Its shape (z, y, x) and voxel size in angstrom; None where the scores were deleted.
    inputs
        Files that were matched, by name and hash.
    files
        Files of the folder that were read.
    """

    picks: ParticleSet
    tomogram_id: str
    n_searched_vox: int
    volumes_um3: dict[str, float]
    grid: tuple[tuple[int, int, int], float] | None
    simulated: bool
    inputs: tuple[FileDigest, ...]
    files: tuple[FileDigest, ...]


def read_match_folder(folder: Path) -> MatchFolder:
    """Read picks, summary and provenance of a match.

    Raises
    ------
    MissingFileError
        No such folder, or a file of it is missing.
    BadInputError
        A damaged file.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"expected a folder that `tomodx match` wrote, found none at {folder}; check the path",
            path=str(folder),
        )
    summary, provenance = _read_json(folder / SUMMARY), _read_json(folder / PROVENANCE)
    n_searched, name = summary.get("n_searched_voxels"), summary.get("tomogram")
    if not (isinstance(n_searched, int) and n_searched > 0 and isinstance(name, str)):
        raise BadInputError(
            f"{SUMMARY}: expected a tomogram's name and a number of searched voxels above 0, found "
            f"{name!r} and {n_searched!r}; run the match again",
            path=str(folder / SUMMARY),
        )
    try:
        volumes_um3 = {
            str(entry["template_id"]): float(entry["abundance"]["volume_um3"])
            for entry in summary.get("templates", [])
        }
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(
            f"{SUMMARY}: expected templates with the volume that was searched, found something "
            "else; run the match again",
            path=str(folder / SUMMARY),
        ) from error
    try:
        inputs = tuple(FileDigest(**entry) for entry in provenance["inputs"])
        simulated = bool(provenance["simulated"] or summary["simulated"])
    except (KeyError, TypeError) as error:
        raise BadInputError(
            f"{PROVENANCE}: expected inputs with name and sha256 and whether they are simulated, "
            "found something else; run the match again",
            path=str(folder / PROVENANCE),
        ) from error
    return MatchFolder(
        picks=read_picks_csv(folder / PICKS_CSV, tomogram_id=name),
        tomogram_id=name,
        n_searched_vox=n_searched,
        volumes_um3=volumes_um3,
        grid=_grid(folder / SCORES),
        simulated=simulated,
        inputs=inputs,
        files=tuple(digest_of(folder / part) for part in (PICKS_CSV, SUMMARY)),
    )


def _grid(scores: Path) -> tuple[tuple[int, int, int], float] | None:
    if not scores.is_file():
        return None
    header = read_header(scores)
    return header.shape, header.voxel_xyz_angst[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"expected a folder that `tomodx match` wrote, found no {path.name} in {path.parent}; "
            "check the path or run the match again",
            path=str(path),
        ) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path.name}: expected JSON as the match wrote it, found a damaged file; run the "
            "match again",
            path=str(path),
        ) from error
    if not isinstance(value, dict):
        raise BadInputError(
            f"{path.name}: expected a JSON object, found {type(value).__name__}; run the match "
            "again",
            path=str(path),
        )
    return value
