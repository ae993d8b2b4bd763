"""`tomodx bench inference`: the shipped runtime against torch eager, in turn, on the same tile.

The tile is the one that an analysis runs each network in, for a whole cell's tomogram and for a
small one: on a small one the coarse network needs so little that eager layers fit the cache.
"""

import time
from collections.abc import Callable
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
from models.recipe import Recipe
from models.registry import model_folder
from models.training import make_network

# Voxels (z, y, x) at 2.8 nm, the middle of the simulator's samplings, by the suffix of their rows.
TOMOGRAMS = {"": (300, 1000, 1000), "_small_tomogram": (80, 320, 320)}
TOMOGRAM_NM = 2.8
ROUNDS = {"quick": 2, "full": 5}


def run(tier: str, device: str, on_progress: Callable[[float], None]) -> BenchResult:
    """Time every network: median over rounds in which the runtimes take turns."""
    rows: list[BenchRow] = []
    torch.set_num_threads(available_cores())
    cases = list(product((COARSE_MODEL, FINE_MODEL), TOMOGRAMS))
    for done, (name, size) in enumerate(cases):
        rows += _network_rows(name, size, ROUNDS[tier], device)
        on_progress((done + 1) / len(cases))
    return BenchResult("inference", tier, tuple(rows))


def _network_rows(name: str, size: str, rounds: int, device: str) -> list[BenchRow]:
    folder = model_folder(name)
    network = load_network(folder, device)
    recipe = Recipe.model_validate(read_card(folder)["training"])
    eager = make_network(recipe).eval()
    ratio = network.spec.voxel_size_nm / TOMOGRAM_NM
    shape = best_tile(network.spec, tuple(resampled_length(n, ratio) for n in TOMOGRAMS[size]))
    tile = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    flop = multiply_adds(eager, tile.shape) * 2.0
    contenders: dict[str, Callable[[], object]] = {
        network.runtime.name: lambda: network.runtime.run(tile),
        "torch_eager": lambda: _run_torch(eager, tile),
    }
    if network.runtime.name != "onnxruntime":
        portable: Runtime = OnnxRuntime(folder / MODEL_FILE, "cpu")
        contenders["onnxruntime"] = lambda: portable.run(tile)
    seconds = _seconds(contenders, rounds)
    chosen = seconds[network.runtime.name]
    ratios = seconds["torch_eager"] / chosen
    rows = [
        BenchRow(
            f"{name}_speed_up_over_torch_eager{size}", float(np.median(ratios)), "1", "higher",
            float(ratios.min()), float(ratios.max()), 1.8,
            f"{network.runtime.name} against torch {torch.__version__} in the same run, "
            f"tile {'x'.join(str(side) for side in shape)}",
        )
    ]  # fmt: skip
    for contender, taken in seconds.items():
        middle = float(np.median(taken))
        rows += [
            BenchRow(
                f"{name}_{contender}_gflop_per_s{size}", flop / middle / 1e9, "GFLOP/s", "higher"
            ),
            BenchRow(
                f"{name}_{contender}_voxels_per_s{size}", tile.size / middle, "voxel/s", "higher"
            ),
        ]
    return rows


def _run_torch(network: nn.Module, tile: Float32s) -> object:
    with torch.inference_mode():
        return network(torch.from_numpy(tile)[None, None])


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
    """Multiply-adds of all convolutions for one volume, counted from their real output sizes."""
    total = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ConvTranspose3d):
            total += inputs[0][0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Conv3d):
            total += output[0].numel() * module.weight[0].numel()

    handles = [module.register_forward_hook(count) for module in network.modules()]
    with torch.inference_mode():
        network(torch.zeros((1, 1, *shape)))
    for handle in handles:
        handle.remove()
    return total
