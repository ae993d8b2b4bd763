"""Real masks, a real tomogram, and tomograms rendered from real geometry."""

import os
from pathlib import Path

import numpy as np
import starfile
import tifffile
from scipy import ndimage
from scipy.interpolate import splev, splprep
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from app.bench.result import BenchRow
from app.bench.segmentation_scenes import MEMBRANE_NAMES
from app.wiring import shipped_networks
from engine import __version__
from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS
from engine.data.orientations import rotations_from_relion
from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.io.mrc import read_labels, read_tomogram
from engine.segmentation.analyse import analyse_tomogram
from engine.segmentation.morphometry import connected_bodies, surface_um2, volume_share
from engine.segmentation.scoring import compare_lines, dice
from engine.segmentation.tube_profile import tube_profile
from engine.simulation.filaments import STEP_NM
from engine.simulation.known_geometry import tomogram_of_geometry
from engine.simulation.params import Family, draw_acquisition

TEST_DATA = "TOMODX_DATA"
# Published of serial block-face masks, doi:10.1371/journal.ppat.1011829 and its data.
BODIES = {"NI": (43, 107.2123), "8hpi": (43, 102.8533), "12hpi": (39, 81.3039)}
MASK_NM = (30.0, 8.0, 8.0)
CRISTA_SHARES = {"NI": (0.3333, 0.2354, 0.3815, 0.3962), "8hpi": (0.3543, 0.3178, 0.2988, 0.2879)}
# Measured twice by other means.
MICROTUBULE_NM, MICROTUBULE_DIAMETER_NM = 227.0, 21.0
MICROTUBULE_ANGST = 10.52
# The header of the membrane labels is wrong along z.
LABELS_NM = 2.488
PLASTIC_ANGST = 25.0
RENDERED_SHAPE = (112, 288, 288)
RENDERED_SEED = 551_000
FAMILIES: tuple[Family, ...] = ("A", "B", "C")
# Tubulin lies on the wall; its reference z axis points away from the tube's axis.
TUBULIN_PIXEL_NM, TUBULIN_RADIUS_NM = 0.196, 11.7
SAME_TUBE_NM, FEWEST_TUBULINS = 9.0, 30
SHORTEST_LINE_NM = 60.0


def real_rows(device: str) -> list[BenchRow]:
    """Rows that need the validation data; none where `TOMODX_DATA` does not name it."""
    name = os.environ.get(TEST_DATA)
    if not name:
        return []
    data = Path(name)
    return [
        *_mask_rows(data / "mitochondria" / "sbfsem_hsv"),
        *_microtubule_rows(data / "microtubule" / "mt_13pf.mrc", device),
        *_membrane_rows(data / "mitochondria" / "mito_TE1_bin2_labels.mrc.gz", device),
        *_filament_rows(data / "microtubule" / "chlamydomonas_microtubules.star", device),
        *_plastic_rows(data / "microtubule" / "plastic", device),
    ]


def _mask_rows(folder: Path) -> list[BenchRow]:
    rows, worst_area, worst_share = [], 0.0, 0.0
    for name, (count, area_um2) in BODIES.items():
        mask = tifffile.imread(folder / f"{name}_mitochondria.tif") > 0
        ids, found = connected_bodies(mask)
        areas = [
            surface_um2(ids[box] == number, MASK_NM, "outer")
            for number, box in enumerate(ndimage.find_objects(ids), start=1)
        ]
        worst_area = max(worst_area, abs(sum(areas) / area_um2 - 1.0))
        rows.append(
            BenchRow(
                f"real_masks_mitochondria_{name}", float(found), "1", "higher", goal=float(count),
                baseline=f"published: {count}",
            )
        )  # fmt: skip
    for name, shares in CRISTA_SHARES.items():
        for number, share in enumerate(shares, start=1):
            labels = tifffile.imread(folder / f"cristae_{name}_m{number}.tif")
            worst_share = max(worst_share, abs(volume_share(labels == 2, labels > 0) - share))
    return [
        *rows,
        BenchRow(
            "real_masks_total_surface_largest_relative_error", worst_area, "1", "lower", goal=1e-4
        ),
        BenchRow("real_masks_crista_ratio_largest_error", worst_share, "1", "lower", goal=1e-3),
    ]


def _microtubule_rows(path: Path, device: str) -> list[BenchRow]:
    tomogram = read_tomogram(path, voxel_size_angst=MICROTUBULE_ANGST, contrast="bright")
    found = analyse_tomogram(tomogram, shipped_networks(device)).filaments
    rows = [BenchRow("real_microtubule_count", float(len(found)), "1", "lower", goal=1.0)]
    if found:
        off = abs(found[0].length_nm / MICROTUBULE_NM - 1.0)
        diameter_nm = tube_profile(tomogram, found[0]).diameter_nm
        rows += [
            BenchRow(
                "real_microtubule_length_error", off, "1", "lower", goal=0.03,
                baseline=f"{found[0].length_nm:.1f} nm found, {MICROTUBULE_NM:g} nm true",
            ),
            BenchRow(
                "real_microtubule_diameter_error", abs(diameter_nm - MICROTUBULE_DIAMETER_NM),
                "nm", "lower", goal=1.5, baseline=f"{diameter_nm:.2f} nm found, mid-wall",
            ),
        ]  # fmt: skip
    return rows


def _plastic_rows(folder: Path, device: str) -> list[BenchRow]:
    """Patches of plastic sections: they run; their masks are too loose for a figure of merit."""
    rows = []
    for path in sorted(folder.glob("*.tif")):
        if path.stem.endswith("_mask"):
            continue
        # Stain is dark.
        voxels = -tifffile.imread(path).astype(np.float32)
        tomogram = Tomogram(
            path.stem, voxels, PLASTIC_ANGST, None, "dark", Provenance(__version__, "")
        )
        found = analyse_tomogram(tomogram, shipped_networks(device))
        inside = sum(line.length_nm for line in found.filaments)
        rows.append(
            BenchRow(
                f"plastic_patch_{path.stem}_microtubules_traced", float(len(found.filaments)),
                "1", "higher",
                baseline=f"{inside:.0f} nm in all, "
                f"{len(found.instances.organelles)} organelles; no truth",
            )
        )  # fmt: skip
    return rows


def _membrane_rows(path: Path, device: str) -> list[BenchRow]:
    """Real membranes, as labelled in a tomogram, through the microscope of each family."""
    labels, _ = read_labels(path)
    labels = _densest_box(np.asarray(labels), RENDERED_SHAPE)
    rows = []
    for index, family in enumerate(FAMILIES):
        acquisition = draw_acquisition(
            family, np.random.default_rng([RENDERED_SEED, index]), voxel_size_nm=LABELS_NM
        )
        simulated = tomogram_of_geometry(
            labels.shape, acquisition, seed=RENDERED_SEED + index, membranes=labels
        )
        found = analyse_tomogram(simulated.tomogram, shipped_networks(device)).labels.labels
        membrane = np.isin(found, [CLASS_IDS[name] for name in MEMBRANE_NAMES])
        rows.append(
            BenchRow(
                f"real_membranes_rendered_dice_family_{family}",
                dice(membrane, simulated.truth.membrane), "1", "higher", goal=0.75,
                baseline=f"SNR {acquisition.snr:.3f}",
            )
        )  # fmt: skip
    return rows


def _densest_box(labels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The box of a shape that holds the most labelled voxels, to the eighth of its side."""
    best, most = labels, -1
    starts = [
        range(0, n - size + 1, max(1, size // 8))
        for n, size in zip(labels.shape, shape, strict=True)
    ]
    for z in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                box = labels[z : z + shape[0], y : y + shape[1], x : x + shape[2]]
                count = int(np.count_nonzero(box[::3, ::3, ::3]))
                if count > most:
                    best, most = box, count
    return best


def _filament_rows(path: Path, device: str) -> list[BenchRow]:
    """Real microtubules of ten cells through the microscope of the families in turn."""
    errors, totals = [], np.zeros(4)
    for index, lines in enumerate(real_microtubules(path)):
        family = FAMILIES[index % len(FAMILIES)]
        acquisition = draw_acquisition(family, np.random.default_rng([RENDERED_SEED, 100 + index]))
        simulated = tomogram_of_geometry(
            RENDERED_SHAPE,
            acquisition,
            seed=RENDERED_SEED + 100 + index,
            lines_nm=_centred(lines, np.array(RENDERED_SHAPE) * acquisition.voxel_size_nm),
        )
        analysis = analyse_tomogram(simulated.tomogram, shipped_networks(device))
        result = compare_lines(analysis.filaments, simulated.truth.filaments)
        errors.append(abs(result.found_nm / max(result.true_nm, 1.0) - 1.0))
        totals += [result.true_nm, result.found_nm, result.missed_nm, result.false_nm]
    true_nm, found_nm, missed_nm, false_nm = totals
    beside = (
        f"{true_nm / 1000:.1f} um true, missed {missed_nm / true_nm:.3f}, "
        f"false {false_nm / max(found_nm, 1.0):.3f}"
    )
    return [
        BenchRow(
            "real_microtubules_rendered_total_length_error", abs(found_nm / true_nm - 1.0), "1",
            "lower", goal=0.07, baseline=beside,
        ),
        BenchRow(
            "real_microtubules_rendered_mean_absolute_error", float(np.mean(errors)), "1", "lower",
            float(np.min(errors)), float(np.max(errors)),
            baseline="interval: best and worst of ten cells",
        ),
    ]  # fmt: skip


def real_microtubules(path: Path) -> list[list[Float64s]]:
    """Centre lines (n, 3), nm, (z, y, x), of every tomogram, from tubulin positions and angles.

    Positions are carried onto the axis by each particle's own angles; what lies together is one
    tube, and a smoothing spline through it, in the order along its longest direction, is its line.
    """
    table = starfile.read(path)
    found = []
    for _, rows in table.groupby("rlnTomoName"):
        places = rows[["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]].to_numpy(float)
        angles = rows[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float)
        outward = rotations_from_relion(angles).apply([0.0, 0.0, 1.0])
        axis_zyx = (places * TUBULIN_PIXEL_NM - TUBULIN_RADIUS_NM * outward)[:, ::-1]
        pairs = cKDTree(axis_zyx).query_pairs(SAME_TUBE_NM, output_type="ndarray")
        graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(axis_zyx),) * 2)
        count, tube = connected_components(graph, directed=False)
        lines = [_line_through(axis_zyx[tube == number]) for number in range(count)]
        found.append([line for line in lines if line is not None])
    return found


def _line_through(points: Float64s) -> Float64s | None:
    if len(points) < FEWEST_TUBULINS:
        return None
    centred = points - points.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(centred @ direction)
    # Tubulins of one ring lie at nearly the same place along the axis.
    size = max(1, len(order) // max(4, int(np.ptp(centred @ direction) / 8.0)))
    nodes = np.array([points[order[i : i + size]].mean(axis=0) for i in range(0, len(order), size)])
    if len(nodes) < 5:
        return None
    knots, _ = splprep(nodes.T, s=len(nodes) * 0.5**2, k=3)
    dense = np.stack(splev(np.linspace(0.0, 1.0, 2000), knots), axis=1)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    if along[-1] < SHORTEST_LINE_NM:
        return None
    wanted = np.arange(0.0, along[-1], STEP_NM)
    return np.stack([np.interp(wanted, along, dense[:, axis]) for axis in range(3)], axis=1)


def _centred(lines: list[Float64s], size_nm: Float64s) -> list[Float64s]:
    """Lines moved so that their middle is that of the field."""
    everything = np.concatenate(lines)
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2.0
    return [line - middle + size_nm / 2.0 for line in lines]
