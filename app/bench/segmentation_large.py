"""A whole tomogram of 1000 x 1000 x 500 voxels: time, memory, and what the usual way would take."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from app.bench.command_cost import run_command
from app.bench.result import BenchRow
from app.bench.segmentation_scenes import bench_params
from app.wiring import FINE_MODEL, shipped_networks
from engine.data.arrays import Float32s
from engine.io.mrc import write_volume
from engine.one_thread import one_thread_processes
from engine.segmentation.inference import available_cores
from engine.segmentation.network_files import read_card
from engine.segmentation.resampling import resample, resampled_length
from engine.simulation.case import simulate_tomogram
from models.finished import read_finished
from models.recipe import Recipe
from models.registry import model_folder
from models.training import make_network
from models.warm_start import take_weights

SHAPE, VOXEL_ANGST = (500, 1000, 1000), 10.0
LARGE_INDEX = 70_000
# The usual sliding window: cubes that overlap by half, each weighted by a Gaussian.
WINDOW_VOX, WINDOWS_TIMED = 96, 3
MOST_S, MOST_GB = 600.0, 6.0


def large_rows(device: str) -> list[BenchRow]:
    """One `tomodx analyze` in a process of its own, and the windows it would otherwise take."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.mrc"
        # Elsewhere: a child's peak memory as the system counts it begins with that of its parent.
        with one_thread_processes(1) as worker:
            worker.submit(_write_large, path).result()
        cost = run_command(
            ["analyze", str(path), "--out", str(Path(name) / "out"), "--contrast", "bright",
             "--tilt-range", "-60", "60"]
        )  # fmt: skip
    windows, window_s = _sliding_window(device)
    size = "x".join(str(n) for n in SHAPE)
    return [
        BenchRow(
            "large_tomogram_wall_s", cost.wall_s, "s", "lower", goal=MOST_S,
            baseline=f"{size} voxels at 1 nm, everything; CPU {cost.cpu_s:.0f} s",
        ),
        BenchRow("large_tomogram_peak_memory_gb", cost.peak_gb, "GB", "lower", goal=MOST_GB),
        BenchRow(
            "large_tomogram_sliding_window_over_analyze", windows * window_s / cost.wall_s, "1",
            "higher",
            baseline=f"the fine network alone in {windows} half-overlapping windows of "
            f"{WINDOW_VOX}^3 in torch at {window_s:.2f} s (time of {WINDOWS_TIMED}, multiplied), "
            "against the whole command",
        ),
    ]  # fmt: skip


def _write_large(path: Path) -> None:
    write_volume(path, _large_volume(), VOXEL_ANGST, label="simulated, mirrored")


def _large_volume() -> Float32s:
    """A simulated field at 1 nm, mirrored until it fills the volume."""
    params, seed = bench_params("A", LARGE_INDEX)
    field = simulate_tomogram(params, seed=seed).tomogram
    voxels = resample(field.voxels, VOXEL_ANGST / field.voxel_size_angst)
    for axis, wanted in enumerate(SHAPE):
        pieces = [voxels]
        while sum(piece.shape[axis] for piece in pieces) < wanted:
            pieces.append(np.flip(pieces[-1], axis))
        voxels = np.concatenate(pieces, axis=axis).take(np.arange(wanted), axis=axis)
    return np.ascontiguousarray(voxels, dtype=np.float32)


def _sliding_window(device: str) -> tuple[int, float]:
    """How many windows cover the volume at the fine sampling, and the seconds of one in torch."""
    folder = model_folder(FINE_MODEL)
    recipe = Recipe.model_validate(read_card(folder)["training"])
    network = make_network(recipe)
    take_weights(network, read_finished(folder), recipe.outputs, [])
    ratio = shipped_networks(device).fine.spec.voxel_size_nm * 10.0 / VOXEL_ANGST
    step = WINDOW_VOX // 2
    windows = 1
    for n in SHAPE:
        windows *= max(1, -(-(resampled_length(n, ratio) - WINDOW_VOX) // step) + 1)
    torch.set_num_threads(available_cores())
    tile = torch.randn((1, 1 + len(recipe.context), WINDOW_VOX, WINDOW_VOX, WINDOW_VOX))
    tile = tile.contiguous(memory_format=torch.channels_last_3d)
    network = network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with torch.inference_mode():
        network(tile)
        started = time.perf_counter()
        for _ in range(WINDOWS_TIMED):
            network(tile)
    return windows, (time.perf_counter() - started) / WINDOWS_TIMED
