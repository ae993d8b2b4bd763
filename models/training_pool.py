"""Simulated tomograms as training material: images and targets at both networks' sampling.

The pool is made once per (pool recipe, index) and kept on disk; a killed run resumes with what is
there. Each member draws from its own child of the pool's seed, so that its content does not depend
on the machine or on the order. Signal and noise are kept apart: training mixes them at a new SNR
each time.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from engine.data.arrays import AnyArray, UInt8s
from engine.data.labels import CLASS_IDS
from engine.data.provenance import parameters_digest
from engine.one_thread import one_thread_processes
from engine.segmentation.coarse import DEPTH_OUTPUT, coarse_view
from engine.segmentation.context import Context
from engine.segmentation.inference import Network, available_cores, load_network
from engine.segmentation.resampling import resample, resample_nearest, resampled_length
from engine.simulation.case import SimulatedTomogram, Truth, simulate_tomogram
from engine.simulation.params import (
    SimulationParams,
    draw_acquisition,
    draw_scene,
    with_extras,
)
from models.recipe import TASK_NM, PoolRecipe, Task
from models.registry import model_folder

COARSE_NM, FINE_NM = TASK_NM["coarse"], TASK_NM["fine"]
# The depth of a voxel below its own mitochondrion's surface, stored as uint8: 255 = 150 nm.
DEPTH_FULL_SCALE_NM = 150.0
COARSE_CLASSES = (
    "background",
    "void",
    "mitochondrion",
    "alpha_granule",
    "dense_granule",
    "vesicle",
    "artefact",
)
# Masks of the fine network and the bit of each in a member's volume.
FINE_BITS = {
    "membrane": 1,
    "microtubule_core": 2,
    "outer_mitochondrial_membrane": 4,
    "inner_mitochondrial_membrane": 8,
    "ribosome": 16,
    "matrix_granule": 32,
}
# Of coarse labels: nobody said what is there.
UNKNOWN_CLASS = 255
CORE_BIT = FINE_BITS["microtubule_core"]
ALL_BITS = 255
# What is kept of the coarse network's outputs.
CONTEXT = (
    "void", "mitochondrion", "alpha_granule", "dense_granule", "vesicle", DEPTH_OUTPUT,
)  # fmt: skip

BuildMember = Callable[[Path, PoolRecipe, int, str], None]


def pool_folder(root: Path, pool: PoolRecipe) -> Path:
    """Where the members of a pool lie; a pool of more members continues a smaller one."""
    # Options that a later version adds do not change the name of a pool that uses none of them.
    content = pool.model_dump(exclude={"n_tomograms"}, exclude_defaults=True)
    return root / f"pool-{parameters_digest(content)[:12]}"


def build_pool(
    root: Path,
    pool: PoolRecipe,
    device: str,
    on_progress: Callable[[float], None] | None = None,
    build: BuildMember | None = None,
) -> list[Path]:
    """Simulate what is missing of a pool, on every core; returns the members' folders in order.

    `build` writes a member's folder; by default patches are cut from it (`build_member`).
    """
    build = build or build_member
    folder = pool_folder(root, pool)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}" for index in range(pool.n_tomograms)]
    missing = [index for index, path in enumerate(paths) if not path.is_dir()]
    n_workers = min(available_cores(), len(missing))
    report = on_progress or (lambda fraction: None)
    if n_workers <= 1:
        for done, index in enumerate(missing, start=1):
            build(paths[index], pool, index, device)
            report(1.0 - (len(missing) - done) / len(paths))
        return paths
    with one_thread_processes(n_workers) as workers:
        running = [workers.submit(build, paths[index], pool, index, device) for index in missing]
        for done, member in enumerate(as_completed(running), start=1):
            member.result()
            report(1.0 - (len(missing) - done) / len(paths))
    return paths


def build_member(path: Path, pool: PoolRecipe, index: int, device: str) -> None:
    """Simulate and write one member."""
    coarse = _context_network(pool.context_model) if pool.context_model else None
    write_member(path, training_arrays(simulate_member(pool, index, device), coarse))


@cache
def _context_network(name: str) -> Network:
    return load_network(model_folder(name))


def simulate_member(pool: PoolRecipe, index: int, device: str) -> SimulatedTomogram:
    """Member `index` of a pool."""
    sequence = np.random.SeedSequence([pool.seed, index])
    rng = np.random.default_rng(sequence)
    family = pool.families[index % len(pool.families)]
    acquisition = draw_acquisition(family, rng, snr_range=pool.snr_range)
    scene = draw_scene(
        rng,
        pool.shape,
        acquisition.voxel_size_nm,
        family=family,
        mean_mitochondria=pool.mean_mitochondria,
        mean_microtubules=pool.mean_microtubules,
        kind=pool.kinds[index % len(pool.kinds)],
    )
    scene = with_extras(
        scene,
        rng,
        tubules=pool.tubules,
        matrix_granules=pool.matrix_granules,
        granule_rows=pool.granule_rows,
        steep=pool.steep,
        mitochondrion_states=pool.mitochondrion_states,
    )
    seed = int(rng.integers(2**31))
    return simulate_tomogram(SimulationParams(scene, acquisition), seed=seed, device=device)


@dataclass(frozen=True)
class PoolMember:
    """One tomogram at one network's sampling.

    Attributes
    ----------
    signal, noise
        float16 (z, y, x), mapped from disk; their sum is the tomogram as it was simulated. A real
        one is all signal: its noise is not known apart.
    targets
        uint8 volumes of the same shape. Coarse: classes (`UNKNOWN_CLASS` where nobody said) and
        depth; fine: bits of the masks that hold, and of those that are known.
    snr
        As simulated, see `engine.simulation.params.Acquisition`.
    context
        Of a fine member whose pool names a coarse network: its outputs `CONTEXT`.
    """

    signal: AnyArray
    noise: AnyArray | None
    targets: tuple[AnyArray, ...]
    snr: float
    context: Context | None = None


def write_member(path: Path, arrays: dict[str, AnyArray]) -> None:
    """One `.npy` an array, so that training maps what it needs; the folder appears when whole."""
    beside = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(beside / f"{name}.npy", array, allow_pickle=False)
    beside.rename(path)


def read_member(path: Path, task: Task, binning: int = 1) -> PoolMember:
    """A member at the sampling of a network's task, or binned from it (fine ones alone)."""

    def mapped(name: str) -> AnyArray:
        return np.asarray(np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    signal = mapped(f"{task}_signal")
    if task == "coarse":
        targets = (mapped("coarse_labels"), mapped("coarse_depth"))
    elif (path / "fine_known.npy").is_file():
        targets = (mapped("fine_masks"), mapped("fine_known"))
    else:
        targets = (mapped("fine_masks"), np.broadcast_to(np.uint8(ALL_BITS), signal.shape))
    has_context = task == "fine" and (path / "fine_context.npy").is_file()
    noise = mapped(f"{task}_noise") if (path / f"{task}_noise.npy").is_file() else None
    if binning > 1:
        signal = _binned(signal, binning)
        noise = None if noise is None else _binned(noise, binning)
        targets = (_binned_bits(targets[0], binning), _binned_bits(targets[1], binning))
    return PoolMember(
        signal=signal,
        noise=noise,
        targets=targets,
        snr=float(mapped("snr")),
        context=Context(mapped("fine_context"), COARSE_NM) if has_context else None,
    )


def _blocks(volume: AnyArray, binning: int) -> AnyArray:
    """Blocks (z, y, x, binning^3) of a volume; what is left at its far faces falls away."""
    z, y, x = (n // binning for n in volume.shape)
    cut = volume[: z * binning, : y * binning, : x * binning]
    split = cut.reshape(z, binning, y, binning, x, binning)
    return split.transpose(0, 2, 4, 1, 3, 5).reshape(z, y, x, binning**3)


def _binned(volume: AnyArray, binning: int) -> AnyArray:
    means = _blocks(volume, binning).mean(axis=3, dtype=np.float32)
    return np.asarray(means, dtype=volume.dtype)


def _binned_bits(masks: AnyArray, binning: int) -> AnyArray:
    """Bits that at least half of a block's voxels have."""
    blocks = _blocks(masks, binning)
    halves = np.zeros(blocks.shape[:3], dtype=np.uint8)
    for bit in FINE_BITS.values():
        many = ((blocks & bit) > 0).sum(axis=3) * 2 >= binning**3
        halves |= np.where(many, np.uint8(bit), np.uint8(0))
    return halves


def training_arrays(
    simulated: SimulatedTomogram, coarse: Network | None = None
) -> dict[str, AnyArray]:
    """Signal and noise (float16) and targets (uint8) at 6.4 and 2.4 nm.

    With a coarse network also what it makes of the tomogram at its own SNR.
    """
    voxel_nm = simulated.tomogram.voxel_size_angst / 10.0
    signal = simulated.tomogram.voxels - simulated.noise
    labels, depth = coarse_targets(simulated.truth, COARSE_NM / voxel_nm)
    arrays: dict[str, AnyArray] = {
        "snr": np.array(simulated.params.acquisition.snr),
        "coarse_labels": labels,
        "coarse_depth": depth,
        "fine_masks": fine_targets(simulated.truth, FINE_NM / voxel_nm),
    }
    for task, sampling_nm in (("coarse", COARSE_NM), ("fine", FINE_NM)):
        for name, volume in (("signal", signal), ("noise", simulated.noise)):
            arrays[f"{task}_{name}"] = resample(volume, sampling_nm / voxel_nm, dtype=np.float16)
    if coarse is not None:
        view = coarse_view(simulated.tomogram, coarse, lambda fraction: None)
        arrays["fine_context"] = view.context(CONTEXT).codes
    return arrays


def coarse_targets(truth: Truth, ratio: float) -> tuple[UInt8s, UInt8s]:
    """Index into `COARSE_CLASSES` and scaled depth inside each mitochondrion."""
    n_z, n_y, n_x = (resampled_length(n, ratio) for n in truth.regions.shape)
    shape = (n_z, n_y, n_x)
    regions = resample_nearest(truth.regions, shape, ratio)
    instances = resample_nearest(truth.instances, shape, ratio)
    table = np.zeros(256, dtype=np.uint8)
    for index, name in enumerate(COARSE_CLASSES):
        table[CLASS_IDS[name]] = index
    labels = table[regions]
    depth_nm = np.zeros(shape, dtype=np.float32)
    mitochondrion = regions == CLASS_IDS["mitochondrion"]
    for instance_id in np.unique(instances[mitochondrion]):
        body = (instances == instance_id) & mitochondrion
        # The face of the volume is no surface of the organelle.
        inside = distance_transform_edt(np.pad(body, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
        depth_nm = np.maximum(depth_nm, inside * COARSE_NM)
    scaled = np.clip(depth_nm / DEPTH_FULL_SCALE_NM * 255.0, 0.0, 255.0)
    return labels, scaled.astype(np.uint8)


def fine_targets(truth: Truth, ratio: float) -> UInt8s:
    """Bits `FINE_BITS` of every mask."""
    masks = {
        "membrane": truth.membrane,
        "microtubule_core": truth.microtubule_core,
        "outer_mitochondrial_membrane": truth.outer_membrane,
        "inner_mitochondrial_membrane": truth.inner_membrane,
        "ribosome": truth.ribosome,
        "matrix_granule": truth.matrix_granule,
    }
    bits: UInt8s | None = None
    for name, mask in masks.items():
        own = (resample(mask.astype(np.uint8), ratio) > 0.5) * np.uint8(FINE_BITS[name])
        bits = own if bits is None else bits | own
    assert bits is not None
    return bits
