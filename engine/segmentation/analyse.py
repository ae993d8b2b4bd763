"""A tomogram in; classes, instances, filaments and measurements out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from engine import __version__
from engine.data.arrays import AnyArray, Float32s, UInt8s, UInt16s
from engine.data.filaments import Filament
from engine.data.labels import CLASS_IDS, INSTANCE_CLASSES, InstanceVolume, LabelVolume
from engine.data.measurements import OrganelleMeasurements, TomogramAnalysis
from engine.data.organelles import Organelle
from engine.data.provenance import Provenance, parameters_digest
from engine.data.tomogram import Tomogram
from engine.physics.normalise import MAX_SAMPLES, robust_centre_and_scale
from engine.segmentation.inference import Network, Networks, run_tiled
from engine.segmentation.instances import InstanceParams, find_bodies, paint_bodies
from engine.segmentation.logits import code_of, pack_logits
from engine.segmentation.measurements import measure
from engine.segmentation.quality import quality_flags
from engine.segmentation.resampling import ResampledVolume, nearest_index, resample
from engine.segmentation.tiling import Tile
from engine.segmentation.tracing import TracingParams, trace_filaments

OnProgress = Callable[[float], None]
# Microtubules lie in the cytoplasm; organelles may be drawn a little too large.
LARGEST_SHARE_INSIDE = 0.8
# Of the coarse network's regression output: 1.0 is this depth.
DEPTH_FULL_SCALE_NM = 150.0


@dataclass(frozen=True)
class AnalysisParams:
    """Everything that can change a result beside the networks.

    Attributes
    ----------
    threshold_band
        Probability thresholds of bodies whose counts bound the interval of theirs.
    tracing_band
        Logits more and less evidence of a microtubule whose lengths bound the interval of theirs.
    """

    instances: InstanceParams = field(default_factory=InstanceParams)
    tracing: TracingParams = field(default_factory=TracingParams)
    membrane_threshold: float = 0.5
    threshold_band: tuple[float, float] = (0.4, 0.6)
    tracing_band: tuple[float, float] = (-0.6, 0.6)


@dataclass(frozen=True)
class CoarseView:
    """Class probabilities (c, z, y, x) and mitochondrial depth on the coarse grid."""

    names: tuple[str, ...]
    probabilities: Float32s
    depth_nm: Float32s
    voxel_size_nm: float

    def of(self, name: str) -> Float32s:
        """Probability of one class."""
        return np.asarray(self.probabilities[self.names.index(name)])

    @property
    def specimen(self) -> AnyArray:
        """True inside the cell: neither void nor artefact is the likeliest class."""
        winner = self.probabilities.argmax(axis=0)
        return ~np.isin(winner, [self.names.index("void"), self.names.index("artefact")])


def analyse_tomogram(
    tomogram: Tomogram,
    networks: Networks,
    params: AnalysisParams | None = None,
    on_progress: OnProgress | None = None,
) -> TomogramAnalysis:
    """Segment, separate instances, trace filaments, measure.

    Peak memory beyond the tomogram is 2 bytes per voxel of the fine grid, 3 bytes per voxel of the
    tomogram's own grid, and one tile.
    """
    params = params or AnalysisParams()
    report = on_progress or (lambda fraction: None)
    coarse = coarse_view(tomogram, networks.coarse, lambda f: report(0.15 * f))
    fine = fine_view(tomogram, networks.fine, lambda f: report(0.15 + 0.6 * f))
    voxel_nm = tomogram.voxel_size_angst / 10.0
    ids, organelles = _instances(coarse, tomogram, params.instances)
    report(0.8)
    filaments, length_band = _filaments(
        fine["microtubule_core"], networks.fine, tomogram, ids, params
    )
    report(0.93)
    ratio = voxel_nm / networks.fine.spec.voxel_size_nm
    labels = _labels(coarse, fine, ids, organelles, ratio, voxel_nm, params)
    flags = quality_flags(
        tomogram,
        organelles,
        specimen_share=float(coarse.specimen.mean()),
        certainty=_certainty(coarse),
    )
    values = measure(
        organelles,
        filaments,
        mitochondria_band=_mitochondria_band(coarse, params),
        length_band_nm=length_band,
        cell_volume_um3=float(coarse.specimen.sum()) * (coarse.voxel_size_nm * 1e-3) ** 3,
        thickness_nm=_thickness_nm(coarse),
        weak_outputs=networks.coarse.spec.weak_outputs,
    )
    report(1.0)
    measurements = OrganelleMeasurements(
        tomogram.tomogram_id, values, flags, _provenance(tomogram, networks, params)
    )
    return TomogramAnalysis(
        LabelVolume(labels, tomogram.voxel_size_angst),
        InstanceVolume(ids, tomogram.voxel_size_angst, organelles),
        filaments,
        measurements,
    )


def _provenance(tomogram: Tomogram, networks: Networks, params: AnalysisParams) -> Provenance:
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(params),
        inputs=tomogram.provenance.inputs,
        models=(networks.coarse.spec.digest, networks.fine.spec.digest),
        simulated=tomogram.provenance.simulated,
    )


def coarse_view(tomogram: Tomogram, network: Network, on_progress: OnProgress) -> CoarseView:
    """Run the coarse network over the whole tomogram."""
    names = network.spec.outputs[:-1]
    ratio = network.spec.voxel_size_nm / (tomogram.voxel_size_angst / 10.0)
    image = resample(tomogram.voxels, ratio)
    on_progress(0.5)
    centre, scale = robust_centre_and_scale(image)
    probabilities = np.empty((len(names), *image.shape), dtype=np.float32)
    depth_nm = np.empty(image.shape, dtype=np.float32)

    def keep(tile: Tile, outputs: Float32s) -> None:
        logits = outputs[: len(names)]
        powers = np.exp(logits - logits.max(axis=0))
        probabilities[(slice(None), *tile.core)] = powers / powers.sum(axis=0)
        depth_nm[tile.core] = outputs[len(names)] * DEPTH_FULL_SCALE_NM

    run_tiled(
        network, image, keep, centre=centre, scale=scale,
        on_progress=lambda f: on_progress(0.5 + 0.5 * f),
    )  # fmt: skip
    return CoarseView(names, probabilities, depth_nm, network.spec.voxel_size_nm)


def fine_view(tomogram: Tomogram, network: Network, on_progress: OnProgress) -> dict[str, UInt8s]:
    """Codes of the logits (`logits.py`) of every output of the fine network, on its own grid."""
    ratio = network.spec.voxel_size_nm / (tomogram.voxel_size_angst / 10.0)
    image = ResampledVolume(tomogram.voxels, ratio)
    centre, scale = robust_centre_and_scale(image.sample(MAX_SAMPLES))
    volumes = {name: np.empty(image.shape, dtype=np.uint8) for name in network.spec.outputs}

    def keep(tile: Tile, outputs: Float32s) -> None:
        for name, logits in zip(network.spec.outputs, outputs, strict=True):
            volumes[name][tile.core] = pack_logits(logits)

    run_tiled(
        network, image, keep, centre=centre, scale=scale,
        on_progress=on_progress,
    )  # fmt: skip
    return volumes


def _instances(
    coarse: CoarseView, tomogram: Tomogram, params: InstanceParams
) -> tuple[UInt16s, tuple[Organelle, ...]]:
    bodies = find_bodies(
        {name: coarse.of(name) for name in INSTANCE_CLASSES},
        coarse.depth_nm,
        coarse.voxel_size_nm,
        params,
    )
    z, y, x = tomogram.voxels.shape
    return paint_bodies(bodies, (z, y, x), tomogram.voxel_size_angst / 10.0, coarse.voxel_size_nm)


def _mitochondria_band(coarse: CoarseView, params: AnalysisParams) -> tuple[int, int]:
    """Smallest and largest count over the band of thresholds."""
    counts = []
    for threshold in params.threshold_band:
        at = replace(params.instances, threshold=threshold)
        only = {name: coarse.of(name) * (name == "mitochondrion") for name in INSTANCE_CLASSES}
        counts.append(len(find_bodies(only, coarse.depth_nm, coarse.voxel_size_nm, at)))
    return min(counts), max(counts)


def _filaments(
    core: UInt8s, network: Network, tomogram: Tomogram, ids: UInt16s, params: AnalysisParams
) -> tuple[tuple[Filament, ...], tuple[float, float]]:
    """Filaments outside organelles, and total length over the band of evidence."""
    voxel_nm = tomogram.voxel_size_angst / 10.0
    z, y, x = ((n - 1) * voxel_nm for n in tomogram.voxels.shape)

    def traced(logits: float) -> tuple[Filament, ...]:
        at = params.tracing.shifted(logits)
        lines = trace_filaments(core, network.spec.voxel_size_nm, (z, y, x), at)
        free = [one for one in lines if _share_inside(one, ids, voxel_nm) < LARGEST_SHARE_INSIDE]
        return tuple(replace(one, filament_id=n) for n, one in enumerate(free, start=1))

    found = traced(0.0)
    totals = [
        sum(one.length_nm for one in lines)
        for lines in (found, *(traced(logits) for logits in params.tracing_band))
    ]
    return found, (min(totals), max(totals))


def _share_inside(filament: Filament, ids: UInt16s, voxel_nm: float) -> float:
    """Share of a filament's points inside organelles: a crista may look like a microtubule."""
    where = np.rint(filament.points_angst / (10.0 * voxel_nm)).astype(np.int64)
    z, y, x = np.clip(where, 0, np.array(ids.shape) - 1).T
    return float((ids[z, y, x] > 0).mean())


def _labels(
    coarse: CoarseView,
    fine: dict[str, UInt8s],
    ids: UInt16s,
    organelles: tuple[Organelle, ...],
    fine_ratio: float,
    voxel_nm: float,
    params: AnalysisParams,
) -> UInt8s:
    """Class of every voxel, section by section: void, organelles, membranes, microtubules."""
    n_z, n_y, n_x = ids.shape
    table = np.zeros(len(organelles) + 1, dtype=np.uint8)
    for one in organelles:
        table[one.instance_id] = CLASS_IDS[one.organelle_class]
    winner = coarse.probabilities.argmax(axis=0)
    background = np.zeros(len(coarse.names), dtype=np.uint8)
    for name in ("void", "artefact"):
        background[coarse.names.index(name)] = CLASS_IDS[name]
    coarse_ratio = voxel_nm / coarse.voxel_size_nm
    at_coarse = [
        nearest_index(n, coarse_ratio, size)
        for n, size in zip(ids.shape, winner.shape, strict=True)
    ]
    at_fine = [
        nearest_index(n, fine_ratio, size)
        for n, size in zip(ids.shape, fine["membrane"].shape, strict=True)
    ]
    membrane_level = code_of(params.membrane_threshold)
    core_level = code_of(params.tracing.threshold)
    labels = np.empty((n_z, n_y, n_x), dtype=np.uint8)
    for z in range(n_z):
        section = background[winner[at_coarse[0][z]]][np.ix_(at_coarse[1], at_coarse[2])]
        in_cell = section == 0
        section = np.where(ids[z] > 0, table[ids[z]], section)
        membrane = fine["membrane"][at_fine[0][z]][np.ix_(at_fine[1], at_fine[2])]
        section[membrane >= membrane_level] = CLASS_IDS["membrane"]
        core = fine["microtubule_core"][at_fine[0][z]][np.ix_(at_fine[1], at_fine[2])]
        section[(core >= core_level) & in_cell] = CLASS_IDS["microtubule"]
        labels[z] = section
    return labels


def _certainty(coarse: CoarseView) -> float:
    specimen = coarse.specimen
    if not specimen.any():
        return float(coarse.probabilities.max(axis=0).mean())
    return float(coarse.probabilities.max(axis=0)[specimen].mean())


def _thickness_nm(coarse: CoarseView) -> float:
    """Median extent of the specimen along the beam, where there is any."""
    columns = ndimage.binary_opening(coarse.specimen).sum(axis=0) * coarse.voxel_size_nm
    present = columns[columns > 0]
    return float(np.median(present)) if present.size else 0.0
