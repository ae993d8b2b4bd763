"""Tables of particle STAR files as programs write them: layouts, optics groups, damage."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from engine.data.orientations import axes_zyx
from engine.errors import BadInputError
from engine.io.star import read_star
from engine.io.star_columns import column_of, figure_of
from tests.engine.io.test_star import ANGLES, PLACE, block, star
from tests.real_data import real_data

PICKS = (
    [f"cilia/picks/CCDC147C_{n:03}_14.00Apx_particles.star" for n in (1, 3, 4, 5, 7, 8, 9, 10)]
    + [f"cilia/picks/CCDC147C_{n:03}_14.00Apx_particles.star" for n in (11, 13, 15, 16, 18, 19)]
    + [f"cilia/picks/CCDC147C_{n:03}_14.00Apx_particles.star" for n in (20, 21, 22, 23, 25, 26)]
    + [f"microtubule/picks/SPEF1MT2_00{n}_8.48Apx_particles.star" for n in range(1, 9)]
)
TRACED = [
    f"cilia/CCDC147C_001_particles{kind}.star"
    for kind in ("_fitted", "_fitted_cleaned", "_fitted_cleaned_connected", "_processed")
]

# Labels of a particle file after refinement in RELION 5, in its order.
RELION5_REFINED = """
rlnTomoName rlnTomoSubtomogramRot rlnTomoSubtomogramTilt rlnTomoSubtomogramPsi rlnAngleRot
rlnAngleTilt rlnAnglePsi rlnAngleTiltPrior rlnAnglePsiPrior rlnOpticsGroup rlnTomoParticleName
rlnTomoVisibleFrames rlnImageName rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst
rlnCenteredCoordinateXAngst rlnCenteredCoordinateYAngst rlnCenteredCoordinateZAngst rlnGroupNumber
rlnClassNumber rlnNormCorrection rlnRandomSubset rlnLogLikeliContribution
rlnMaxValueProbDistribution rlnNrOfSignificantSamples
"""
RELION4_EXTRACTED = """
rlnTomoName rlnTomoParticleId rlnTomoPickParticleId rlnMicrographName rlnCoordinateX rlnCoordinateY
rlnCoordinateZ rlnImageName rlnOriginXAngst rlnOriginYAngst rlnOriginZAngst rlnAngleRot rlnAngleTilt
rlnAnglePsi rlnGroupNumber rlnClassNumber rlnOpticsGroup rlnRandomSubset rlnCtfImage rlnDefocusU
rlnDefocusV rlnDefocusAngle rlnCtfBfactor rlnCtfScalefactor
"""
TEXTS = {
    "rlnTomoName": "TS_01",
    "rlnMicrographName": "TS_01.tomostar",
    "rlnTomoParticleName": "TS_01/2",
    "rlnTomoVisibleFrames": "[0,1,1,0]",
    "rlnImageName": "Extract/job013/TS_01/2_stack2d.mrcs",
    "rlnCtfImage": "ctf.mrc",
    "rlnOpticsGroup": 1,
}


def layout(labels, **values):
    return {label: values.get(label, TEXTS.get(label, 0)) for label in labels.split()}


def test_a_refined_relion_5_file_is_read(tmp_path):
    columns = layout(RELION5_REFINED, rlnClassNumber=2, rlnCenteredCoordinateZAngst=10)
    optics = {"rlnOpticsGroup": 1, "rlnTomoTiltSeriesPixelSize": 1.35, "rlnImagePixelSize": 2.7}
    path = star(tmp_path, columns, optics)
    found = read_star(path, default_voxel_size_angst=10.0, tomogram_shapes=(100, 200, 300))
    # The shapes count in the voxels given with them, not in those of the tilt series.
    assert found.positions_angst.tolist() == [[510.0, 1000.0, 1500.0]]
    assert (found.tomogram_ids, found.class_names) == (("TS_01",), ("2",))


def test_an_extracted_relion_4_file_is_read(tmp_path):
    columns = layout(RELION4_EXTRACTED, rlnCoordinateX=4, rlnOriginXAngst=-1.2)
    optics = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnTomoTiltSeriesPixelSize": 1.5,
        "rlnTomoSubtomogramBinning": 4,
        "rlnImagePixelSize": 6,
    }
    found = read_star(star(tmp_path, columns, optics))
    # Unbinned voxels, whatever the particles were cut at.
    assert found.positions_angst[0] == pytest.approx([0.0, 0.0, 4 * 1.5 + 1.2])
    assert found.tomogram_ids == ("TS_01",)


def test_a_warp_list_without_optics_names_its_tomostar(tmp_path):
    columns = PLACE | ANGLES | {"rlnMicrographName": "TS_01.tomostar"}
    found = read_star(star(tmp_path, columns), voxel_size_angst=10.0)
    assert found.tomogram_ids == ("TS_01.tomostar",)
    pixel = {"rlnMagnification": 10000, "rlnDetectorPixelSize": 5}
    assert read_star(star(tmp_path, columns | pixel)).positions_angst[0, 2] == 15.0
    pixel = {"rlnMagnification": 50000, "rlnDetectorPixelSize": 5}
    assert read_star(star(tmp_path, columns | pixel)).positions_angst[0, 2] == 3.0


def test_each_particle_takes_the_voxel_size_of_its_optics_group(tmp_path):
    path = tmp_path / "two.star"
    labels = [*PLACE, *ANGLES, "rlnOpticsGroup"]
    path.write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n2 3.0\n1 1.0\n\n"
        "data_particles\n\nloop_\n"
        + "".join(f"_{label} #{i}\n" for i, label in enumerate(labels, 1))
        + "3 4 5 0 90 0 1\n3 4 5 0 90 0 2\n"
    )
    assert read_star(path).positions_angst[:, 2].tolist() == [3.0, 9.0]
    path.write_text(path.read_text().replace("2 3.0\n", ""))
    with pytest.raises(BadInputError, match=r"optics group for each particle, found none for .* 2"):
        read_star(path)


def test_two_pixel_sizes_without_that_of_the_tilt_series_are_refused(tmp_path):
    optics = {"rlnOpticsGroup": 1, "rlnMicrographPixelSize": 1, "rlnImagePixelSize": 4}
    path = star(tmp_path, PLACE | ANGLES, optics)
    with pytest.raises(BadInputError, match="rlnMicrographPixelSize 1 and rlnImagePixelSize 4"):
        read_star(path)
    assert read_star(path, voxel_size_angst=4.0).positions_angst[0, 2] == 12.0


def test_another_voxel_size_than_the_file_says_is_logged(tmp_path, caplog):
    path = star(tmp_path, PLACE | ANGLES | {"rlnDetectorPixelSize": 8.2})
    read_star(path, voxel_size_angst=14.0)
    assert "records 8.2 Å a voxel; 14 Å is used" in caplog.text


def test_old_figures_of_pytom_and_of_warp_are_scores(tmp_path):
    for label in ("rlnLCCmax", "ptmLCCmax", "rlnAutopickFigureOfMerit"):
        path = star(tmp_path, PLACE | ANGLES | {label: 0.5})
        assert read_star(path, voxel_size_angst=1.0).figures["score"].tolist() == [0.5]
    path = star(tmp_path, PLACE | ANGLES | {"rlnLCCmax": 0.5, "rlnAutopickFigureOfMerit": 3})
    with pytest.raises(BadInputError, match="one column of score, found rlnAutopickFigureOfMerit"):
        read_star(path, voxel_size_angst=1.0)


@pytest.mark.parametrize(
    "figure", ["p_value", "score", "tube_id", "scan_score", "a1_b", "x__y", "Q"]
)
def test_every_figure_has_a_label_of_its_own(figure):
    assert figure_of(column_of(figure)) == figure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (block("particles", PLACE | ANGLES) * 2, "found a block twice"),
        ("data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateX #2\n1 2\n", "found rlnC"),
        (block("a", PLACE | ANGLES) + block("b", PLACE | ANGLES), "found 2"),
        (block("particles", PLACE | ANGLES).rstrip() + " 7\n", "does not parse"),
        (block("particles", PLACE | ANGLES) + "\0", "found none of its data blocks"),
        (block("particles", PLACE | ANGLES).rstrip() + "\n1 2 3 4 5\n", "particle 2 of 2"),
        ("", "found an empty file"),
    ],
)
def test_damaged_tables_are_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "picks.star"
    path.write_text(text)
    with pytest.raises(BadInputError, match=words) as caught:
        read_star(path, voxel_size_angst=1.0)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_mended_is_read_anew(tmp_path):
    path = star(tmp_path, PLACE | ANGLES)
    good = path.read_text()
    path.write_text(good.rstrip() + " 7\n")
    with pytest.raises(BadInputError):
        read_star(path, voxel_size_angst=1.0)
    path.write_text(good)
    assert len(read_star(path, voxel_size_angst=1.0)) == 1


def test_windows_line_ends_and_a_list_instead_of_a_loop_are_read(tmp_path):
    path = star(tmp_path, PLACE | ANGLES)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_star(path, voxel_size_angst=1.0)) == 1
    pairs = "".join(f"_{label} {value}\n" for label, value in (PLACE | ANGLES).items())
    path.write_text("data_particles\n\n" + pairs)
    assert read_star(path, voxel_size_angst=10.0).positions_angst.tolist() == [[50.0, 40.0, 30.0]]


@pytest.mark.parametrize("name", PICKS)
def test_public_picks_are_read_with_their_own_voxel_size(name):
    found = read_star(real_data(name))
    assert len(found) in {1500, 2000, 2500}
    assert (found.positions_angst >= 0).all()
    # Detectors of the field are at most 1.3 µm deep and across at these samplings.
    assert (found.positions_angst.max(axis=0) < 1.3e4).all()
    assert (found.figures["score"] > found.figures["cut_off"]).all()


@pytest.mark.parametrize("name", TRACED)
def test_public_doublets_lie_66_nm_apart_at_the_true_voxel_size(name):
    # Two of the files record 8.2 Å for coordinates in voxels of 14 Å.
    found = read_star(real_data(name), voxel_size_angst=14.0)
    tubes = found.figures["tube_id"]
    apart = []
    for tube in np.unique(tubes)[:9]:
        others = found.positions_angst[(tubes != tube) & (tubes <= 9)]
        distance, _ = cKDTree(others).query(found.positions_angst[tubes == tube])
        apart.append(np.median(distance) / 10.0)
    assert np.array(apart) == pytest.approx(66.0, abs=5.0)


def test_public_tubulin_meets_on_the_axis_11_7_nm_along_its_minus_z():
    """Real particles on tube walls: only the right reading of their angles brings them together."""
    path = real_data("microtubule/chlamydomonas_microtubules.star")
    found = read_star(path, voxel_size_angst=1.96)
    names = np.array(found.tomogram_ids)
    assert (len(found), len(set(found.tomogram_ids))) == (11071, 10)

    def company(places):
        """Median number of particles, itself included, within 4 nm of one."""
        tree = cKDTree(places)
        return np.median([len(near) for near in tree.query_ball_point(places, 40.0)])

    for name in set(found.tomogram_ids):
        here = found.take(names == name)
        moved = company(here.positions_angst + 117.0 * axes_zyx(here.rotations, (0, 0, -1)))
        assert moved > 10
        for rotations, sign in (
            (here.rotations, 1),
            (here.rotations.inv(), 1),
            (here.rotations.inv(), -1),
        ):
            wrong = company(here.positions_angst + 117.0 * axes_zyx(rotations, (0, 0, sign)))
            assert moved > 3 * wrong
