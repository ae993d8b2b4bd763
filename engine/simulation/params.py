"""What is drawn before a tomogram is simulated: acquisition families and scene ranges.

Ranges have a source in the comment beside them, or are marked as assumptions.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from engine.data.tomogram import TiltRange

Family = Literal["A", "B", "C"]
SceneKind = Literal["platelet", "neurite", "cilia"]


@dataclass(frozen=True)
class Acquisition:
    """How a scene is imaged and reconstructed.

    Attributes
    ----------
    snr
        Variance of the signal after CTF and missing wedge over that of the noise, inside the
        specimen, at the tomogram's voxel size.
    noise_correlation_vox
        Sigma of the detector noise's blur; 0 is white.
    alignment_error_nm
        Standard deviation of each projection's shift.
    """

    family: Family
    voxel_size_nm: float
    tilt_range: TiltRange
    tilt_step_deg: float
    defocus_um: float
    snr: float
    dose_e_per_angst2: float
    alignment_error_nm: float
    reconstruction: Literal["ramp", "band_pass"]
    phase_shift_deg: float = 0.0
    noise_correlation_vox: float = 0.0

    @property
    def tilts_deg(self) -> tuple[float, ...]:
        """Every tilt of the series."""
        return self.tilt_range.tilts_deg(self.tilt_step_deg)


@dataclass(frozen=True)
class Scene:
    """How many of what is in the field of view, and how the cell lies in it.

    Attributes
    ----------
    shape
        Voxels (z, y, x).
    thickness_nm
        Of the discoid cell at its middle.
    edge_in_view
        The lateral edge of the cell (with its marginal band) crosses the field.
    n_band, n_free
        Microtubules of the marginal band and others.
    crista_poor_fraction
        Share of round, crista-poor mitochondria.
    other_shapes
        Organelle shapes that the training families never show (family C).
    kind
        Platelet: `n_band` microtubules of the marginal band; neurite: along its axis; cilia: nine
        doublets and a central pair each, instead.
    ribosomes_per_um3
        Of cytoplasm.
    n_tubules
        Thin tubules of smooth reticulum.
    matrix_granules_per_um3
        Of mitochondrial matrix.
    climb_sd_rad
        Standard deviation of the angle between free microtubules and the sections.
    n_granule_rows
        Rows of dense grains in the cytoplasm, which a tracer must not take for microtubules.
    abnormal_shares
        Of swollen and of round, crista-poor mitochondria, the others normal, in place of
        `crista_poor_fraction`; None: mitochondria have no state.
    """

    shape: tuple[int, int, int]
    thickness_nm: float
    edge_in_view: bool
    n_mitochondria: int
    n_alpha_granules: int
    n_dense_granules: int
    n_vesicles: int
    n_band: int
    n_free: int
    touching_fraction: float
    crista_poor_fraction: float
    crowding: float
    n_gold: int
    n_ice: int
    carbon_edge: bool
    other_shapes: bool = False
    kind: SceneKind = "platelet"
    ribosomes_per_um3: float = 0.0
    n_tubules: int = 0
    matrix_granules_per_um3: float = 0.0
    climb_sd_rad: float = 0.18
    n_granule_rows: int = 0
    abnormal_shares: tuple[float, float] | None = None


@dataclass(frozen=True)
class SimulationParams:
    """Everything but the seed."""

    scene: Scene
    acquisition: Acquisition


def draw_acquisition(
    family: Family,
    rng: np.random.Generator,
    *,
    snr_range: tuple[float, float] = (0.05, 0.2),
    voxel_size_nm: float | None = None,
) -> Acquisition:
    """Draw one acquisition of a family.

    A and B are what networks are trained on; C is held out: nothing is trained, chosen or tuned
    on it. Ranges: families as the project's design sets them; SNR of binned cellular tomograms
    0.05-0.2; alignment residuals of fiducial alignment below a nanometre (assumption).
    """
    snr = float(np.exp(rng.uniform(*np.log(snr_range))))
    alignment_error_nm = float(rng.uniform(0.2, 1.0))
    dose = float(rng.uniform(60.0, 120.0))
    if family == "A":
        return Acquisition(
            family, voxel_size_nm or float(rng.uniform(2.0, 2.8)), TiltRange(-60.0, 60.0), 3.0,
            float(rng.uniform(3.0, 6.0)), snr, dose, alignment_error_nm, "ramp",
        )  # fmt: skip
    if family == "B":
        low, high = rng.uniform(50.0, 65.0, size=2)
        return Acquisition(
            family, voxel_size_nm or float(rng.uniform(2.8, 3.5)),
            TiltRange(-float(low), float(high)), float(rng.choice([2.0, 3.0, 4.0])),
            float(rng.uniform(5.0, 8.0)), snr, dose * 1.5, alignment_error_nm, "band_pass",
        )  # fmt: skip
    phase_plate = bool(rng.random() < 0.5)
    return Acquisition(
        family, voxel_size_nm or float(rng.uniform(2.2, 3.2)), TiltRange(-54.0, 54.0), 3.0,
        float(rng.uniform(0.5, 1.5)), snr, dose, alignment_error_nm, "ramp",
        phase_shift_deg=float(rng.uniform(60.0, 90.0)) if phase_plate else 0.0,
        noise_correlation_vox=float(rng.uniform(0.4, 0.8)),
    )  # fmt: skip


def draw_scene(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    voxel_size_nm: float,
    *,
    family: Family = "A",
    mean_mitochondria: float = 5.0,
    mean_microtubules: float = 8.0,
    kind: SceneKind = "platelet",
) -> Scene:
    """Draw an organelle-rich scene.

    Human platelets hold 5-8 mitochondria and 50-80 alpha granules (reviews in
    `docs/simulation.md`); a field shows part of a cell, so that means are per field and a
    parameter. Cell thickness, crowding, the share of touching pairs, numbers of ribosomes (few in
    a platelet, up to thousands per um3 elsewhere) are assumptions. A neurite is 250-500 nm thick.
    """
    volume_um3 = float(np.prod(shape)) * (voxel_size_nm * 1e-3) ** 3
    height_nm = shape[0] * voxel_size_nm
    thick = rng.uniform(1.0, 2.0) if family == "C" else rng.uniform(0.75, 1.6)
    n_mitochondria = int(min(12, rng.poisson(mean_mitochondria)))
    n_microtubules = int(rng.poisson(mean_microtubules))
    edge_in_view = bool(rng.random() < 0.5)
    n_band = int(rng.binomial(n_microtubules, 0.6)) if edge_in_view else 0
    thickness_nm = float(height_nm * thick)
    few, many = (20.0, 600.0) if kind == "platelet" else (100.0, 2000.0)
    if kind == "neurite":
        thickness_nm = float(rng.uniform(250.0, 500.0))
        n_band = int(rng.binomial(n_microtubules, 0.85))
        n_mitochondria = min(n_mitochondria, 3)
    if kind == "cilia":
        n_mitochondria = n_band = n_microtubules = 0
        volume_um3 = 0.0
    return Scene(
        shape=shape,
        thickness_nm=thickness_nm,
        edge_in_view=edge_in_view,
        n_mitochondria=n_mitochondria,
        n_alpha_granules=int(rng.poisson(14.0 * volume_um3)),
        n_dense_granules=int(rng.poisson(4.0 * volume_um3)),
        n_vesicles=int(rng.poisson(18.0 * volume_um3)),
        n_band=n_band,
        n_free=n_microtubules - n_band,
        touching_fraction=float(rng.uniform(0.0, 0.5)),
        crista_poor_fraction=float(rng.uniform(0.0, 0.3)),
        crowding=float(rng.uniform(0.6, 1.6) if family == "C" else rng.uniform(0.3, 1.2)),
        n_gold=int(rng.poisson(4.0)),
        n_ice=int(rng.poisson(0.5)),
        carbon_edge=bool(rng.random() < 0.12),
        other_shapes=family == "C",
        kind=kind,
        ribosomes_per_um3=float(np.exp(rng.uniform(*np.log([few, many])))),
    )


def with_extras(
    scene: Scene,
    rng: np.random.Generator,
    *,
    tubules: bool = False,
    matrix_granules: bool = False,
    granule_rows: bool = False,
    steep: bool = False,
    mitochondrion_states: bool = False,
) -> Scene:
    """A scene with more in it; all numbers are assumptions.

    Parameters
    ----------
    tubules
        Tubules of smooth reticulum, 24-44 nm wide, not in cilia: what a microtubule tracer must not
        take, and membranes like any other.
    matrix_granules
        Dense granules in mitochondria, up to 800 a cubic micrometre of matrix: none to a dozen in
        one.
    granule_rows
        Rows of dense grains, two in the mean.
    steep
        Free microtubules that rise steeply to the sections.
    mitochondrion_states
        A third of the mitochondria swollen, a third round and poor in cristae.
    """
    more: dict[str, Any] = {}
    if tubules and scene.kind != "cilia":
        more["n_tubules"] = int(rng.poisson(1.0 if scene.kind == "platelet" else 4.0))
    if matrix_granules:
        more["matrix_granules_per_um3"] = float(rng.uniform(0.0, 800.0))
    if granule_rows:
        more["n_granule_rows"] = int(rng.poisson(2.0))
    if steep:
        more["climb_sd_rad"] = float(rng.uniform(0.2, 0.9))
    if mitochondrion_states:
        more["abnormal_shares"] = (1 / 3, 1 / 3)
    return replace(scene, **more)
