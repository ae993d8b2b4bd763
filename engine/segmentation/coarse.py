"""What the coarse network says of a tomogram, condensed: at 6 nm it still is a volume of floats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float32s, Float64s, UInt8s
from engine.data.labels import INSTANCE_CLASSES
from engine.data.tomogram import Tomogram
from engine.physics.normalise import robust_centre_and_scale
from engine.segmentation.context import Context, packed
from engine.segmentation.inference import Network, OnProgress, run_tiled
from engine.segmentation.instances import Body, InstanceParams, find_bodies
from engine.segmentation.known_spectrum import Look
from engine.segmentation.ordinary import describe
from engine.segmentation.resampling import resample
from engine.segmentation.tiling import Tile

# Of the coarse network's regression output: 1.0 is this depth.
DEPTH_FULL_SCALE_NM = 150.0
DEPTH_OUTPUT = "mitochondrion_depth"


@dataclass(frozen=True)
class CoarseView:
    """Class probabilities (c, z, y, x) and mitochondrial depth (z, y, x) on the coarse grid.

    `description` is that of `engine.segmentation.ordinary.describe`.
    """

    names: tuple[str, ...]
    probabilities: Float32s
    depth_nm: Float32s
    voxel_size_nm: float
    description: Float64s

    def bodies(self, params: InstanceParams) -> list[Body]:
        """The organelles of every class."""
        volumes = dict(zip(self.names, self.probabilities, strict=True))
        wanted = {name: volumes[name] for name in INSTANCE_CLASSES}
        return find_bodies(wanted, self.depth_nm, self.voxel_size_nm, params)

    def mitochondria(self, params: InstanceParams) -> int:
        """How many mitochondria there are."""
        bodies = self.bodies(params)
        return sum(one.organelle_class == "mitochondrion" for one in bodies)

    def context(self, outputs: Sequence[str]) -> Context:
        """Some outputs, for the other networks; the depth in units of `DEPTH_FULL_SCALE_NM`."""
        volumes = dict(zip(self.names, self.probabilities, strict=True))
        volumes[DEPTH_OUTPUT] = self.depth_nm / DEPTH_FULL_SCALE_NM
        codes = np.empty((len(outputs), *self.depth_nm.shape), dtype=np.uint8)
        for index, name in enumerate(outputs):
            codes[index] = packed(volumes[name])
        return Context(codes, self.voxel_size_nm, tuple(outputs))

    def winner(self) -> UInt8s:
        """Index into `names` of the likeliest class of every voxel (z, y, x)."""
        sections = range(self.probabilities.shape[1])
        return np.stack(
            [self.probabilities[:, z].argmax(axis=0).astype(np.uint8) for z in sections]
        )


@dataclass(frozen=True)
class CoarseFindings:
    """What is kept of a `CoarseView`: a byte a voxel.

    Attributes
    ----------
    names, winner
        Likeliest class of every voxel (z, y, x) as an index into the names of the outputs.
    bodies
        Organelles on the coarse grid.
    mitochondria_band
        Smallest and largest count over the band of thresholds.
    specimen_share, cell_volume_um3, thickness_nm
        Of the cell: where neither void nor artefact is the likeliest class; the thickness is the
        median along the beam where there is any.
    certainty
        Mean probability of the likeliest class inside the cell; everywhere where there is none.
    context
        For the other networks.
    description
        See `engine.segmentation.ordinary.describe`.
    """

    names: tuple[str, ...]
    winner: UInt8s
    voxel_size_nm: float
    bodies: tuple[Body, ...]
    mitochondria_band: tuple[int, int]
    specimen_share: float
    cell_volume_um3: float
    thickness_nm: float
    certainty: float
    context: Context
    description: Float64s

    def specimen(self) -> Bools:
        """Where the cell is (z, y, x)."""
        return _specimen(self.names, self.winner)


def coarse_findings(
    tomogram: Tomogram,
    network: Network,
    params: InstanceParams,
    threshold_band: tuple[float, float],
    on_progress: OnProgress,
    context: Sequence[str] = (),
    look: Look | None = None,
) -> CoarseFindings:
    """Run the coarse network over a tomogram and find what is in it.

    Parameters
    ----------
    threshold_band
        Probability thresholds whose mitochondria counts bound the interval of theirs.
    context
        Outputs that the other networks are shown.
    look
        See `coarse_view`.
    """
    view = coarse_view(tomogram, network, lambda f: on_progress(0.8 * f), look)
    band = [view.mitochondria(replace(params, threshold=each)) for each in threshold_band]
    winner = view.winner()
    specimen = _specimen(view.names, winner)
    found = CoarseFindings(
        view.names,
        winner,
        view.voxel_size_nm,
        tuple(view.bodies(params)),
        mitochondria_band=(min(band), max(band)),
        specimen_share=float(specimen.mean()),
        cell_volume_um3=float(specimen.sum()) * (view.voxel_size_nm * 1e-3) ** 3,
        thickness_nm=_thickness_nm(specimen, view.voxel_size_nm),
        certainty=_certainty(view, specimen),
        context=view.context(context),
        description=view.description,
    )
    on_progress(1.0)
    return found


def coarse_view(
    tomogram: Tomogram,
    network: Network,
    on_progress: OnProgress,
    look: Look | None = None,
) -> CoarseView:
    """Run the coarse network over the whole tomogram.

    Parameters
    ----------
    look
        What the network is shown in place of the voxels, see
        `engine.segmentation.known_spectrum.as_known`; the description stays that of the voxels.
    """
    names = network.spec.outputs[:-1]
    own = Look(tomogram.voxels, tomogram.voxel_size_angst / 10.0)
    look = look or own
    image = resample(look.voxels, network.spec.voxel_size_nm / look.voxel_nm)
    on_progress(0.5)
    centre, scale = robust_centre_and_scale(image)
    probabilities = np.empty((len(names), *image.shape), dtype=np.float32)
    depth_nm = np.empty(image.shape, dtype=np.float32)

    def keep(tile: Tile, outputs: Float32s) -> None:
        """Softmax over the classes, and the depth in nanometre."""
        logits = outputs[: len(names)]
        powers = np.exp(logits - logits.max(axis=0))
        probabilities[(slice(None), *tile.core)] = powers / powers.sum(axis=0)
        depth_nm[tile.core] = outputs[len(names)] * DEPTH_FULL_SCALE_NM

    run_tiled(
        network, image, keep, centre=centre, scale=scale,
        on_progress=lambda f: on_progress(0.5 + 0.5 * f),
    )  # fmt: skip
    if look.voxels is not own.voxels:
        image = resample(own.voxels, network.spec.voxel_size_nm / own.voxel_nm)
        centre, scale = robust_centre_and_scale(image)
    image -= np.float32(centre)
    image /= np.float32(scale)
    description = describe(image, probabilities, names)
    return CoarseView(names, probabilities, depth_nm, network.spec.voxel_size_nm, description)


def _specimen(names: Sequence[str], winner: UInt8s) -> Bools:
    return ~np.isin(winner, [names.index("void"), names.index("artefact")])


def _certainty(view: CoarseView, specimen: Bools) -> float:
    surest = view.probabilities.max(axis=0)
    return float(surest[specimen].mean() if specimen.any() else surest.mean())


def _thickness_nm(specimen: Bools, voxel_size_nm: float) -> float:
    columns = ndimage.binary_opening(specimen).sum(axis=0) * voxel_size_nm
    present = columns[columns > 0]
    return float(np.median(present)) if present.size else 0.0
