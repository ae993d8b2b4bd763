"""Densities of atomic models whose mass, size and place are known beforehand."""

import gzip

import gemmi
import numpy as np
import pytest
from scipy import ndimage

from engine.errors import BadInputError, MissingFileError
from engine.io.atomic_model import is_atomic_model, model_density, read_atomic_model

ELEMENTS = ("C", "N", "O", "S", "C", "C")
RADIUS_ANGST = 60.0


def ball_positions_xyz(n_atoms=600, seed=2):
    """Positions spread evenly through a ball, so that its radius of gyration is sqrt(3/5) R."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(n_atoms, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    shells = ((np.arange(n_atoms) + 0.5) / n_atoms) ** (1 / 3)
    return directions * RADIUS_ANGST * shells[:, None] + (100.0, -40.0, 17.0)


def structure_of(positions_xyz, elements, *, hydrogens=0, waters=0, occupancy=1.0):
    """One chain, one atom a residue, then hydrogens and waters far away."""
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    kinds = [("GLY", element, "X") for element in elements]
    kinds += [("GLY", "H", "H1")] * hydrogens + [("HOH", "O", "O")] * waters
    far = np.full((hydrogens + waters, 3), 900.0)
    for number, (position, kind) in enumerate(
        zip(np.vstack([positions_xyz, far]).tolist(), kinds, strict=True), start=1
    ):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = kind[0], gemmi.SeqId(number, " ")
        atom.name, atom.element, atom.occ = kind[2], gemmi.Element(kind[1]), occupancy
        atom.pos, atom.b_iso = gemmi.Position(*position), 30.0
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    return structure


@pytest.fixture(scope="module")
def ball():
    positions = ball_positions_xyz()
    elements = (ELEMENTS * 100)[: len(positions)]
    return structure_of(positions, elements, hydrogens=40, waters=30), positions, elements


@pytest.fixture(scope="module")
def model(ball, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "ball.cif"
    ball[0].make_mmcif_document().write_file(str(path))
    return read_atomic_model(path)


def moments(density, voxel_size_angst):
    """Centre of mass (z, y, x) from voxel n // 2 and radius of gyration, both in angstrom."""
    mass = density.astype(np.float64)
    centre = np.array(ndimage.center_of_mass(mass))
    squares = [(np.arange(n) - c) ** 2 for n, c in zip(mass.shape, centre, strict=True)]
    square = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    gyration = np.sqrt((mass * square).sum() / mass.sum()) * voxel_size_angst
    return (centre - np.array(mass.shape) // 2) * voxel_size_angst, gyration


def test_the_mass_is_that_of_the_atoms_without_hydrogens_and_waters(model, ball):
    expected = sum(gemmi.Element(element).weight for element in ball[2]) / 1000.0
    assert len(model.weights_da) == 600
    assert model.mass_kda == pytest.approx(expected, rel=1e-12)
    # 600 atoms of C, N, O, S by the standard atomic weights.
    assert model.mass_kda == pytest.approx(
        (300 * 12.011 + 100 * (14.007 + 15.999 + 32.06)) / 1e3, rel=1e-4
    )


def test_positions_are_zyx(model, ball):
    np.testing.assert_allclose(model.positions_angst, ball[1][:, ::-1], atol=2e-3)


@pytest.mark.parametrize("name", ["ball.pdb", "ball.ent", "ball.cif", "ball.pdb.gz", "ball.cif.gz"])
def test_pdb_and_mmcif_plain_and_gzipped_hold_the_same_atoms(tmp_path, ball, model, name):
    path = tmp_path / name
    structure = ball[0].clone()
    is_cif = ".cif" in name
    text = structure.make_mmcif_document().as_string() if is_cif else structure.make_pdb_string()
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    found = read_atomic_model(path)
    assert is_atomic_model(path)
    assert found.mass_kda == pytest.approx(model.mass_kda, rel=1e-12)
    np.testing.assert_allclose(found.positions_angst, model.positions_angst, atol=2e-3)


@pytest.mark.parametrize(
    ("voxel_size_angst", "resolution_angst"), [(10.0, 20.0), (5.0, 20.0), (10.0, 40.0), (4.0, 9.0)]
)
def test_the_density_has_the_radius_of_gyration_and_centroid_of_the_atoms(
    model, voxel_size_angst, resolution_angst
):
    density = model_density(model, voxel_size_angst, resolution_angst)
    offset_angst, gyration_angst = moments(density, voxel_size_angst)
    assert gyration_angst == pytest.approx(np.sqrt(0.6) * RADIUS_ANGST, rel=0.02)
    assert gyration_angst == pytest.approx(model.radius_of_gyration_angst, rel=0.01)
    # The density weighs atoms by how they scatter, the centroid by mass: 0.02 voxels here.
    assert np.abs(offset_angst / voxel_size_angst).max() < 0.1


def test_the_density_integrates_to_the_electron_scattering_of_the_atoms(model, ball):
    density = model_density(model, 5.0, 20.0)
    expected = sum(gemmi.Element(element).c4322.calculate_sf(0.0) for element in ball[2])
    assert density.sum(dtype=np.float64) * 5.0**3 == pytest.approx(expected, rel=2e-3)


def test_a_single_atom_becomes_the_low_passed_form_factor():
    """An independent slow version: the transform of the form factor, summed directly."""
    atom = read_single("S")
    voxel_size_angst, resolution_angst = 2.0, 8.0
    density = model_density(atom, voxel_size_angst, resolution_angst)
    frequency = np.linspace(0, 1.2 / resolution_angst, 4001)
    rising = np.clip((frequency * resolution_angst - 0.8) / 0.4, 0, 1)
    factor = [gemmi.Element("S").c4322.calculate_sf((f / 2) ** 2) for f in frequency]
    weight = np.array(factor) * (0.5 + 0.5 * np.cos(np.pi * rising)) * 4 * np.pi * frequency**2
    middle = len(density) // 2
    # The centre of mass of one atom is its place: it lies on the middle voxel.
    for step in range(5):
        radius_angst = step * voxel_size_angst
        wave = np.sinc(2 * frequency * radius_angst)
        expected = np.trapezoid(weight * wave, frequency)
        found = density[middle, middle, middle + step]
        assert found == pytest.approx(expected, abs=3e-3 * float(density.max()))


def read_single(element):
    from engine.io.atomic_model import AtomicModel

    return AtomicModel(
        name="atom",
        positions_angst=np.array([[3.3, -7.1, 12.0]]),
        atomic_numbers=np.array([gemmi.Element(element).atomic_number]),
        weights_da=np.array([gemmi.Element(element).weight]),
        occupancies=np.array([1.0]),
    )


def test_an_axis_of_the_model_is_the_same_axis_of_the_density(tmp_path):
    positions = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [60.0, 0, 0]])
    path = tmp_path / "line.pdb"
    structure_of(positions, "CCCC").write_pdb(str(path))
    density = model_density(read_atomic_model(path), 5.0, 15.0)
    # Three quarters of the mass 15 Å before the centre of mass along x, one quarter 45 Å behind.
    middle = len(density) // 2
    place = np.unravel_index(np.argmax(density), density.shape)
    assert np.array(place) - middle == pytest.approx([0, 0, -3])


def test_an_assembly_has_the_mass_of_its_copies(tmp_path):
    structure = structure_of(ball_positions_xyz(40), "C" * 40)
    assembly, generator = gemmi.Assembly("1"), gemmi.Assembly.Gen()
    generator.chains = ["A"]
    for shift in (0.0, 150.0, 300.0):
        operator = gemmi.Assembly.Operator()
        operator.transform = gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(0, 0, shift))
        generator.operators.append(operator)
    assembly.generators.append(generator)
    structure.assemblies.append(assembly)
    path = tmp_path / "trimer.pdb"
    structure.write_pdb(str(path))
    single, trimer = read_atomic_model(path), read_atomic_model(path, assembly="1")
    assert trimer.mass_kda == pytest.approx(3 * single.mass_kda, rel=1e-12)
    assert trimer.centroid_angst - single.centroid_angst == pytest.approx([150, 0, 0], abs=1e-6)
    with pytest.raises(
        BadInputError, match=r"an assembly that the file describes \(1\), found '7'"
    ):
        read_atomic_model(path, assembly="7")


def test_alternative_places_of_an_atom_count_by_occupancy(tmp_path):
    path = tmp_path / "half.pdb"
    structure_of(ball_positions_xyz(20), "C" * 20, occupancy=0.5).write_pdb(str(path))
    assert read_atomic_model(path).mass_kda == pytest.approx(10 * 12.0107 / 1000, rel=1e-6)


def test_the_same_model_gives_the_same_density(model):
    assert np.array_equal(model_density(model, 10.0, 20.0), model_density(model, 10.0, 20.0))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pdb", b"", "found none beside|without coordinates"),
        ("note.pdb", b"this is a note\n" * 20, "expected"),
        ("note.cif", b"this is a note\n" * 20, r"expected an atomic model \(PDB or mmCIF\)"),
        ("broken.pdb.gz", b"\x1f\x8bnot gzip", "truncated or damaged"),
        ("reflections.cif", b"data_x\n_cell.length_a 10\n", "expected"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=words) as caught:
        read_atomic_model(path)
    assert "\n" not in str(caught.value)


def test_a_model_of_waters_alone_and_an_absent_file_are_refused(tmp_path):
    path = tmp_path / "waters.pdb"
    structure_of(np.zeros((0, 3)), "", waters=5, hydrogens=3).write_pdb(str(path))
    with pytest.raises(BadInputError, match="found none beside hydrogens and waters"):
        read_atomic_model(path)
    with pytest.raises(MissingFileError, match="expected an atomic model"):
        read_atomic_model(tmp_path / "absent.pdb")


def test_a_model_too_large_for_its_resolution_is_refused(tmp_path):
    path = tmp_path / "far.pdb"
    structure_of(np.array([[0, 0, 0], [2000.0, 0, 0]]), "CC").write_pdb(str(path))
    with pytest.raises(BadInputError, match="take a lower resolution"):
        model_density(read_atomic_model(path), 2.0, 5.0)
