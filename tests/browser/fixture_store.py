"""A small store for tests of the pages: two donors with analysis folders, no network needed."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cohorts.records import Cohort, DonorRecord, TomogramRecord
from cohorts.store import Store, open_store
from engine import __version__
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
from engine.io.analysis_files import write_analysis
from engine.io.mrc import write_volume

SHAPE = (40, 96, 120)
VOXEL_ANGST = 25.0
# Class, centre (z, y, x) and radius in voxels.
BALLS = (
    ("mitochondrion", (20, 30, 40), 12),
    ("mitochondrion", (18, 60, 90), 10),
    ("alpha_granule", (25, 70, 30), 7),
    ("vesicle", (12, 20, 95), 5),
)
PROVENANCE = Provenance(
    software_version=__version__,
    parameters_sha256="0" * 64,
    inputs=(FileDigest("ball.mrc", "1" * 64),),
    models=(FileDigest("coarse.onnx", "2" * 64),),
    seed=1,
    simulated=True,
)


@dataclass(frozen=True)
class FixtureSite:
    """Where the fixture lies."""

    home: Path
    store_path: Path
    data_root: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.store_path}"


def tube() -> Filament:
    x_vox = np.linspace(4, 110, 60)
    points = np.stack([np.full(60, 15.0), 48 + 6 * np.sin(x_vox / 20), x_vox], axis=1)
    return Filament(1, "microtubule", points * VOXEL_ANGST, False, True, 0.91)


def picture(seed: int) -> tuple[Tomogram, TomogramAnalysis]:
    """Balls and a tube in noise, with their exact analysis."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    ids = np.zeros(SHAPE, dtype=np.uint16)
    organelles = []
    for number, (name, centre, radius) in enumerate(BALLS, start=1):
        away = np.sqrt(((grid - np.array(centre)[:, None, None, None]) ** 2).sum(axis=0))
        labels[away <= radius] = CLASS_IDS[name]
        ids[away <= radius] = number
        z, y, x = (float(value * VOXEL_ANGST) for value in centre)
        volume_um3 = float((away <= radius).sum() * (VOXEL_ANGST * 1e-4) ** 3)
        organelles.append(
            Organelle(number, name, volume_um3, 0.1, 0.9, (z, y, x), False, 0.8 + number / 50)
        )
    noise = np.random.default_rng(seed).normal(0.0, 1.0, SHAPE)
    voxels = (noise + 3.0 * (labels > 0)).astype(np.float32)
    tomogram = Tomogram(
        f"ball-{seed}", voxels, VOXEL_ANGST, TiltRange(-60.0, 60.0), "dark", PROVENANCE
    )
    measurements = OrganelleMeasurements(
        tomogram.tomogram_id,
        measured(2 + seed % 3),
        (QualityFlag("warning", "thin_specimen", "specimen is thinner than 150 nm"),),
        PROVENANCE,
    )
    volumes = (LabelVolume(labels, VOXEL_ANGST), InstanceVolume(ids, VOXEL_ANGST, (*organelles,)))
    return tomogram, TomogramAnalysis(*volumes, (tube(),), measurements)


def measured(count: int) -> dict[str, Measurement]:
    length_nm = 5200.0 + 100 * count
    limits_nm = (length_nm - 200.0, length_nm + 200.0)
    return {
        "mitochondria_count": Measurement(float(count), "1", count - 1.0, count + 1.0, count),
        "microtubule_length_total_nm": Measurement(length_nm, "nm", *limits_nm, 1),
        "microtubule_count": Measurement(1.0, "1", 1.0, 2.0, 1),
        "dense_granule_count": Measurement(None, "1", None, None, 0, "no dense granule class"),
    }


def make_store(home: Path) -> FixtureSite:
    """Two analysed donors of two tomograms, a third without analysis, a file to choose."""
    # A store names its files relative to itself, so that it may be copied.
    shutil.copytree(_first_store(), home)
    return FixtureSite(home, home / "store.sqlite", home / "data")


@cache
def _first_store() -> Path:
    """Made once a process: writing four analyses takes seconds."""
    holder = Path(tempfile.mkdtemp(prefix="tomodx-fixture-"))
    atexit.register(shutil.rmtree, holder, ignore_errors=True)
    _fill(holder / "home")
    return holder / "home"


def _fill(home: Path) -> None:
    site = FixtureSite(home, home / "store.sqlite", home / "data")
    site.data_root.mkdir(parents=True)
    write_volume(site.data_root / "fresh.mrc", picture(9)[0].voxels, VOXEL_ANGST)
    donors = tuple(DonorRecord(name) for name in ("P01", "P02", "P03"))
    tomograms = tuple(
        TomogramRecord(f"{name}-t{number}", name, site.data_root / f"{name}-{number}.mrc", 25.0)
        for name in ("P01", "P02", "P03")
        for number in (1, 2)
    )
    store = open_store(site.url)
    store.add_cohort(Cohort(donors, tomograms))
    for seed, record in enumerate(tomograms[:4], start=1):
        add_analysis(store, home / "artifacts", record, seed)
    store.close()


def add_analysis(store: Store, artifacts: Path, record: TomogramRecord, seed: int) -> None:
    key = f"{seed:064x}"
    tomogram, analysis = picture(seed)
    write_analysis(analysis, tomogram, artifacts / "analyze" / key)
    store.record_analysis(
        record.tomogram_id, key, artifacts / "analyze" / key, analysis.measurements
    )
