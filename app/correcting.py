"""Corrections of an analysis: a log beside its folder, and the corrected result beside that."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

from app.evidence import organelles_of
from engine.data.labels import INSTANCE_CLASSES
from engine.data.organelles import Organelle
from engine.errors import BadInputError
from engine.io.analysis_files import INSTANCES, instance_table_text, read_instances
from engine.io.digests import fresh_folder, sha256_of, write_text_atomically
from engine.io.mrc import read_labels, write_volume
from engine.segmentation.corrections import Corrected, Correction, corrected

LOG_SUFFIX, FOLDER_SUFFIX = ".corrections.json", ".corrected"
TABLE, COUNTS, LOG = "instances.csv", "counts.csv", "corrections.json"


@dataclass(frozen=True)
class CorrectedAnalysis:
    """Where the corrected result lies, what was said, and counts before and after, by class."""

    folder: Path
    counts: dict[str, tuple[int, int]]
    corrections: tuple[Correction, ...]
    organelles: tuple[Organelle, ...]

    @property
    def n_corrections(self) -> int:
        """How many there are."""
        return len(self.corrections)


def correct_analysis(analysis: Path, new: Correction | None) -> CorrectedAnalysis:
    """Add a correction to an analysis' log and write the corrected result.

    Parameters
    ----------
    new
        None writes what the log says once more.

    Raises
    ------
    MissingFileError, BadInputError
        No analysis, a log of another analysis, or a correction that does not fit.
    """
    analysis = analysis.resolve()
    ids, voxel_angst = read_labels(analysis / INSTANCES)
    automatic, digest, before = _said(analysis)
    corrections = [*before, *([new] if new else [])]
    result = corrected(ids, automatic, corrections, voxel_angst / 10.0)
    # The log first: it is what cannot be computed again.
    text = json.dumps(
        {"instances_sha256": digest, "corrections": [asdict(one) for one in corrections]},
        indent=1, ensure_ascii=False,
    )  # fmt: skip
    write_text_atomically(log_of(analysis), text + "\n")
    counts = _counts(automatic, result.organelles)
    folder = analysis.with_name(analysis.name + FOLDER_SUFFIX)
    with fresh_folder(folder) as staging:
        write_volume(
            staging / INSTANCES, result.ids, voxel_angst, label="instances after corrections"
        )
        write_text_atomically(staging / TABLE, _with_reader(result))
        write_text_atomically(staging / COUNTS, _counts_text(counts))
        write_text_atomically(staging / LOG, text + "\n")
    return CorrectedAnalysis(folder, counts, tuple(corrections), result.organelles)


def said_of(analysis: Path) -> CorrectedAnalysis:
    """What readers have said of an analysis so far; nothing is written.

    Raises
    ------
    MissingFileError, BadInputError
        As `correct_analysis`.
    """
    analysis = analysis.resolve()
    automatic, _, corrections = _said(analysis)
    after = automatic
    if corrections:
        ids, voxel_angst = read_labels(analysis / INSTANCES)
        after = corrected(ids, automatic, corrections, voxel_angst / 10.0).organelles
    folder = analysis.with_name(analysis.name + FOLDER_SUFFIX)
    return CorrectedAnalysis(folder, _counts(automatic, after), tuple(corrections), after)


def log_of(analysis: Path) -> Path:
    """The log of corrections beside an analysis' folder, whether there is one or not."""
    return analysis.with_name(analysis.name + LOG_SUFFIX)


def _said(analysis: Path) -> tuple[tuple[Organelle, ...], str, list[Correction]]:
    """Automatic instances, the digest of their volume, and the corrections so far."""
    automatic = tuple(organelles_of(read_instances(analysis)))
    digest = sha256_of(analysis / INSTANCES)
    return automatic, digest, _read_log(log_of(analysis), digest)


def _counts(before: Sequence[Organelle], after: Sequence[Organelle]) -> dict[str, tuple[int, int]]:
    return {
        name: (
            sum(one.organelle_class == name for one in before),
            sum(one.organelle_class == name for one in after),
        )
        for name in INSTANCE_CLASSES
    }


def _with_reader(result: Corrected) -> str:
    """The table of instances with a column that says which a reader confirmed."""
    lines = instance_table_text(result.organelles).splitlines()
    accepted = ["accepted"] + [
        "true" if one.instance_id in result.accepted else "" for one in result.organelles
    ]
    return "".join(f"{line},{word}\n" for line, word in zip(lines, accepted, strict=True))


def _counts_text(counts: dict[str, tuple[int, int]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "automatic", "corrected"])
    writer.writerows([name, *both] for name, both in counts.items())
    return text.getvalue()


def _read_log(path: Path, digest: str) -> list[Correction]:
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["instances_sha256"] == digest
        rows = [
            Correction(
                kind=row["kind"],
                instance_ids=tuple(int(number) for number in row["instance_ids"]),
                reason=row["reason"],
                reader=row["reader"],
                when=row["when"],
                seeds_nm=tuple(tuple(float(v) for v in seed) for seed in row["seeds_nm"]),  # type: ignore[misc]
            )
            for row in content["corrections"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path.name}: expected a log of corrections, found something else; move it away",
            path=str(path),
        ) from error
    if not same:
        raise BadInputError(
            f"{path.name}: these corrections are of another analysis of this name; move the file "
            "away to begin anew",
            path=str(path),
        )
    return rows


def place_of(text: str) -> tuple[float, float, float]:
    """Read a place `Z,Y,X` in nanometre.

    Raises
    ------
    BadInputError
        Not three numbers.
    """
    try:
        z, y, x = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(f"expected a place Z,Y,X in nm, found '{text}'") from error
    return z, y, x
