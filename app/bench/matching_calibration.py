"""How picks' read-outs become probabilities: fitted on scenes with known truth.

`python -m app.bench.matching_calibration` prints the coefficients that
`engine/matching/probability.py` holds. The benchmark checks them on other seeds, templates and
noise.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from sklearn.linear_model import LogisticRegression

from app.bench.result import BenchRow
from engine import __version__
from engine.data.arrays import Bools, Float32s, Float64s
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.template import Template
from engine.data.tomogram import TiltRange, Tomogram
from engine.matching.filters import MatchFilter
from engine.matching.match import match_templates
from engine.matching.params import MatchParams
from engine.matching.probability import Readouts, design_columns
from engine.matching.template_masks import soft_sphere
from engine.simulation.macromolecules import PlantedScene, blob_chain, planted_scene
from engine.simulation.surroundings import surroundings

FIT_SEED, CHECK_SEED = 51_000, 52_000
FIT_SCENES = 96
CHECK_SCENES = {"quick": 2, "full": 16}
N_BINS = 5
SHAPE = (96, 140, 140)
# The third is never among the templates: a rival that nobody thought of.
N_STRUCTURES = 3
ABSENT = 0.3
# Distance of copies from each other and from other things, over twice and once their radius.
PACKING = (0.8, 1.1)
VOXEL_SIZE_ANGST = 10.0
# From the default to many, so that there is something false to learn from.
N_FALSE_POSITIVES = (1.0, 30.0)
SNR = (0.01, 0.3)
# Of a radius: a pick farther from every copy of its kind is false.
HIT_SHARE = 0.35


@dataclass(frozen=True)
class LabelledPicks:
    """Read-outs of picks and whether each is right.

    Attributes
    ----------
    columns
        (n, 5), as `design_columns`; NaN margins where there was one template only.
    probability
        As given by the current coefficients.
    """

    columns: Float64s
    right: Bools
    probability: Float64s


def labelled_picks(seed: int, index: int) -> LabelledPicks:
    """Match one drawn scene: with one or two templates, each with copies or without."""
    rng = np.random.default_rng([seed, index])
    radius = float(rng.uniform(8.0, 12.0))
    n_blobs = round(rng.uniform(0.7, 1.1) * radius)
    box = 2 * int(np.ceil(radius + 3.0)) + 2
    structures = tuple(blob_chain(box, radius, n_blobs, rng=rng) for _ in range(N_STRUCTURES))
    tilt = float(rng.uniform(45.0, 65.0))
    wedge = TiltRange(-tilt, tilt)
    packing = float(rng.uniform(*PACKING))
    counts = tuple(0 if rng.random() < ABSENT else int(rng.integers(3, 13)) for _ in structures)
    scene = planted_scene(
        structures, counts, SHAPE,
        snr=_log_uniform(SNR, rng) * (10.0 / radius) ** 3,
        snr_radius_vox=radius, distances_vox=(packing * radius,) * N_STRUCTURES,
        margin_vox=int(radius) + 2, tilt_range=wedge, rng=rng, background=_background(rng),
    )  # fmt: skip
    provenance = Provenance(__version__, "calibration", seed=seed, simulated=True)
    tomogram = Tomogram("scene", scene.voxels, VOXEL_SIZE_ANGST, wedge, "bright", provenance)
    templates = tuple(
        _template(f"kind_{kind}", structures[kind], radius, provenance)
        for kind in range(1 + index % 2)
    )
    params = MatchParams(n_false_positives=_log_uniform(N_FALSE_POSITIVES, rng), seed=index)
    found = match_templates(tomogram, templates, MatchFilter(VOXEL_SIZE_ANGST, wedge), params)
    picks = found.particles
    figures = picks.figures
    readouts = Readouts(**{f.name: figures[f.name] for f in fields(Readouts)})
    return LabelledPicks(
        design_columns(readouts), _right(picks, scene, radius), figures["probability"]
    )


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _background(rng: np.random.Generator) -> Float32s | None:
    """In two of three scenes a cell's filaments, membranes and beads, some of each."""
    n_microtubules, n_actin, n_membranes, n_gold = (
        int(rng.integers(0, 3)), int(rng.integers(0, 3)), int(rng.integers(0, 2)),
        int(rng.integers(0, 4)),
    )  # fmt: skip
    if rng.random() < 1 / 3:
        return None
    return surroundings(
        SHAPE, VOXEL_SIZE_ANGST / 10.0, n_microtubules=n_microtubules, n_actin=n_actin,
        n_membranes=n_membranes, n_gold=n_gold, rng=rng,
    )  # fmt: skip


def _template(name: str, voxels: np.ndarray, radius: float, provenance: Provenance) -> Template:
    return Template(
        template_id=name,
        voxels=voxels,
        mask=soft_sphere(voxels.shape[0], radius, 3),
        voxel_size_angst=VOXEL_SIZE_ANGST,
        symmetry="C1",
        radius_angst=radius * VOXEL_SIZE_ANGST,
        mass_kda=None,
        hand="as_given",
        resolution_angst=None,
        source="calibration",
        provenance=provenance,
    )


def _right(picks: ParticleSet, scene: PlantedScene, radius_vox: float) -> Bools:
    places = picks.positions_angst / VOXEL_SIZE_ANGST
    kinds = np.array([int(name.split("_")[1]) for name in picks.class_names])
    distance = np.linalg.norm(places[:, None] - scene.positions_vox[None], axis=2)
    distance[kinds[:, None] != scene.kinds[None]] = np.inf
    return np.asarray(distance.min(axis=1, initial=np.inf) <= HIT_SHARE * radius_vox)


def fit(picks: list[LabelledPicks]) -> dict[str, list[float]]:
    """Intercept and weights with and without a margin."""
    columns = np.concatenate([one.columns for one in picks])
    right = np.concatenate([one.right for one in picks])
    result = {}
    for name, with_margin in (("alone", False), ("with_rivals", True)):
        mine = np.isfinite(columns[:, -1]) == with_margin
        used = columns[mine] if with_margin else columns[mine, :-1]
        model = LogisticRegression(C=1.0, max_iter=2000).fit(used, right[mine])
        result[name] = [float(model.intercept_[0]), *(float(w) for w in model.coef_[0])]
    return result


def calibration_rows(n_scenes: int, on_progress: Callable[[float], None]) -> list[BenchRow]:
    """Calibration of the shipped coefficients on other seeds, templates and noise."""
    picks = []
    for index in range(n_scenes):
        picks.append(labelled_picks(CHECK_SEED, index))
        on_progress((index + 1) / n_scenes)
    right = np.concatenate([one.right for one in picks]).astype(np.float64)
    probability = np.concatenate([one.probability for one in picks])
    bins = np.minimum((probability * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = [
        (bins == number).mean()
        * abs(right[bins == number].mean() - probability[bins == number].mean())
        for number in np.unique(bins)
    ]
    brier = float(((probability - right) ** 2).mean())
    constant = float(right.mean() * (1.0 - right.mean()))
    return [
        BenchRow(
            "pick_probability_expected_calibration_error", float(np.sum(gaps)), "1", "lower",
            baseline=f"{len(right)} picks of {n_scenes} scenes, {right.mean():.2f} right",
        ),
        BenchRow(
            "pick_probability_brier", brier, "1", "lower",
            baseline=f"best constant answer: {constant:.3f}",
        ),
    ]  # fmt: skip


def main() -> None:
    """Print the coefficients."""
    picks = []
    for index in range(FIT_SCENES):
        picks.append(labelled_picks(FIT_SEED, index))
        last = picks[-1]
        sys.stderr.write(f"scene {index + 1} of {FIT_SCENES}: {last.right.sum()} of "
                         f"{len(last.right)} right\n")  # fmt: skip
    for name, values in fit(picks).items():
        sys.stdout.write(f"{name}: {[round(v, 4) for v in values]}\n")


if __name__ == "__main__":
    main()
