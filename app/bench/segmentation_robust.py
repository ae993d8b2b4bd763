"""Runtimes and tiles that must agree, reruns, and volumes that must be doubted."""

from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from app.bench.result import BenchRow
from app.bench.segmentation_scenes import FAMILIES, bench_params
from app.wiring import COARSE_MODEL, FINE_MODEL, shipped_networks
from engine.data.arrays import Float32s
from engine.data.tomogram import Tomogram
from engine.physics.missing_wedge import measured_wedge_mask
from engine.physics.normalise import robust_centre_and_scale
from engine.segmentation.analyse import analyse_tomogram
from engine.segmentation.coarse import coarse_view
from engine.segmentation.fine import CORE_OUTPUT
from engine.segmentation.inference import Network, Networks, OnnxRuntime, run_tiled
from engine.segmentation.known_spectrum import as_known
from engine.segmentation.network_files import MODEL_FILE, read_card
from engine.segmentation.resampling import resample
from engine.segmentation.tiling import Tile
from engine.simulation.case import simulate_tomogram
from models.finished import read_finished
from models.recipe import Recipe
from models.registry import model_folder
from models.training import make_network
from models.warm_start import take_weights

# Seeds of tomograms that no other part of this benchmark uses.
PARITY_INDEX, DOUBT_INDEX = 50_000, 60_000
PARITY_TILE = (64, 96, 128)
SMALL_TILE_VOX = 1_500_000
PER_FAMILY = {"quick": 1, "full": 8}
# Voxel sizes as a wrong header has them.
ABSURD_SCALES = (0.25, 2.5)


def parity_rows(device: str) -> list[BenchRow]:
    """Torch against ONNX Runtime and OpenVINO, two tile sizes, and a rerun."""
    params, seed = bench_params("A", PARITY_INDEX)
    tomogram = simulate_tomogram(params, seed=seed).tomogram
    networks = shipped_networks(device)
    rows = []
    for name, network in ((COARSE_MODEL, networks.coarse), (FINE_MODEL, networks.fine)):
        rows += _runtime_rows(name, network, tomogram)
    assert networks.small_bodies is not None
    small = replace(
        networks,
        coarse=replace(networks.coarse, largest_tile_vox=SMALL_TILE_VOX // 4),
        fine=replace(networks.fine, largest_tile_vox=SMALL_TILE_VOX),
        small_bodies=replace(networks.small_bodies, largest_tile_vox=SMALL_TILE_VOX // 4),
    )
    return rows + _tile_rows(tomogram, networks, small)


def _runtime_rows(name: str, network: Network, tomogram: Tomogram) -> list[BenchRow]:
    folder = model_folder(name)
    recipe = Recipe.model_validate(read_card(folder)["training"])
    eager = make_network(recipe)
    take_weights(eager, read_finished(folder), recipe.outputs, [])
    tile = _tile(network, tomogram)
    with torch.inference_mode():
        expected = eager.eval()(torch.from_numpy(tile)[None])[0].numpy()
    found = {network.runtime.name: network.runtime.run(tile)}
    found.setdefault("onnxruntime", OnnxRuntime(folder / MODEL_FILE, "cpu").run(tile))
    rows = []
    for runtime, outputs in found.items():
        agree = float((_labels(outputs, recipe) == _labels(expected, recipe)).mean())
        largest = float(np.abs(outputs - expected).max() / np.abs(expected).max())
        rows.append(
            BenchRow(
                f"{name}_labels_of_{runtime}_agreeing_with_torch", agree, "1", "higher",
                goal=0.9999, baseline=f"largest difference {largest:.1e} of the largest output",
            )
        )  # fmt: skip
    return rows


def _sampled(network: Network, tomogram: Tomogram) -> tuple[Float32s, float, float]:
    """A tomogram at a network's sampling, its robust centre and scale."""
    image = resample(tomogram.voxels, network.spec.voxel_size_nm * 10.0 / tomogram.voxel_size_angst)
    return image, *robust_centre_and_scale(image)


def _tile(network: Network, tomogram: Tomogram) -> Float32s:
    """A normalised tile of the tomogram's middle; context as if nothing had been seen."""
    image, centre, scale = _sampled(network, tomogram)
    sides = [
        min(n, wanted) // network.spec.multiple * network.spec.multiple
        for n, wanted in zip(image.shape, PARITY_TILE, strict=True)
    ]
    z, y, x = (
        slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(image.shape, sides, strict=True)
    )
    block = np.clip((image[z, y, x] - centre) / scale, -8.0, 8.0).astype(np.float32)
    context = np.zeros((len(network.spec.context), *block.shape), dtype=np.float32)
    return np.concatenate([block[None], context])


def _labels(outputs: Float32s, recipe: Recipe) -> np.ndarray:
    """Likeliest class of a coarse network, masks of a fine one."""
    return outputs[:-1].argmax(axis=0) if recipe.task == "coarse" else outputs > 0


def _tile_rows(tomogram: Tomogram, networks: Networks, small: Networks) -> list[BenchRow]:
    first, second = (_core_probability(tomogram, each.fine) for each in (networks, small))
    difference = np.abs(first - second)
    whole, again, tiled = (analyse_tomogram(tomogram, each) for each in (networks, networks, small))
    same_bytes = (
        whole.labels.labels.tobytes() == again.labels.labels.tobytes()
        and whole.instances.ids.tobytes() == again.instances.ids.tobytes()
    )
    counts = [(len(each.instances.organelles), len(each.filaments)) for each in (whole, tiled)]
    lengths = [sum(line.length_nm for line in each.filaments) for each in (whole, tiled)]
    return [
        BenchRow(
            "voxels_changed_less_than_0.01_by_another_tile", float((difference < 0.01).mean()),
            "1", "higher", goal=0.9999, baseline=f"largest change {float(difference.max()):.1e}",
        ),
        BenchRow(
            "counts_changed_by_another_tile", float(counts[0] != counts[1]), "1", "lower",
            goal=0.0,
            baseline=f"organelles and microtubules {counts[0]} and {counts[1]}, "
            f"lengths {lengths[0]:.1f} and {lengths[1]:.1f} nm",
        ),
        BenchRow("rerun_gives_identical_bytes", float(same_bytes), "1", "higher", goal=1.0),
    ]  # fmt: skip


def _core_probability(tomogram: Tomogram, network: Network) -> Float32s:
    image, centre, scale = _sampled(network, tomogram)
    channel = network.spec.outputs.index(CORE_OUTPUT)
    probability = np.empty(image.shape, dtype=np.float32)

    def keep(tile: Tile, outputs: Float32s) -> None:
        probability[tile.core] = 1.0 / (1.0 + np.exp(-outputs[channel]))

    n_context = len(network.spec.context)
    run_tiled(
        network, image, keep, centre=centre, scale=scale,
        beside=lambda box: np.zeros(
            (n_context, *(part.stop - part.start for part in box)), dtype=np.float32
        ),
    )  # fmt: skip
    return probability


def doubt_rows(tier: str, device: str) -> list[BenchRow]:
    """How well the distance from ordinary tomograms tells ordinary ones from corrupted ones."""
    networks = shipped_networks(device)
    assert networks.ordinary is not None
    ordinary: list[float] = []
    corrupted: dict[str, list[float]] = {}
    for number in range(PER_FAMILY[tier] * len(FAMILIES)):
        family = FAMILIES[number % len(FAMILIES)]
        params, seed = bench_params(family, DOUBT_INDEX + number)
        simulated = simulate_tomogram(params, seed=seed)
        ordinary.append(_distance(simulated.tomogram, networks))
        for name, volume in _corrupted(simulated.tomogram, simulated.noise, number).items():
            corrupted.setdefault(name, []).append(_distance(volume, networks))
    every = [value for values in corrupted.values() for value in values]
    rows = [
        _auc_row("out_of_distribution_auc", ordinary, every, goal=0.9),
        BenchRow(
            "ordinary_tomograms_flagged", float(np.mean(np.array(ordinary) > 1.0)), "1", "lower",
            baseline=f"of {len(ordinary)}, a third of them of the held-out family",
        ),
        BenchRow(
            "corrupted_tomograms_flagged", float(np.mean(np.array(every) > 1.0)), "1", "higher",
            baseline=f"of {len(every)}",
        ),
    ]  # fmt: skip
    return rows + [
        _auc_row(f"out_of_distribution_auc_{name}", ordinary, values)
        for name, values in corrupted.items()
    ]


def _auc_row(
    metric: str, ordinary: list[float], others: list[float], goal: float | None = None
) -> BenchRow:
    truth = np.repeat([0, 1], [len(ordinary), len(others)])
    auc = float(roc_auc_score(truth, ordinary + others))
    return BenchRow(
        metric, auc, "1", "higher", goal=goal,
        baseline=f"median distance {np.median(ordinary):.2f} and {np.median(others):.2f}",
    )  # fmt: skip


def _distance(tomogram: Tomogram, networks: Networks) -> float:
    assert networks.ordinary is not None
    look = as_known(tomogram.voxels, tomogram.voxel_size_angst / 10.0, networks.spectrum)
    view = coarse_view(tomogram, networks.coarse, lambda fraction: None, look)
    return networks.ordinary.distance(view.description) / networks.ordinary.limit


def _corrupted(tomogram: Tomogram, noise: Float32s, number: int) -> dict[str, Tomogram]:
    """Wrong contrast, noise alone, a wedge filled with noise, a voxel size that cannot be."""
    scale = ABSURD_SCALES[number % len(ABSURD_SCALES)]
    voxels = {
        "wrong_contrast": -tomogram.voxels,
        "empty_ice": noise,
        "no_wedge": _filled_wedge(tomogram, number),
    }
    changed = {name: replace(tomogram, voxels=volume) for name, volume in voxels.items()}
    changed["absurd_scale"] = replace(tomogram, voxel_size_angst=tomogram.voxel_size_angst * scale)
    return changed


def _filled_wedge(tomogram: Tomogram, seed: int) -> Float32s:
    """White noise, as strong as the volume, in the wedge that was not measured."""
    assert tomogram.tilt_range is not None
    z, y, x = tomogram.voxels.shape
    generator = torch.Generator().manual_seed(seed)
    volume = torch.from_numpy(np.array(tomogram.voxels))
    noise = torch.randn((z, y, x), generator=generator) * float(volume.std())
    measured = measured_wedge_mask((z, y, x), tomogram.tilt_range, volume.device)
    filling = torch.fft.irfftn(torch.fft.rfftn(noise) * ~measured, s=(z, y, x))
    filled: Float32s = (volume + filling).numpy()
    return filled
