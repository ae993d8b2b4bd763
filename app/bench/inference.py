"""`tomodx bench inference`: the shipped runtime against torch eager, in turn, on the same tile.

The tile is the one that an analysis runs each network in, for a whole cell's tomogram and for a
small one: on a small one the coarse network needs so little that eager layers fit the cache.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

from app.bench.result import BenchResult, BenchRow
from app.wiring import COARSE_MODEL, FINE_MODEL
from engine.data.arrays import Float32s
from engine.segmentation.inference import (
    OnnxRuntime,
    Runtime,
    available_cores,
    best_tile,
    load_network,
)
from engine.segmentation.network_files import MODEL_FILE, read_card
from engine.segmentation.resampling import resampled_length
from engine.segmentation.tiling import plan_tiles
from models.recipe import Recipe
from models.registry import model_folder
from models.training import make_network

# Voxels (z, y, x) at 2.8 nm, the middle of the simulator's samplings, by the suffix of their rows.
TOMOGRAMS = {"": (300, 1000, 1000), "_small_tomogram": (80, 320, 320)}
TOMOGRAM_NM = 2.8
ROUNDS = {"quick": 2, "full": 5}
EAGER, GOAL = "torch_eager", 1.8


@dataclass(frozen=True)
class _Timing:
    """Seconds a tile of one network in every contender, and how many tiles a tomogram takes."""

    network: str
    runtime: str
    tile: tuple[int, int, int]
    n_tiles: int
    flop: float
    seconds: dict[str, np.ndarray]

    @property
    def ratios(self) -> np.ndarray:
        """Torch eager over the runtime, round by round."""
        return np.asarray(self.seconds[EAGER] / self.seconds[self.runtime])


def run(tier: str, device: str, on_progress: Callable[[float], None]) -> BenchResult:
    """Time every network: median over rounds in which the runtimes take turns."""
    rows: list[BenchRow] = []
    torch.set_num_threads(available_cores())
    cases = list(product(TOMOGRAMS, (COARSE_MODEL, FINE_MODEL)))
    timings: dict[str, list[_Timing]] = {size: [] for size in TOMOGRAMS}
    for done, (size, name) in enumerate(cases):
        timings[size].append(_timed(name, size, ROUNDS[tier], device))
        on_progress((done + 1) / len(cases))
    for size, of_size in timings.items():
        rows.append(_whole_tomogram_row(of_size, size))
        for timing in of_size:
            rows += _network_rows(timing, size)
    return BenchResult("inference", tier, tuple(rows))


def _timed(name: str, size: str, rounds: int, device: str) -> _Timing:
    folder = model_folder(name)
    network = load_network(folder, device)
    recipe = Recipe.model_validate(read_card(folder)["training"])
    eager = make_network(recipe).eval()
    ratio = network.spec.voxel_size_nm / TOMOGRAM_NM
    whole = tuple(resampled_length(n, ratio) for n in TOMOGRAMS[size])
    shape = best_tile(network.spec, whole)
    channels = 1 + len(network.spec.context)
    tile = np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)
    contenders: dict[str, Callable[[], object]] = {
        network.runtime.name: lambda: network.runtime.run(tile),
        EAGER: lambda: _run_torch(eager, tile),
    }
    if network.runtime.name != "onnxruntime":
        portable: Runtime = OnnxRuntime(folder / MODEL_FILE, "cpu")
        contenders["onnxruntime"] = lambda: portable.run(tile)
    return _Timing(
        network=name,
        runtime=network.runtime.name,
        tile=shape,
        n_tiles=len(plan_tiles(whole, shape, network.spec.halo_vox, network.spec.multiple)),
        flop=multiply_adds(eager, tile.shape) * 2.0,
        seconds=_seconds(contenders, rounds),
    )


def _network_rows(timing: _Timing, size: str) -> list[BenchRow]:
    name, ratios = timing.network, timing.ratios
    rows = [
        BenchRow(
            f"{name}_speed_up_over_torch_eager{size}", float(np.median(ratios)), "1", "higher",
            float(ratios.min()), float(ratios.max()), GOAL,
            f"{timing.runtime} against torch {torch.__version__} in the same run, "
            f"tile {'x'.join(str(side) for side in timing.tile)}",
        )
    ]  # fmt: skip
    voxels = math.prod(timing.tile)
    for contender, taken in timing.seconds.items():
        middle = float(np.median(taken))
        gflop = timing.flop / middle / 1e9
        rows += [
            BenchRow(f"{name}_{contender}_gflop_per_s{size}", gflop, "GFLOP/s", "higher"),
            BenchRow(
                f"{name}_{contender}_voxels_per_s{size}", voxels / middle, "voxel/s", "higher"
            ),
        ]
    return rows


def _whole_tomogram_row(timings: list[_Timing], size: str) -> BenchRow:
    """Both networks over all their tiles of one tomogram, as an analysis runs them."""
    shipped = sum(timing.n_tiles * timing.seconds[timing.runtime] for timing in timings)
    eager = sum(timing.n_tiles * timing.seconds[EAGER] for timing in timings)
    ratios = np.asarray(eager / shipped)
    shape = "x".join(str(side) for side in TOMOGRAMS[size])
    return BenchRow(
        f"both_networks_speed_up_over_torch_eager{size}", float(np.median(ratios)), "1", "higher",
        float(ratios.min()), float(ratios.max()), GOAL,
        f"all tiles of a tomogram of {shape} voxels at {TOMOGRAM_NM:g} nm, from the time of one",
    )  # fmt: skip


def _run_torch(network: nn.Module, tile: Float32s) -> object:
    with torch.inference_mode():
        return network(torch.from_numpy(tile)[None])


def _seconds(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    for contender in contenders.values():
        contender()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            taken[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in taken.items()}


def multiply_adds(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Multiply-adds of all convolutions for one tile (channels, z, y, x), from their outputs."""
    total = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ConvTranspose3d):
            total += inputs[0][0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Conv3d):
            total += output[0].numel() * module.weight[0].numel()

    handles = [module.register_forward_hook(count) for module in network.modules()]
    with torch.inference_mode():
        network(torch.zeros((1, *shape)))
    for handle in handles:
        handle.remove()
    return total
