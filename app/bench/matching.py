"""`tomodx bench matching`: planted copies found, chance told from structure, at what cost."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation

from app.bench import matching_scenes as scenes
from app.bench.command_cost import CommandCost, run_command
from app.bench.matching_calibration import CHECK_SCENES, calibration_rows
from app.bench.matching_noise import noise_rows
from app.bench.result import BenchResult, BenchRow
from engine.data.arrays import Bools, Float64s, Ints
from engine.data.orientations import rotations_from_relion
from engine.data.particles import ParticleSet
from engine.io.mrc import read_tomogram
from engine.io.template_files import read_template
from engine.matching.accuracy import angle_bound_deg
from engine.matching.exact import TemplateRotator, exact_scores, exhaustive_scores
from engine.matching.filters import MatchFilter
from engine.matching.match import match_templates
from engine.matching.matched_volume import matched_volume
from engine.matching.params import MatchParams
from engine.matching.region import halo_for
from engine.matching.rotation_grid import angle_between_deg
from engine.matching.scan import best_over_rotations
from engine.simulation.macromolecules import PlantedScene

# A pick is a hit within this many voxels of a copy.
HIT_VOX = 4.0
FINE_STEP_DEG, GRID_ROTATIONS = 7.55, 2000
ORACLE_ROTATIONS = 6
TEST_DATA = "TOMODX_DATA"


def run(tier: str, device: str, on_progress: Callable[[float], None]) -> BenchResult:
    """Run all parts; `quick` leaves out the crowded volume and most noise volumes."""
    rows: list[BenchRow] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows += _single_template_rows(folder / "w1")
        on_progress(0.2)
        rows += _decoy_rows(folder / "w2")
        on_progress(0.3)
        rows += noise_rows(tier, lambda f: on_progress(0.3 + 0.3 * f))
        rows += calibration_rows(CHECK_SCENES[tier], lambda f: on_progress(0.6 + 0.2 * f))
        if tier == "full":
            rows += _crowded_rows(folder / "crowded")
    if torch.cuda.is_available() and device != "cpu":
        rows += _gpu_rows()
    on_progress(1.0)
    return BenchResult("matching", tier, tuple(rows))


@dataclass(frozen=True)
class _Found:
    """Picks set against a scene.

    Attributes
    ----------
    hit
        (n,) whether a pick lies on a copy of its own kind that no better pick took.
    copy
        (n,) index of the copy, -1 where there is none.
    """

    picks: ParticleSet
    hit: Bools
    copy: Ints


def _match(files: scenes.SceneFiles, out: Path, *options: str) -> tuple[CommandCost, ParticleSet]:
    templates = [word for path in files.templates for word in ("--template", str(path))]
    wedge = [f"{scenes.WEDGE.min_deg:g}", f"{scenes.WEDGE.max_deg:g}"]
    cost = run_command(
        [
            "match",
            str(files.tomogram),
            *templates,
            "--tilt-range",
            *wedge,
            "--out",
            str(out),
            *options,
        ]
    )
    return cost, _picks(out / "picks.csv")


def _picks(path: Path) -> ParticleSet:
    """The benchmark reads what a user gets."""
    table = pd.read_csv(path)
    angles = table[["rot_deg", "tilt_deg", "psi_deg"]].to_numpy(dtype=np.float64)
    return ParticleSet(
        positions_angst=table[["z_nm", "y_nm", "x_nm"]].to_numpy(dtype=np.float64) * 10.0,
        rotations=rotations_from_relion(angles),
        tomogram_ids=("tomogram",) * len(table),
        class_names=tuple(table["template"].astype(str)),
        figures={name: table[name].to_numpy(dtype=np.float64) for name in ("probability",)},
    )


def _compare(picks: ParticleSet, scene: PlantedScene, names: list[str]) -> _Found:
    """Match picks one to one to copies of their kind, best first."""
    places = picks.positions_angst / scenes.VOXEL_SIZE_ANGST
    hit = np.zeros(len(picks), dtype=bool)
    copy = np.full(len(picks), -1)
    for index in np.argsort(-picks.figures["probability"], kind="stable"):
        kind = names.index(picks.class_names[index])
        distance = np.linalg.norm(scene.positions_vox - places[index], axis=1)
        distance[(scene.kinds != kind) | np.isin(np.arange(len(distance)), copy)] = np.inf
        nearest = int(distance.argmin())
        if distance[nearest] <= HIT_VOX:
            hit[index], copy[index] = True, nearest
    return _Found(picks, hit, copy)


def _single_template_rows(folder: Path) -> list[BenchRow]:
    folder.mkdir()
    files = scenes.chains(folder, snr=0.1, n_decoys=0, index=0)
    cost, picks = _match(files, folder / "out")
    fine, _ = _match(files, folder / "fine", "--angular-step", f"{FINE_STEP_DEG}")
    again, _ = _match(files, folder / "again")
    found = _compare(picks, files.scene, ["template", "decoy"])
    angles = _angles(found, files.scene)
    cpu = (cost.cpu_s + again.cpu_s) / 2
    rows = [
        BenchRow("w1_recall", found.hit.sum() / scenes.N_COPIES, "1", "higher", goal=1.0),
        BenchRow("w1_precision", float(found.hit.mean()), "1", "higher", goal=1.0),
        BenchRow(
            "w1_command_cpu_s", cpu, "s", "lower", min(cost.cpu_s, again.cpu_s),
            max(cost.cpu_s, again.cpu_s), 25.0,
            f"{GRID_ROTATIONS} rotations; one transform a rotation, same run: "
            f"{_exhaustive_cpu_s(files):.0f} s",
        ),
        BenchRow("w1_command_wall_s", min(cost.wall_s, again.wall_s), "s", "lower"),
        BenchRow("w1_command_peak_gb", max(cost.peak_gb, again.peak_gb), "GB", "lower", goal=1.5),
        BenchRow(
            "w1_cpu_20000_over_2000_rotations", fine.cpu_s / cpu, "1", "lower", goal=4.0,
        ),
        BenchRow(
            "w1_angle_error_median_deg", float(np.median(angles)), "deg", "lower",
            *_quartiles(angles), 2.0,
            f"Cramer-Rao bound for this template and noise: {_angle_bound_deg(files):.2f}",
        ),
    ]  # fmt: skip
    return rows + _exactness_rows(files)


def _quartiles(values: Float64s) -> tuple[float, float]:
    low, high = np.percentile(values, [25, 75])
    return float(low), float(high)


def _angles(found: _Found, scene: PlantedScene) -> Float64s:
    hits = np.flatnonzero(found.hit)
    return angle_between_deg(found.picks.rotations[hits], scene.rotations[found.copy[hits]], "C1")


def _filter() -> MatchFilter:
    return MatchFilter(scenes.VOXEL_SIZE_ANGST, scenes.WEDGE)


def _exhaustive_cpu_s(files: scenes.SceneFiles) -> float:
    """CPU seconds of the plain matcher for the same rotations, from a few of them."""
    tomogram = read_tomogram(files.tomogram, contrast="bright")
    template = read_template(files.templates[0])
    volume = matched_volume(tomogram.voxels, _filter(), halo_vox=halo_for((template,)))
    rotator = TemplateRotator(template, _filter())
    rotations = Rotation.random(ORACLE_ROTATIONS, rng=np.random.default_rng(0))
    exhaustive_scores(volume, rotator, rotations[:1])
    started = time.process_time()
    exhaustive_scores(volume, rotator, rotations)
    return (time.process_time() - started) / ORACLE_ROTATIONS * GRID_ROTATIONS


def _exactness_rows(files: scenes.SceneFiles) -> list[BenchRow]:
    """Scores against the plain matcher, and small tiles against large ones."""
    tomogram = read_tomogram(files.tomogram, contrast="bright")
    template = read_template(files.templates[0])
    whole = match_templates(tomogram, (template,), _filter(), MatchParams())
    tiled = match_templates(tomogram, (template,), _filter(), MatchParams(tile_bytes=6e7))
    volume = matched_volume(tomogram.voxels, _filter(), halo_vox=halo_for((template,)))
    rotator = TemplateRotator(template, _filter())
    differences = []
    for index in range(ORACLE_ROTATIONS):
        place = np.rint(whole.particles.positions_angst[index] / scenes.VOXEL_SIZE_ANGST).astype(
            np.int64
        )
        rotation = whole.particles.rotations[index]
        plain, _ = exhaustive_scores(volume, rotator, Rotation.concatenate([rotation]))
        exact = exact_scores(volume, rotator, place[None], rotation)[0]
        reported = whole.particles.figures["score"][index]
        oracle = float(plain[tuple(place)])
        differences += [abs(reported / oracle - 1.0), abs(exact / oracle - 1.0)]
    scan = whole.particles.figures["scan_score"] / whole.particles.figures["score"]
    return [
        BenchRow("score_relative_difference_from_oracle", max(differences), "1", "lower",
                 goal=1e-3),
        BenchRow("scan_score_over_exact_median", float(np.median(scan)), "1", "higher",
                 *_quartiles(scan)),
        BenchRow("score_tiled_minus_whole_max",
                 float(np.abs(whole.scores - tiled.scores).max()), "1", "lower", goal=1e-4),
    ]  # fmt: skip


def _angle_bound_deg(files: scenes.SceneFiles) -> float:
    """Median angle of the best unbiased estimate, from the Fisher information of a rotation."""
    template = read_template(files.templates[0])
    return angle_bound_deg(
        template, _filter(), files.scene.noise_deviation, n_orientations=scenes.N_COPIES
    )


def _decoy_rows(folder: Path) -> list[BenchRow]:
    folder.mkdir()
    files = scenes.chains(folder, snr=0.02, n_decoys=scenes.N_DECOYS, index=1)
    names = ["template", "decoy"]
    _, both = _match(files, folder / "both")
    alone = scenes.SceneFiles(files.tomogram, files.templates[:1], files.scene)
    _, single = _match(alone, folder / "alone")
    precision = [
        average_precision(_compare(picks, files.scene, names), "template", scenes.N_COPIES)
        for picks in (both, single)
    ]
    return [
        BenchRow(
            "w2_average_precision", precision[0], "1", "higher", goal=0.9,
            baseline=f"without the decoy in the library: {precision[1]:.3f}",
        ),
        BenchRow("w2_average_precision_without_decoy", precision[1], "1", "higher"),
    ]  # fmt: skip


def average_precision(found: _Found, name: str, n_true: int) -> float:
    """Area under precision over recall of one template's picks, by probability."""
    own = np.array([kind == name for kind in found.picks.class_names], dtype=bool)
    order = np.argsort(-found.picks.figures["probability"][own], kind="stable")
    hit = found.hit[own][order]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / n_true)


def _crowded_rows(folder: Path) -> list[BenchRow]:
    """F1 of ten known densities in one volume, by mass; nothing where the data are absent."""
    data = os.environ.get(TEST_DATA)
    densities = Path(data) / "densities_10A" if data else None
    if densities is None or not densities.is_dir():
        return []
    folder.mkdir()
    files = scenes.crowded(folder, densities, 0)
    names = list(scenes.CROWDED_KDA)
    _, picks = _match(files, folder / "out")
    found = _compare(picks, files.scene, names)
    rows, large = [], []
    for name, mass_kda in scenes.CROWDED_KDA.items():
        own = np.array([kind == name for kind in picks.class_names], dtype=bool)
        true = int(found.hit[own].sum())
        score = 2.0 * true / max(1, int(own.sum()) + scenes.COPIES_EACH)
        rows.append(
            BenchRow(f"crowded_f1_{name}", score, "1", "higher", baseline=f"{mass_kda} kDa")
        )
        if mass_kda > 300:
            large.append(score)
    mean = BenchRow(
        "crowded_macro_f1_above_300_kda", float(np.mean(large)), "1", "higher", goal=0.85
    )
    return [mean, *rows]


def _gpu_rows() -> list[BenchRow]:
    """Voxel-rotations a second of the scan on the GPU at hand."""
    device = torch.device("cuda")
    generator = torch.Generator(device=device).manual_seed(0)
    n_voxels, n_rotations, size = 8_000_000, 2000, 64
    maps = torch.randn((size, n_voxels), device=device, generator=generator)
    table = torch.randn((n_rotations, size), device=device, generator=generator)
    rows = torch.arange(size, device=device)
    best_over_rotations(table, maps, rows)
    taken = []
    for _ in range(5):
        torch.cuda.synchronize()
        started = time.perf_counter()
        best_over_rotations(table, maps, rows)
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    rate = n_voxels * n_rotations / float(np.median(taken))
    name = torch.cuda.get_device_name(0)
    return [
        BenchRow("gpu_scan_voxel_rotations_per_s", rate, "1/s", "higher", goal=0.5e12,
                 baseline=f"{name}, {size} volumes, {n_rotations} rotations")
    ]  # fmt: skip
