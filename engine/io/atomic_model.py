"""Density of an atomic model (PDB, mmCIF), as an electron microscope scatters from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import scipy.fft

from engine.data.arrays import Float32s, Float64s, Ints, read_only
from engine.errors import BadInputError, MissingFileError
from engine.io.mrc_header import open_stream
from engine.matching.template_resampling import low_pass, resample, smallest_box_vox

MODEL_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
DALTONS_PER_KDA = 1000.0
# Samples a resolution; with atoms blurred to a width of one sample, what folds back from beyond
# the sampling is below 1e-5 of what is kept.
SAMPLES_PER_RESOLUTION = 5.0
COARSEST_GRID_ANGST = 4.0
LARGEST_GRID = 768
# Room about the atoms for blur and ringing, in resolutions.
MARGIN_RESOLUTIONS = 2.0
# An atom ends where its density falls below this; what is cut off is 0.1 % of it (measured).
DENSITY_CUTOFF = 1e-6
ATOMS_PER_REPORT = 20_000


@dataclass(frozen=True)
class AtomicModel:
    """Atoms that scatter, without hydrogens and waters.

    Attributes
    ----------
    positions_angst
        float64 (n, 3), (z, y, x).
    atomic_numbers
        int64 (n,).
    weights_da
        float64 (n,), standard atomic weights.
    occupancies
        float64 (n,), in (0, 1]; alternative places of one atom share it.
    """

    name: str
    positions_angst: Float64s
    atomic_numbers: Ints
    weights_da: Float64s
    occupancies: Float64s

    def __post_init__(self) -> None:
        if not len(self.positions_angst):
            raise BadInputError(
                f"{self.name}: expected atoms, found none beside hydrogens and waters; give a "
                "model with coordinates"
            )
        if not np.isfinite(self.positions_angst).all():
            raise BadInputError(f"{self.name}: expected finite coordinates, found others")
        for field in ("positions_angst", "atomic_numbers", "weights_da", "occupancies"):
            object.__setattr__(self, field, read_only(getattr(self, field)))

    @property
    def mass_kda(self) -> float:
        """Of the atoms; protein with its hydrogens weighs about 7 % more."""
        return float(self.weights_da @ self.occupancies) / DALTONS_PER_KDA

    @property
    def centroid_angst(self) -> Float64s:
        """Centre of mass (3,), (z, y, x)."""
        mass = self.weights_da * self.occupancies
        return np.asarray(mass @ self.positions_angst / mass.sum())

    @property
    def radius_of_gyration_angst(self) -> float:
        """Root of the mass-weighted mean square distance from the centre of mass."""
        mass = self.weights_da * self.occupancies
        square = ((self.positions_angst - self.centroid_angst) ** 2).sum(axis=1)
        return math.sqrt(float(mass @ square) / float(mass.sum()))


def is_atomic_model(path: Path) -> bool:
    """Whether a file is named like one (`.pdb .ent .cif .mmcif`, also with `.gz`)."""
    return path.name.lower().removesuffix(".gz").endswith(MODEL_SUFFIXES)


def read_atomic_model(path: Path, *, assembly: str | None = None) -> AtomicModel:
    """Read the atoms of the first model of a PDB or mmCIF file, plain or gzipped.

    Parameters
    ----------
    assembly
        Biological assembly to build, by its name in the file (`1`); by default the atoms as they
        are listed.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No atomic model, no such assembly, no atoms.
    """
    if not path.is_file():
        raise MissingFileError(
            f"expected an atomic model, found no file at {path}; check the path", path=str(path)
        )
    # Read here: gemmi takes what it can get of a damaged gzip file without a word.
    with open_stream(path) as stream:
        content = stream.read()
    is_pdb = path.name.lower().removesuffix(".gz").endswith((".pdb", ".ent"))
    kind = gemmi.CoorFormat.Pdb if is_pdb else gemmi.CoorFormat.Mmcif
    try:
        structure = gemmi.read_structure_string(content, format=kind)
    except (RuntimeError, ValueError, OSError) as error:
        raise BadInputError(
            f"{path.name}: expected an atomic model (PDB or mmCIF), found a file that is none "
            f"({str(error).splitlines()[0]}); give another file",
            path=str(path),
        ) from error
    if not len(structure):
        raise BadInputError(
            f"{path.name}: expected an atomic model, found a file without coordinates; give "
            "another file",
            path=str(path),
        )
    model = structure[0] if assembly is None else _assembled(structure, assembly, path.name)
    return _atoms_of(model, path.name)


def model_density(
    model: AtomicModel,
    voxel_size_angst: float,
    resolution_angst: float,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> Float32s:
    """Electrostatic potential of a model in vacuum, low-passed.

    Every atom scatters by its electron form factor (gemmi's table) at rest: deposited B factors
    are refinement artefacts as often as motion, and the resolution says how blurred the map is.

    Parameters
    ----------
    voxel_size_angst
        At most half the resolution.
    resolution_angst
        See `low_pass`.

    Returns
    -------
    Float32s
        Cubic, bright, the centre of mass at voxel `n // 2`, axes as the model's.

    Raises
    ------
    BadInputError
        A model too large for its resolution.

    References
    ----------
    Form factors: International Tables for Crystallography C, table 4.3.2.2 (gemmi's `c4322`).
    Departure: no solvent is displaced, so that the interior is brighter against the surroundings
    than in ice; a matching score does not see the factor.
    """
    grid_angst = min(resolution_angst / SAMPLES_PER_RESOLUTION, COARSEST_GRID_ANGST)
    offsets_angst = model.positions_angst - model.centroid_angst
    reach_angst = float(np.abs(offsets_angst).max()) + MARGIN_RESOLUTIONS * resolution_angst
    grid_vox = smallest_box_vox(reach_angst / grid_angst)
    if grid_vox > LARGEST_GRID:
        raise BadInputError(
            f"{model.name}: expected a model that fits {LARGEST_GRID} samples of {grid_angst:.1f} "
            f"Å, found one {2 * reach_angst:.0f} Å across; take a lower resolution"
        )
    blurred = _blurred_density(model, offsets_angst, grid_angst, grid_vox, on_progress)
    sharp = _without_blur(blurred, grid_angst, resolution_angst)
    density = low_pass(sharp, grid_angst, resolution_angst)
    box_vox = smallest_box_vox(reach_angst / voxel_size_angst)
    return resample(density, voxel_size_angst / grid_angst, box_vox=box_vox)


def _assembled(structure: gemmi.Structure, name: str, file_name: str) -> gemmi.Model:
    for assembly in structure.assemblies:
        if assembly.name == name:
            return gemmi.make_assembly(assembly, structure[0], gemmi.HowToNameCopiedChain.Dup)
    known = ", ".join(assembly.name for assembly in structure.assemblies) or "none"
    raise BadInputError(
        f"{file_name}: expected an assembly that the file describes ({known}), found {name!r}; "
        "correct --assembly"
    )


def _atoms_of(model: gemmi.Model, name: str) -> AtomicModel:
    atoms = [
        (
            (atom.pos.z, atom.pos.y, atom.pos.x),
            atom.element.atomic_number,
            atom.element.weight,
            atom.occ,
        )
        for chain in model
        for residue in chain
        if not residue.is_water()
        for atom in residue
        if atom.element.atomic_number > 0 and not atom.element.is_hydrogen and atom.occ > 0
    ]
    positions, numbers, weights, occupancies = zip(*atoms, strict=True) if atoms else ((),) * 4
    return AtomicModel(
        name=name,
        positions_angst=np.array(positions, dtype=np.float64).reshape(-1, 3),
        atomic_numbers=np.array(numbers, dtype=np.int64),
        weights_da=np.array(weights, dtype=np.float64),
        occupancies=np.array(occupancies, dtype=np.float64),
    )


def _blur_b_factor(grid_angst: float) -> float:
    """B factor of a Gaussian one sample wide."""
    return 8.0 * math.pi**2 * grid_angst**2


def _blurred_density(
    model: AtomicModel,
    offsets_angst: Float64s,
    grid_angst: float,
    grid_vox: int,
    on_progress: Callable[[float], None] | None,
) -> Float32s:
    """Atoms, each blurred by one sample, on a periodic grid; the centroid at `n // 2`."""
    calculator = gemmi.DensityCalculatorE()
    calculator.cutoff = DENSITY_CUTOFF
    side_angst = grid_vox * grid_angst
    calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
    calculator.grid.set_unit_cell(gemmi.UnitCell(side_angst, side_angst, side_angst, 90, 90, 90))
    calculator.grid.set_size(grid_vox, grid_vox, grid_vox)
    atom = gemmi.Atom()
    atom.b_iso = _blur_b_factor(grid_angst)
    middle_angst = grid_vox // 2 * grid_angst
    places = offsets_angst + middle_angst
    numbers, occupancies = model.atomic_numbers.tolist(), model.occupancies.tolist()
    for index, (z, y, x) in enumerate(places.tolist()):
        atom.pos = gemmi.Position(x, y, z)
        atom.element = gemmi.Element(numbers[index])
        atom.occ = occupancies[index]
        calculator.add_atom_density_to_grid(atom)
        if on_progress and index % ATOMS_PER_REPORT == 0:
            on_progress(index / len(places))
    return np.asarray(calculator.grid.array, dtype=np.float32).transpose(2, 1, 0).copy()


def _without_blur(density: Float32s, grid_angst: float, resolution_angst: float) -> Float32s:
    """Undo the blur up to 1.3 times the resolution's frequency, and hold its gain beyond."""
    n = len(density)
    full, half = scipy.fft.fftfreq(n, grid_angst) ** 2, scipy.fft.rfftfreq(n, grid_angst) ** 2
    square = full[:, None, None] + full[None, :, None] + half[None, None]
    square = np.minimum(square, (1.3 / resolution_angst) ** 2)
    gain = np.exp(_blur_b_factor(grid_angst) * square / 4.0)
    spectrum = scipy.fft.rfftn(density.astype(np.float64)) * gain
    return np.asarray(scipy.fft.irfftn(spectrum, s=density.shape), dtype=np.float32)
