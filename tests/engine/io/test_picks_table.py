"""The table of picks that a match writes is read back as it was."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError
from engine.io.match_files import picks_csv
from engine.io.picks_table import read_picks_csv

HEADER = "template,z_nm,y_nm,x_nm,rot_deg,tilt_deg,psi_deg,probability\n"
ROW = "ribosome,1,2,3,10,20,30,0.9\n"


def picks(n, seed=0):
    rng = np.random.default_rng(seed)
    figures = {name: rng.random(n) for name in ("score", "p_value", "q_value", "probability")}
    return ParticleSet(
        positions_angst=rng.uniform(0, 5000, (n, 3)),
        rotations=Rotation.random(n, rng=rng) if n else no_rotations(),
        tomogram_ids=("t",) * n,
        class_names=tuple(rng.choice(["ribosome", 'a "b", c'], n)),
        figures=figures,
    )


def written(tmp_path, text):
    path = tmp_path / "picks.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("n", [0, 1, 40])
def test_what_a_match_writes_is_read_back(tmp_path, n):
    before = picks(n)
    after = read_picks_csv(written(tmp_path, picks_csv(before)), tomogram_id="t")
    assert after.class_names == before.class_names
    assert after.tomogram_ids == before.tomogram_ids
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=6e-4)
    if n:
        apart_deg = np.degrees((after.rotations.inv() * before.rotations).magnitude())
        assert apart_deg.max() < 1e-3
    assert set(after.figures) == set(before.figures)
    for name, values in before.figures.items():
        assert after.figures[name] == pytest.approx(values, rel=1e-5)


def test_nanometres_become_angstrom_and_angles_relions(tmp_path):
    text = HEADER + "a,1,2,3,0,90,0,0.5\n"
    found = read_picks_csv(written(tmp_path, text), tomogram_id="t")
    assert found.positions_angst.tolist() == [[10.0, 20.0, 30.0]]
    assert found.rotations.apply([0, 0, 1])[0] == pytest.approx([-1, 0, 0], abs=1e-12)


def test_an_empty_figure_is_nan_and_a_further_column_a_figure(tmp_path):
    text = HEADER.replace("\n", ",margin\n") + "a,1,2,3,0,0,0,,1.5\n"
    found = read_picks_csv(written(tmp_path, text), tomogram_id="t")
    assert np.isnan(found.figures["probability"][0])
    assert found.figures["margin"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty file"),
        (HEADER.replace(",x_nm", "") + ROW, "found no x_nm"),
        (HEADER.replace("psi_deg", "rot_deg") + ROW, "found no psi_deg"),
        (HEADER.replace("\n", ",z_nm\n"), "'z_nm' twice"),
        (HEADER + ROW.replace(",3,", ",,"), "column x_nm, row 1, found ''"),
        (HEADER + ROW + ROW.replace("20", "steep"), "column tilt_deg, row 2, found 'steep'"),
        (HEADER + ROW.replace(",1,", ",inf,"), "column z_nm, row 1, found 'inf'"),
        (HEADER + ROW.replace(",0.9", ""), "expected 8 cells in row 1, found 7"),
        (HEADER + ROW.replace("0.9", "1.9"), "found 1.9 in row 1"),
        (HEADER + ROW.replace("0.9", "inf"), "found inf in row 1"),
        (HEADER + ROW.replace("ribosome", " "), "found none in row 1"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(BadInputError) as caught:
        read_picks_csv(written(tmp_path, text), tomogram_id="t")
    message = str(caught.value)
    assert words in message
    assert message.startswith("picks.csv: expected")
    assert "\n" not in message


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "picks.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(BadInputError, match="another kind of file"):
        read_picks_csv(path, tomogram_id="t")
    with pytest.raises(MissingFileError, match="found none at"):
        read_picks_csv(tmp_path / "no.csv", tomogram_id="t")
