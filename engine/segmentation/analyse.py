"""A tomogram in; classes, instances, filaments and measurements out."""

from dataclasses import dataclass, field, replace

import numpy as np

from engine import __version__
from engine.data.arrays import UInt8s, UInt16s
from engine.data.filaments import Filament
from engine.data.labels import CLASS_IDS, InstanceVolume, LabelVolume
from engine.data.measurements import OrganelleMeasurements, TomogramAnalysis
from engine.data.organelles import Organelle
from engine.data.provenance import Provenance, parameters_digest
from engine.data.tomogram import Tomogram
from engine.segmentation.coarse import CoarseFindings, coarse_findings
from engine.segmentation.fine import FineView, fine_view
from engine.segmentation.inference import Networks, OnProgress
from engine.segmentation.instances import InstanceParams, paint_bodies
from engine.segmentation.known_spectrum import Look, as_known
from engine.segmentation.logits import code_of
from engine.segmentation.looking_inside import INNER, OUTER, with_anatomy
from engine.segmentation.marginal_band import marginal_band
from engine.segmentation.matrix_granules import MATRIX_GRANULE, with_matrix_granules
from engine.segmentation.measurements import measure
from engine.segmentation.mitochondrion_states import with_states
from engine.segmentation.outline_check import outline_share
from engine.segmentation.quality import quality_flags
from engine.segmentation.resampling import nearest_index
from engine.segmentation.ribosomes import (
    RIBOSOME,
    Ribosomes,
    ball_mask,
    find_ribosomes,
)
from engine.segmentation.small_bodies import SmallBodiesView, small_bodies_view
from engine.segmentation.tracing import TracingParams, trace_filaments

# Later ones are drawn over earlier ones: a mitochondrion's membranes are membranes too.
MASK_ORDER = ("membrane", OUTER, INNER, RIBOSOME)
# Microtubules lie in the cytoplasm; organelles may be drawn a little too large.
LARGEST_SHARE_INSIDE = 0.8


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
    mask_threshold: float = 0.5
    threshold_band: tuple[float, float] = (0.4, 0.6)
    tracing_band: tuple[float, float] = (-0.6, 0.6)


def analyse_tomogram(
    tomogram: Tomogram,
    networks: Networks,
    params: AnalysisParams | None = None,
    on_progress: OnProgress | None = None,
) -> TomogramAnalysis:
    """Segment, separate instances, trace filaments, measure.

    Memory beyond the tomogram and one tile: 30 to 45 bytes per voxel of the coarse grid; then, in
    place of them, one byte per voxel of the fine grid; at last also 3 bytes per voxel of the
    tomogram, in place of the tile.
    """
    params = params or AnalysisParams()
    report = on_progress or (lambda fraction: None)
    look = as_known(tomogram.voxels, tomogram.voxel_size_angst / 10.0, networks.spectrum)
    coarse = coarse_findings(
        tomogram, networks.coarse, params.instances, params.threshold_band,
        lambda f: report(0.2 * f), networks.context, look,
    )  # fmt: skip
    fine = fine_view(
        tomogram, networks.fine, coarse.context.of(networks.fine.spec.context),
        params.mask_threshold, lambda f: report(0.2 + 0.55 * f), look,
    )  # fmt: skip
    z, y, x = tomogram.voxels.shape
    voxel_nm = tomogram.voxel_size_angst / 10.0
    ids, organelles = paint_bodies(coarse.bodies, (z, y, x), voxel_nm, coarse.voxel_size_nm)
    organelles = with_anatomy(organelles, ids, voxel_nm, coarse, fine)
    report(0.82)
    filaments, length_band = _filaments(fine, voxel_nm, ids, params.tracing, params.tracing_band)
    small = _small_bodies(tomogram, networks, coarse, look, lambda f: report(0.9 + 0.05 * f))
    if MATRIX_GRANULE not in networks.weak_outputs:
        organelles = with_matrix_granules(organelles, ids, voxel_nm, small)
    provenance = _provenance(tomogram, networks, params)
    if networks.states is not None:
        organelles = with_states(organelles, ids, voxel_nm, look, networks.states, provenance)
    ribosomes = find_ribosomes(small, (z, y, x), voxel_nm, filaments)
    report(0.95)
    drawn = _with_balls(fine, ribosomes, (z, y, x), voxel_nm)
    labels = _labels(coarse, drawn, ids, organelles, voxel_nm, params.tracing.threshold)
    flags = quality_flags(
        tomogram,
        organelles,
        filaments,
        specimen_share=coarse.specimen_share,
        certainty=coarse.certainty,
        distance=_distance(networks, coarse),
        is_filtered=look.voxels is not tomogram.voxels,
        outline_share=outline_share(ids, fine.masks.get("membrane"), voxel_nm),
    )
    values = measure(
        organelles,
        filaments,
        mitochondria_band=coarse.mitochondria_band,
        length_band_nm=length_band,
        cell_volume_um3=coarse.cell_volume_um3,
        thickness_nm=coarse.thickness_nm,
        n_ribosomes=None if ribosomes is None else len(ribosomes.confidence),
        band=marginal_band(coarse.specimen(), coarse.voxel_size_nm, filaments),
        weak_outputs=networks.weak_outputs,
    )
    report(1.0)
    measurements = OrganelleMeasurements(tomogram.tomogram_id, values, flags, provenance)
    return TomogramAnalysis(
        LabelVolume(labels, tomogram.voxel_size_angst),
        InstanceVolume(ids, tomogram.voxel_size_angst, organelles),
        filaments,
        measurements,
        np.empty((0, 3)) if ribosomes is None else ribosomes.centres_angst,
        np.empty(0) if ribosomes is None else ribosomes.confidence,
    )


def _small_bodies(
    tomogram: Tomogram,
    networks: Networks,
    coarse: CoarseFindings,
    look: Look,
    on_progress: OnProgress,
) -> SmallBodiesView:
    """What the network of small bodies sees; no output where there is no such network."""
    network = networks.small_bodies
    if network is None:
        return SmallBodiesView({}, coarse.voxel_size_nm, {})
    context = coarse.context.of(network.spec.context)
    return small_bodies_view(tomogram, network, context, on_progress, look)


def _with_balls(
    fine: FineView, ribosomes: Ribosomes | None, shape: tuple[int, int, int], voxel_nm: float
) -> FineView:
    """The masks to be drawn: a ribosome is a ball about its centre."""
    if ribosomes is None:
        return fine
    balls = ball_mask(shape, ribosomes.centres_angst, voxel_nm)
    return replace(fine, masks={**fine.masks, RIBOSOME: balls})


def _distance(networks: Networks, coarse: CoarseFindings) -> float | None:
    """From ordinary tomograms, in units of the largest that is still ordinary."""
    if networks.ordinary is None:
        return None
    return networks.ordinary.distance(coarse.description) / networks.ordinary.limit


def _provenance(tomogram: Tomogram, networks: Networks, params: AnalysisParams) -> Provenance:
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(params),
        inputs=tomogram.provenance.inputs,
        models=networks.digests,
        simulated=tomogram.provenance.simulated,
    )


def _filaments(
    fine: FineView,
    voxel_nm: float,
    ids: UInt16s,
    params: TracingParams,
    band: tuple[float, float],
) -> tuple[tuple[Filament, ...], tuple[float, float]]:
    """Filaments outside organelles, and total length over the band of evidence."""
    z, y, x = ((n - 1) * voxel_nm for n in ids.shape)

    def traced(logits: float) -> tuple[Filament, ...]:
        lines = trace_filaments(fine.core, fine.core_voxel_nm, (z, y, x), params.shifted(logits))
        free = [one for one in lines if _share_inside(one, ids, voxel_nm) < LARGEST_SHARE_INSIDE]
        return tuple(replace(one, filament_id=n) for n, one in enumerate(free, start=1))

    found = traced(0.0)
    totals = [
        sum(one.length_nm for one in lines)
        for lines in (found, *(traced(logits) for logits in band))
    ]
    return found, (min(totals), max(totals))


def _share_inside(filament: Filament, ids: UInt16s, voxel_nm: float) -> float:
    """Share of a filament's points inside organelles: a crista may look like a microtubule."""
    where = np.rint(filament.points_angst / (10.0 * voxel_nm)).astype(np.int64)
    z, y, x = np.clip(where, 0, np.array(ids.shape) - 1).T
    return float((ids[z, y, x] > 0).mean())


def _labels(
    coarse: CoarseFindings,
    fine: FineView,
    ids: UInt16s,
    organelles: tuple[Organelle, ...],
    voxel_nm: float,
    core_threshold: float,
) -> UInt8s:
    """Class of every voxel, section by section: void, organelles, membranes, microtubules."""
    table = np.zeros(len(organelles) + 1, dtype=np.uint8)
    for one in organelles:
        table[one.instance_id] = CLASS_IDS[one.organelle_class]
    background = np.zeros(len(coarse.names), dtype=np.uint8)
    for name in ("void", "artefact"):
        background[coarse.names.index(name)] = CLASS_IDS[name]
    at_coarse = [
        nearest_index(n, voxel_nm / coarse.voxel_size_nm, size)
        for n, size in zip(ids.shape, coarse.winner.shape, strict=True)
    ]
    at_fine = [
        nearest_index(n, voxel_nm / fine.core_voxel_nm, size)
        for n, size in zip(ids.shape, fine.core.shape, strict=True)
    ]
    core_level = code_of(core_threshold)
    labels = np.empty(ids.shape, dtype=np.uint8)
    for z in range(len(ids)):
        section = background[coarse.winner[at_coarse[0][z]]][np.ix_(at_coarse[1], at_coarse[2])]
        in_cell = section == 0
        section = np.where(ids[z] > 0, table[ids[z]], section)
        for name in MASK_ORDER:
            if name in fine.masks:
                section[fine.masks[name].section(z)] = CLASS_IDS[name]
        core = fine.core[at_fine[0][z]][np.ix_(at_fine[1], at_fine[2])]
        section[(core >= core_level) & in_cell] = CLASS_IDS["microtubule"]
        labels[z] = section
    return labels
