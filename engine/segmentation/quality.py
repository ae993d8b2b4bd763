"""Doubts about a tomogram, raised from what the networks saw."""

from collections.abc import Sequence

from engine.data.filaments import Filament
from engine.data.measurements import QualityFlag
from engine.data.organelles import Organelle
from engine.data.tomogram import Tomogram

# Set on development tomograms of families A and B, see docs/segmentation.md.
LEAST_OUTLINE_SHARE = 0.5


def quality_flags(
    tomogram: Tomogram,
    organelles: Sequence[Organelle],
    filaments: Sequence[Filament],
    *,
    specimen_share: float,
    certainty: float,
    distance: float | None = None,
    is_filtered: bool = False,
    outline_share: float | None = None,
) -> tuple[QualityFlag, ...]:
    """Flags in a fixed order; none where nothing is doubtful.

    Parameters
    ----------
    specimen_share
        Of the volume that is cell.
    certainty
        Mean probability of the winning class inside the specimen.
    distance
        From ordinary tomograms; fewer than one of them in a hundred exceeds 1.
    is_filtered
        Whether its power spectrum was brought to what the networks know.
    outline_share
        See `engine.segmentation.outline_check`; None where there is nothing to see.
    """
    flags = _volume_flags(tomogram, specimen_share, certainty, distance)
    flags += _object_flags(organelles, filaments)
    if outline_share is not None and outline_share < LEAST_OUTLINE_SHARE:
        flags.append(
            QualityFlag(
                "warning", "faint_membranes",
                f"membranes were seen on {100 * outline_share:.0f} % of the organelles' outlines: "
                "noise hides fine structures, lengths of microtubules are lower bounds",
            )
        )  # fmt: skip
    if is_filtered:
        flags.append(
            QualityFlag(
                "info", "spectrum_corrected",
                "noise and sharpness differ from what the networks know and were brought to it "
                "by a filter: faint structures may be missed",
            )
        )  # fmt: skip
    if tomogram.tilt_range is None:
        flags.append(QualityFlag("info", "tilt_range_unknown", "the tilt range was not given"))
    return tuple(flags)


def _volume_flags(
    tomogram: Tomogram, specimen_share: float, certainty: float, distance: float | None
) -> list[QualityFlag]:
    """Doubts about the recording as a whole."""
    flags = []
    thickness_nm = tomogram.size_nm[0]
    if thickness_nm < 60.0:
        flags.append(
            QualityFlag(
                "warning", "thin_volume",
                f"the volume is {thickness_nm:.0f} nm thick: organelles are cut, "
                "counts are of fragments",
            )
        )  # fmt: skip
    if specimen_share < 0.05:
        flags.append(
            QualityFlag(
                "error", "little_specimen",
                f"only {100 * specimen_share:.0f} % of the volume looks like cell: "
                "check contrast, voxel size and field",
            )
        )  # fmt: skip
    if certainty < 0.75:
        flags.append(
            QualityFlag(
                "warning", "low_certainty",
                f"the networks are unsure here (mean class probability {certainty:.2f}): "
                "the tomogram differs from what they were trained on",
            )
        )  # fmt: skip
    if distance is not None and distance > 1.0:
        flags.append(
            QualityFlag(
                "warning", "unlike_training",
                f"the tomogram is unlike what the networks know (distance {distance:.1f}, ordinary "
                "ones reach 1): check contrast, voxel size, reconstruction; counts may be wrong",
            )
        )  # fmt: skip
    return flags


def _object_flags(
    organelles: Sequence[Organelle], filaments: Sequence[Filament]
) -> list[QualityFlag]:
    """Doubts about counts and lengths where the faces cut too much."""
    flags = []
    mitochondria = [one for one in organelles if one.organelle_class == "mitochondrion"]
    cut = sum(one.touches_border for one in mitochondria)
    if len(mitochondria) >= 2 and cut > 0.5 * len(mitochondria):
        flags.append(
            QualityFlag(
                "info", "many_cut",
                f"{cut} of {len(mitochondria)} mitochondria are cut by the border",
            )
        )  # fmt: skip
    censored = sum(one.starts_at_border or one.ends_at_border for one in filaments)
    if len(filaments) >= 4 and censored > 0.8 * len(filaments):
        flags.append(
            QualityFlag(
                "info", "many_censored",
                f"{censored} of {len(filaments)} microtubules leave the volume: "
                "their lengths are lower bounds",
            )
        )  # fmt: skip
    return flags
