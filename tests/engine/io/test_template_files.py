"""Templates from files: the library's round trip, and bare maps as the world writes them."""

import dataclasses
import gzip

import numpy as np
import pytest
import yaml

from engine.data.provenance import FileDigest, Provenance
from engine.data.template import Template
from engine.errors import BadInputError, MissingFileError, OutputNotWritableError
from engine.io.mrc import write_volume
from engine.io.template_files import library_paths, list_templates, read_template, write_template
from engine.matching.template_making import TemplateParams, make_template
from engine.matching.template_masks import distance_from_centre, largest_radius_vox, soft_sphere
from tests.faulty_files import write_mrc
from tests.real_data import real_data

DENSITIES = (
    "1bxn", "1qvr", "1s3x", "1u6g", "2cg9", "2uv8", "3cf3", "3d2f", "3gl1", "3h84", "3j9i", "3qm1",
    "4cr2", "4v4r_50S", "4v94", "5mrc", "6qzp",
)  # fmt: skip
PROVENANCE = Provenance("0.1.0", "ab" * 32, (FileDigest("source.mrc", "cd" * 32),))


def ball(shape, centre_vox=None, radius_vox=6.0):
    centre = [n // 2 for n in shape] if centre_vox is None else centre_vox
    squares = [(np.arange(n) - c) ** 2 for n, c in zip(shape, centre, strict=True)]
    radius = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    # A little lopsided, so that nothing is symmetric by chance.
    slope = 1.0 + 0.02 * (np.arange(shape[2]) - centre[2])
    return (np.clip(radius_vox + 0.5 - radius, 0.0, 1.0) * slope).astype(np.float32)


def example(**changes):
    template = Template(
        template_id="ball",
        voxels=ball((24, 24, 24)),
        mask=soft_sphere(24, 8.0, 3.0),
        voxel_size_angst=13.3333333333,
        symmetry="C1",
        radius_angst=80.123456789,
        mass_kda=1.0e-05,
        hand="mirrored",
        resolution_angst=30.1,
        source="source.mrc, ä: #1",
        provenance=PROVENANCE,
    )
    return dataclasses.replace(template, **changes)


def assert_same(found, expected):
    for field in dataclasses.fields(Template):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert np.array_equal(one, other), field.name


# --- the library ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mass_kda": None, "resolution_angst": None, "source": "", "hand": "as_given"},
        {"symmetry": "D7", "template_id": "1e5"},
        {"template_id": "null", "source": "yes"},
        {"template_id": "a b.c", "provenance": Provenance("0", "", simulated=True)},
    ],
)
def test_a_template_comes_back_exactly(tmp_path, changes):
    template = example(**changes)
    map_path, _, yaml_path = write_template(tmp_path, template, source_contrast="dark")
    assert_same(read_template(map_path), template)
    assert_same(read_template(yaml_path), template)


def test_the_same_template_is_written_to_the_same_bytes(tmp_path):
    paths = [write_template(tmp_path / name, example()) for name in ("a", "b")]
    assert [p.read_bytes() for p in paths[0]] == [p.read_bytes() for p in paths[1]]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "ball.mask.mrc", "ball.mrc", "ball.yaml",
    ]  # fmt: skip


def test_a_template_is_replaced_as_a_whole(tmp_path):
    write_template(tmp_path, example())
    write_template(tmp_path, example(symmetry="C2", mask=soft_sphere(24, 6.0, 2.0)))
    assert read_template(tmp_path / "ball.mrc").symmetry == "C2"


@pytest.mark.parametrize("which", [0, 1])
def test_an_altered_map_or_mask_is_refused(tmp_path, which):
    paths = write_template(tmp_path, example())
    content = bytearray(paths[which].read_bytes())
    content[-4:] = np.float32(0.25).tobytes()
    paths[which].write_bytes(bytes(content))
    with pytest.raises(BadInputError, match=rf"{paths[which].name}: .* was altered \(SHA-256"):
        read_template(paths[0])


def test_a_lost_mask_is_told(tmp_path):
    paths = write_template(tmp_path, example())
    paths[1].unlink()
    with pytest.raises(MissingFileError, match=r"ball\.mask\.mrc"):
        read_template(paths[0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("voxel_size_angst", -1.0, "voxel_size_angst"),
        ("voxel_size_angst", float("nan"), "voxel_size_angst"),
        ("symmetry", "I", "symmetry"),
        ("map_sha256", "abc", "map_sha256"),
        ("tomodx_template", 2, "tomodx_template"),
        ("hand", "left", "hand"),
        ("template_id", None, "template_id"),
    ],
)
def test_a_damaged_description_is_refused_and_names_the_field(tmp_path, key, value, words):
    paths = write_template(tmp_path, example())
    content = yaml.safe_load(paths[2].read_text())
    paths[2].write_text(yaml.safe_dump({**content, key: value}))
    with pytest.raises(
        BadInputError, match=rf"ball\.yaml: expected the description .*{words}"
    ) as e:
        read_template(paths[0])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text", ["{unclosed: [", "\x00\x01", "- a\n\t- b"])
def test_a_description_that_is_no_yaml_is_refused(tmp_path, text):
    paths = write_template(tmp_path, example())
    paths[2].write_text(text)
    with pytest.raises(BadInputError, match="a file that is no YAML") as caught:
        read_template(paths[0])
    assert "\n" not in str(caught.value)


def test_the_mask_of_a_template_is_no_template(tmp_path):
    paths = write_template(tmp_path, example())
    with pytest.raises(BadInputError, match=r"found the mask of one, ball\.mask\.mrc; give ball"):
        read_template(paths[1])


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match="can be a file name"):
        write_template(tmp_path, example(template_id=name))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputNotWritableError, match="expected an output folder"):
        write_template(tmp_path / "file" / "library", example())


def test_a_folder_lists_its_templates_by_name_and_nothing_else(tmp_path):
    for name in ("beta", "alpha", "gamma.v2"):
        write_template(tmp_path, example(template_id=name))
    (tmp_path / "settings.yaml").write_text("threads: 4\n")
    write_volume(tmp_path / "bare.mrc", ball((20, 20, 20)), 10.0)
    entries = list_templates(tmp_path)
    assert [entry.path.name for entry in entries] == ["alpha.mrc", "beta.mrc", "gamma.v2.mrc"]
    assert [entry.description.radius_angst for entry in entries] == [80.123456789] * 3
    (tmp_path / "empty").mkdir()
    assert list_templates(tmp_path / "empty") == ()
    with pytest.raises(MissingFileError, match="expected a folder of templates"):
        list_templates(tmp_path / "absent")


@pytest.mark.parametrize("name", ["a.mrc", "a.mask.mrc", "a.yaml", "a.mrc.gz", "a.rec"])
def test_the_files_of_a_template_are_named_from_any_of_them(tmp_path, name):
    assert [path.name for path in library_paths(tmp_path / name)] == [
        "a.mrc",
        "a.mask.mrc",
        "a.yaml",
    ]


def test_given_symmetry_and_sampling_are_checked_against_the_library(tmp_path):
    path = write_template(tmp_path, example())[0]
    assert read_template(path, voxel_size_angst=13.3334).voxel_size_angst == 13.3333333333
    with pytest.raises(BadInputError, match=r"own voxel size of 13\.3333 Å, found 10 Å"):
        read_template(path, voxel_size_angst=10.0)
    assert read_template(path, symmetry="C2").symmetry == "C2"
    lopsided = np.array(example().voxels)
    lopsided[13:] = 0.0
    path = write_template(tmp_path, example(voxels=lopsided, template_id="cut"))[0]
    with pytest.raises(BadInputError, match=r"symmetry D2 .* correlation of 0\.\d\d"):
        read_template(path, symmetry="D2")


# --- bare maps --------------------------------------------------------------------------------


def test_a_bare_map_is_taken_as_it_is(tmp_path):
    voxels = ball((24, 24, 24))
    write_volume(tmp_path / "thing.mrc", voxels, 12.0)
    template = read_template(tmp_path / "thing.mrc")
    assert np.array_equal(template.voxels, voxels)
    assert (template.template_id, template.source) == ("thing", "thing.mrc")
    assert (template.symmetry, template.hand, template.mass_kda) == ("C1", "as_given", None)
    assert template.radius_angst == pytest.approx(12.0 * 6.0, abs=6.0)
    assert template.provenance.inputs[0].name == "thing.mrc"
    inside = distance_from_centre(24) <= template.radius_angst / 12.0
    assert template.mask[inside].min() > 0.999
    assert template.mask[distance_from_centre(24) >= 12].max() == 0.0


def test_background_and_sign_of_a_bare_map_are_settled(tmp_path):
    rng = np.random.default_rng(1)
    truth = ball((30, 30, 30))
    noisy = 100.0 - 3.0 * (truth + rng.normal(0, 0.1, truth.shape))
    write_volume(tmp_path / "dark.mrc", noisy.astype(np.float32), 12.0)
    template = read_template(tmp_path / "dark.mrc")
    np.testing.assert_allclose(template.voxels, 100.0 - noisy, atol=0.05)
    assert template.radius_angst == pytest.approx(12.0 * 6.0, abs=12.0)


@pytest.mark.parametrize("shape", [(20, 24, 28), (15, 24, 21), (33, 16, 17)])
def test_a_map_that_is_not_cubic_is_padded_about_its_centre_with_background(tmp_path, shape):
    voxels = ball(shape) + np.float32(7.0)
    write_volume(tmp_path / "flat.mrc", voxels, 12.0)
    template = read_template(tmp_path / "flat.mrc")
    side = max(shape)
    assert template.voxels.shape == (side,) * 3
    np.testing.assert_allclose(template.voxels, ball((side,) * 3), atol=1e-5)


@pytest.mark.parametrize("side", [13, 14, 16, 40, 90])
def test_the_mask_fits_within_a_tight_box_and_ignores_a_roomy_one(tmp_path, side):
    write_volume(tmp_path / "m.mrc", ball((side,) * 3), 12.0)
    template = read_template(tmp_path / "m.mrc")
    assert template.radius_angst / 12.0 == pytest.approx(6.0, abs=0.6)
    outside = distance_from_centre(side) >= largest_radius_vox(side)
    assert template.mask[outside].max() == 0.0
    assert template.mask[distance_from_centre(side) <= 5.0].min() > 0.99
    if side >= 40:
        assert template.mask.sum() == pytest.approx(4 / 3 * np.pi * 8.6**3, rel=0.15)


def test_a_map_with_another_programs_yaml_or_a_compressed_copy_is_bare(tmp_path):
    write_volume(tmp_path / "thing.mrc", ball((24, 24, 24)), 12.0)
    (tmp_path / "thing.yaml").write_text("threads: 4\n")
    assert read_template(tmp_path / "thing.mrc").source == "thing.mrc"
    paths = write_template(tmp_path, example())
    write_volume(tmp_path / "copy.mrc", ball((20, 20, 20)), 9.0)
    (tmp_path / "ball.mrc.gz").write_bytes(gzip.compress((tmp_path / "copy.mrc").read_bytes()))
    assert read_template(tmp_path / "ball.mrc.gz").voxel_size_angst == 9.0
    assert read_template(paths[0]).voxel_size_angst == 13.3333333333


def test_a_cubic_volume_flagged_as_images_is_read_and_a_stack_is_not(tmp_path):
    cube = write_mrc(tmp_path / "cube.mrc", ball((24, 24, 24)), 12.0, ispg=0)
    assert read_template(cube).voxel_size_angst == pytest.approx(12.0)
    images = write_mrc(tmp_path / "images.mrc", ball((30, 24, 24)), 12.0, ispg=0, mz=1)
    with pytest.raises(BadInputError, match="flagged as a stack of images"):
        read_template(images)
    assert read_template(images, voxel_size_angst=12.0).box_vox == 30
    named = write_mrc(tmp_path / "cube.mrcs", ball((24, 24, 24)), 12.0, ispg=0)
    with pytest.raises(BadInputError, match="flagged as a stack of images"):
        read_template(named)


def with_nan(voxels):
    voxels = voxels.copy()
    voxels[3, 4, 5] = np.nan
    return voxels


@pytest.mark.parametrize(
    ("voxels", "voxel_size_angst", "words"),
    [
        (np.full((16, 16, 16), 3.0, np.float32), 10.0, "map of a structure, found the same value"),
        (np.zeros((16, 16, 16), np.float32), 10.0, "found the same value, 0"),
        (with_nan(ball((16, 16, 16))), 10.0, "NaN or infinite"),
        (ball((24, 24, 24)), 0.0, "found none in the header; give the true one"),
        (ball((24, 24, 24)), 1.0, "found exactly 1 Å"),
        (ball((24, 24, 24)), (10.0, 10.0, 14.0), "the same along x, y and z"),
        (ball((24, 24, 1), radius_vox=5.0), 10.0, "a 2-D image"),
        (np.full((8, 8, 8), 1e20, np.float32) * ball((8, 8, 8), radius_vox=2.0), 10.0, "larger"),
        (ball((3, 16, 16)), 10.0, "4 to 1024 voxels a side, found 3 x 16 x 16"),
    ],
)
def test_a_map_that_cannot_serve_is_refused_in_one_line(tmp_path, voxels, voxel_size_angst, words):
    path = write_mrc(tmp_path / "bad.mrc", voxels, voxel_size_angst, ispg=1)
    with pytest.raises(BadInputError, match=words) as caught:
        read_template(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_given_voxel_size_overrides_the_header_and_must_make_sense(tmp_path):
    path = write_mrc(tmp_path / "m.mrc", ball((24, 24, 24)), 0.0, ispg=1)
    assert read_template(path, voxel_size_angst=11.0).voxel_size_angst == 11.0
    for wrong in (0.0, -3.0, float("nan")):
        with pytest.raises(BadInputError, match="expected a positive voxel size"):
            read_template(path, voxel_size_angst=wrong)


def test_what_is_no_map_is_refused(tmp_path):
    (tmp_path / "note.mrc").write_text("a note\n" * 300)
    with pytest.raises(BadInputError, match=r"note\.mrc: expected an MRC"):
        read_template(tmp_path / "note.mrc")
    with pytest.raises(BadInputError, match="expected a template file, found the folder"):
        read_template(tmp_path)
    with pytest.raises(MissingFileError, match="expected a template file, found no file"):
        read_template(tmp_path / "absent.mrc")


def test_a_mask_of_ones_own_replaces_the_sphere(tmp_path):
    write_volume(tmp_path / "m.mrc", ball((20, 24, 24)), 12.0)
    own = np.zeros((20, 24, 24), dtype=np.float32)
    own[8:13, 8:17, 8:17] = 1.0
    write_volume(tmp_path / "own.mrc", own, 12.0)
    template = read_template(tmp_path / "m.mrc", mask=tmp_path / "own.mrc")
    assert np.array_equal(template.mask[2:22], own)
    assert template.mask.sum() == own.sum()


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (np.zeros((24, 24, 24), np.float32), "an empty one; give another mask"),
        (np.full((24, 24, 24), 2.0, np.float32), r"mask weights in \[0, 1\]"),
        (with_nan(np.zeros((24, 24, 24), np.float32)), r"mask weights in \[0, 1\]"),
        (np.ones((20, 20, 20), np.float32), "a mask of its shape"),
    ],
)
def test_a_mask_that_cannot_serve_is_refused(tmp_path, own, words):
    write_volume(tmp_path / "m.mrc", ball((24, 24, 24)), 12.0)
    write_mrc(tmp_path / "own.mrc", own, 12.0)
    with pytest.raises(BadInputError, match=words):
        read_template(tmp_path / "m.mrc", mask=tmp_path / "own.mrc")


# --- real densities ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", DENSITIES)
def test_a_real_density_has_a_sensible_radius_and_comes_back_exactly(tmp_path, name):
    path = real_data(f"densities_10A/{name}.mrc")
    bare = read_template(path)
    assert bare.voxel_size_angst == pytest.approx(10.0)
    # 50 kDa to 4 MDa: 2.5 to 20 nm.
    assert 25.0 < bare.radius_angst < 200.0
    strong = bare.voxels > 0.3 * bare.voxels.max()
    filled_angst = 10.0 * (strong.sum() * 3 / 4 / np.pi) ** (1 / 3)
    assert filled_angst < bare.radius_angst < 2.6 * filled_angst
    assert (bare.mask[strong] > 0.5).mean() > 0.98
    assert bare.mask[distance_from_centre(bare.box_vox) >= bare.box_vox // 2 + 1].sum() == 0.0
    made = make_template(
        np.array(bare.voxels), 10.0, TemplateParams(voxel_size_angst=10.0),
        template_id=name, source=path.name, provenance=PROVENANCE,
    )  # fmt: skip
    assert made.source_contrast == "bright"
    assert made.template.box_vox <= bare.box_vox
    assert made.template.radius_angst == pytest.approx(bare.radius_angst, rel=0.15)
    paths = write_template(tmp_path, made.template, source_contrast="bright")
    assert_same(read_template(paths[0]), made.template)


@pytest.mark.parametrize("name", ["3qm1", "1bxn", "3j9i", "6qzp"])
def test_a_real_density_keeps_its_radius_in_noise_in_the_dark_and_in_a_larger_box(tmp_path, name):
    clean = read_template(real_data(f"densities_10A/{name}.mrc"))
    rng = np.random.default_rng(5)
    strength = 0.3 * np.array(clean.voxels)[clean.voxels > 0.3 * clean.voxels.max()].mean()
    roomy = np.pad(np.array(clean.voxels), 16)
    noisy = 50.0 - roomy - strength * rng.normal(size=roomy.shape)
    write_volume(tmp_path / "noisy.mrc", noisy.astype(np.float32), 10.0)
    found = read_template(tmp_path / "noisy.mrc")
    assert found.radius_angst == pytest.approx(clean.radius_angst, abs=9.0)
    strong = clean.voxels > 0.5 * clean.voxels.max()
    inner = np.array(found.voxels)[16:-16, 16:-16, 16:-16]
    assert inner[strong].mean() > 0.0


def test_the_sharpened_average_of_a_ribosome_is_dark_and_25_nm_wide():
    template = read_template(real_data("ribosome/emd_3420_b4.mrc.gz"))
    assert template.voxel_size_angst == pytest.approx(10.48)
    # 80S: 25 to 30 nm across, about 1 voxel off the centre.
    assert 125.0 < template.radius_angst < 175.0
    inside = template.voxels[template.mask > 0.99].astype(np.float64)
    assert (inside**3).mean() > 0
