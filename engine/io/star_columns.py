"""What the columns of particle STAR files mean to TomoDx: one literal table for each kind."""

import re

AXES = ("X", "Y", "Z")
CORNER_COLUMNS = tuple(f"rlnCoordinate{axis}" for axis in AXES)
CENTRED_COLUMNS = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in AXES)
ORIGIN_COLUMNS = tuple(f"rlnOrigin{axis}Angst" for axis in AXES)
ANGLE_COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
# Orientation in which the subtomogram was cut; angles and shifts are relative to it.
BOX_ANGLE_COLUMNS = tuple(f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi"))
# First in the list that a file has.
TOMOGRAM_COLUMNS = ("rlnTomoName", "rlnMicrographName")
CLASS_COLUMNS = ("tomodxTemplate", "rlnParticleName", "rlnClassNumber")
OPTICS_GROUP = "rlnOpticsGroup"
DETECTOR_PIXEL, MAGNIFICATION = "rlnDetectorPixelSize", "rlnMagnification"

# Geometry that is understood only where it says nothing: zero throughout.
ZERO_COLUMNS = {
    "rlnOriginX": "a shift in voxels of unknown size; convert it to rlnOriginXAngst",
    "rlnOriginY": "a shift in voxels of unknown size; convert it to rlnOriginYAngst",
    "rlnOriginZ": "a shift in voxels of unknown size; convert it to rlnOriginZAngst",
    "rlnIsFlip": "a mirrored particle; mirror the reference instead",
}

FIGURES = {
    "rlnLCCmax": "score",
    "ptmLCCmax": "score",
    "rlnAutopickFigureOfMerit": "score",
    "rlnCutOff": "cut_off",
    "ptmCutOff": "cut_off",
    "rlnSearchStd": "search_std",
    "ptmSearchStd": "search_std",
    "rlnHelicalTubeID": "tube_id",
    "rlnHelicalTrackLengthAngst": "track_length_angst",
    "rlnRandomSubset": "random_subset",
    "rlnMaxValueProbDistribution": "max_value_prob_distribution",
    "rlnLogLikeliContribution": "log_likelihood",
    "rlnTomoManifoldIndex": "manifold_index",
}
# RELION knows these labels and reads them as whole numbers.
WHOLE_NUMBERS = ("rlnHelicalTubeID", "rlnRandomSubset", "rlnTomoManifoldIndex")
COLUMN_OF_FIGURE = {name: column for column, name in reversed(FIGURES.items())}
COLUMN_OF_FIGURE["score"] = "rlnLCCmax"

# Names, optics, contrast transfer, priors and book-keeping: no part of where a particle is.
IGNORED = frozenset(
    {
        # Priors of a search are not the orientation found.
        "rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior",
        "rlnAngleRotFlipRatio", "rlnAngleTiltFlipRatio", "rlnAnglePsiFlipRatio",
        "rlnAnglePsiProbability", "rlnOriginXPriorAngst", "rlnOriginYPriorAngst",
        "rlnOriginZPriorAngst",
        "rlnImageName", "rlnReconstructImageName", "rlnImageOriginalName",
        "rlnParticleOriginalName", "rlnTomoParticleName", "rlnTomoParticleId",
        "rlnTomoPickParticleId", "rlnTomoMdocName",
        "rlnTomoVisibleFrames", "rlnTomoTiltSeriesName", "rlnTomoImportParticleFile",
        "rlnParticleId", "rlnMicrographId", "rlnMicrographMovieName", "rlnTiltIndex",
        "rlnTomoTiltSeriesPixelSize", "rlnImagePixelSize", "rlnPixelSize", "rlnImageSize",
        "rlnImageDimensionality", "rlnTomoSubtomogramBinning", "rlnVoltage",
        "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnPhaseShift", "rlnMicrographPixelSize",
        "rlnOpticsGroupName", "rlnMicrographOriginalPixelSize", "rlnBodyMaskName",
        "rlnCtfImage", "rlnCtfFigureOfMerit", "rlnCtfMaxResolution", "rlnCtfBfactor",
        "rlnCtfScalefactor", "rlnCtfDataAreCtfPremultiplied", "rlnCtfAstigmatism",
        "rlnCtfValidationScore", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle",
        "rlnBeamTiltX", "rlnBeamTiltY", "rlnBeamTiltClass", "rlnMicrographPreExposure",
        "rlnGroupNumber", "rlnGroupName", "rlnNormCorrection", "rlnNrOfSignificantSamples",
        "rlnParticleSelectZScore", "rlnParticleSelectionType", "rlnParticleFigureOfMerit",
        "rlnClassPriorOffsetX", "rlnClassPriorOffsetY", "rlnAverageNrOfFrames",
        "rlnSubImageStarFile", "wrpSourceHash", "wrpRandomSubset",
    }
)  # fmt: skip

_OWN, _OWN_RAW = "tomodx", "tomodx_"


def column_of(figure: str) -> str:
    """STAR label of a figure: the field's where there is one, else `tomodxPValue` and the like."""
    known = COLUMN_OF_FIGURE.get(figure)
    if known is not None:
        return known
    return own_column_of(figure)


def own_column_of(figure: str) -> str:
    """TomoDx's own label of a figure."""
    label = _OWN + "".join(part[:1].upper() + part[1:] for part in figure.split("_"))
    return label if figure_of(label) == figure else _OWN_RAW + figure


def figure_of(column: str) -> str | None:
    """Figure that a column holds; None where it is not a figure."""
    if column in FIGURES:
        return FIGURES[column]
    if column in CLASS_COLUMNS or not column.startswith(_OWN):
        return None
    if column.startswith(_OWN_RAW):
        return column.removeprefix(_OWN_RAW)
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", column.removeprefix(_OWN)).lower()
    return name or None


def handled_columns() -> frozenset[str]:
    """Labels, apart from figures, that a particle table may have."""
    return frozenset(
        {
            *CORNER_COLUMNS,
            *CENTRED_COLUMNS,
            *ORIGIN_COLUMNS,
            *ANGLE_COLUMNS,
            *BOX_ANGLE_COLUMNS,
            *TOMOGRAM_COLUMNS,
            *CLASS_COLUMNS,
            *ZERO_COLUMNS,
            *IGNORED,
            OPTICS_GROUP,
            DETECTOR_PIXEL,
            MAGNIFICATION,
        }
    )
