"""A small analysis with known contents, built by hand."""

import numpy as np

from engine.data.filaments import Filament
from engine.data.labels import CLASS_IDS, InstanceVolume, LabelVolume
from engine.data.measurements import (
    Measurement,
    OrganelleMeasurements,
    QualityFlag,
    TomogramAnalysis,
)
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance
from engine.data.tomogram import TiltRange, Tomogram

VOXEL_ANGST = 25.0
SHAPE = (20, 48, 64)


def tomogram(simulated=True, shape=SHAPE):
    rng = np.random.default_rng(0)
    voxels = rng.normal(0, 1, shape).astype(np.float32)
    digest = FileDigest("cell.mrc", "c" * 64)
    return Tomogram(
        "cell",
        voxels,
        VOXEL_ANGST,
        TiltRange(-60.0, 57.5),
        "dark",
        Provenance("0.1.0", "a" * 64, (digest,), simulated=simulated),
    )


def analysis(simulated=True, shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    ids = np.zeros(shape, np.uint16)
    labels[5:15, 10:25, 10:30] = CLASS_IDS["mitochondrion"]
    labels[5:15, 10:12, 10:30] = CLASS_IDS["membrane"]
    ids[5:15, 10:25, 10:30] = 1
    labels[8:14, 30:40, 40:50] = CLASS_IDS["alpha_granule"]
    ids[8:14, 30:40, 40:50] = 2
    organelles = (
        Organelle(
            1, "mitochondrion", 0.0468751, 1.25, 0.812345, (237.5, 425.0, 487.5), False, 0.9,
            state="swollen", state_probability=0.9125,
        ),
        Organelle(2, "alpha_granule", 0.01, 0.3, 0.95, (262.5, 862.5, 1112.5), True, 0.75),
    )  # fmt: skip
    line = np.column_stack((np.full(30, 250.0), np.full(30, 1100.0), np.linspace(0, 1500, 30)))
    filaments = (Filament(1, "microtubule", line, True, False, 0.875),)
    values = {
        "mitochondria_count": Measurement(1.0, "1", 0.0253178, 5.5716434, 1),
        "microtubule_length_total_nm": Measurement(150.0, "nm", None, None, 1),
        "mitochondrion_volume_mean_um3": Measurement(
            None, "um3", None, None, 0, "every mitochondrion is cut by the border"
        ),
    }
    provenance = Provenance(
        "0.1.0",
        "b" * 64,
        (FileDigest("cell.mrc", "c" * 64),),
        (FileDigest("coarse/model.onnx", "d" * 64),),
        None,
        simulated,
    )
    flags = (QualityFlag("warning", "thin", "only 50 nm deep: organelles are cut by both faces"),)
    return TomogramAnalysis(
        LabelVolume(labels, VOXEL_ANGST),
        InstanceVolume(ids, VOXEL_ANGST, organelles),
        filaments,
        OrganelleMeasurements("cell", values, flags, provenance),
    )


def empty_analysis(shape=SHAPE):
    return TomogramAnalysis(
        LabelVolume(np.zeros(shape, np.uint8), VOXEL_ANGST),
        InstanceVolume(np.zeros(shape, np.uint16), VOXEL_ANGST, ()),
        (),
        OrganelleMeasurements("cell", {}, (), Provenance("0.1.0", "b" * 64)),
    )
