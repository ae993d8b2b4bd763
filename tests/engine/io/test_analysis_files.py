import hashlib
import json
import locale
from dataclasses import replace

import mrcfile
import numpy as np
import pytest

from engine.data.labels import CLASS_NAMES
from engine.errors import BadInputError, MissingFileError, OutputNotWritableError
from engine.io.analysis_files import (
    ANALYSIS_FILES,
    read_filament_points,
    read_filaments,
    read_instances,
    read_measurements,
    write_analysis,
)
from engine.io.mrc_header import read_header
from tests.analyses import SHAPE, VOXEL_ANGST, analysis, empty_analysis, tomogram


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("analysis") / "out"
    write_analysis(analysis(), tomogram(), out)
    return out


def test_every_promised_file_is_there(folder):
    promised = {
        "labels.mrc", "labels.json", "instances.mrc", "instances.csv", "filaments.csv",
        "filament_points.csv", "measurements.json", "preview.png", "provenance.json",
    }  # fmt: skip
    there = {path.name for path in folder.iterdir()}
    assert promised <= set(ANALYSIS_FILES)
    assert there == {*ANALYSIS_FILES, ".tomodx"}


def test_tables_have_the_promised_columns_and_form(folder):
    assert (folder / "instances.csv").read_bytes().decode() == (
        "instance_id,class,volume_um3,surface_um2,sphericity,z_nm,y_nm,x_nm,touches_border,"
        "confidence,length_nm,smallest_diameter_nm,n_branches,membrane_distance_nm,"
        "membrane_spacing_nm,crista_volume_ratio,n_crista_junctions,"
        "n_matrix_granules,matrix_granule_diameter_nm,state,state_probability\n"
        "1,mitochondrion,0.0468751,1.25,0.8123,23.750,42.500,48.750,false,0.9000,,,,,,,,,,"
        "swollen,0.9125\n"
        "2,alpha_granule,0.01,0.3,0.9500,26.250,86.250,111.250,true,0.7500,,,,,,,,,,,\n"
    )
    assert (folder / "filaments.csv").read_bytes().decode() == (
        "filament_id,class,length_nm,starts_at_border,ends_at_border,confidence\n"
        "1,microtubule,150.000,true,false,0.8750\n"
    )
    lines = (folder / "filament_points.csv").read_text().splitlines()
    assert lines[0] == "filament_id,index,z_nm,y_nm,x_nm"
    assert lines[1] == "1,0,25.000,110.000,0.000"
    assert len(lines) == 31


def test_measurements_are_an_object_of_feature_names(folder):
    values = json.loads((folder / "measurements.json").read_text())
    assert set(values["mitochondria_count"]) == {
        "value", "unit", "low", "high", "n", "not_assessable",
    }  # fmt: skip
    absent = values["mitochondrion_volume_mean_um3"]
    assert absent["value"] is None
    assert absent["not_assessable"] == "every mitochondrion is cut by the border"


def test_label_names_go_by_id(folder):
    names = json.loads((folder / "labels.json").read_text())
    assert names == {str(key): name for key, name in CLASS_NAMES.items()}


def test_volumes_hold_the_voxels_at_the_sampling_of_the_tomogram(folder):
    wanted = analysis()
    for name, voxels in (
        ("labels.mrc", wanted.labels.labels),
        ("instances.mrc", wanted.instances.ids),
    ):
        with mrcfile.open(folder / name) as volume:
            assert np.array_equal(volume.data, voxels)
            assert float(volume.voxel_size.x) == pytest.approx(VOXEL_ANGST)
        assert read_header(folder / name).simulated


def test_the_display_copy_is_eight_bit_with_protein_dark(folder):
    display = np.load(folder / "display.npy", mmap_mode="r")
    assert display.dtype == np.uint8
    assert display.shape == SHAPE
    voxels = tomogram().voxels
    assert display[voxels > 2].mean() < 30
    assert display[voxels < -2].mean() > 220


def test_provenance_names_digests_of_everything(folder):
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["simulated"] is True
    assert origin["inputs"] == [{"name": "cell.mrc", "sha256": "c" * 64}]
    assert origin["models"] == [{"name": "coarse/model.onnx", "sha256": "d" * 64}]
    assert origin["tomogram"]["tilt_range_deg"] == [-60.0, 57.5]
    for name, digest in origin["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert str(folder.parent) not in json.dumps(origin)


def test_what_is_read_is_what_was_written(folder):
    assert read_measurements(folder) == analysis().measurements
    instances = read_instances(folder)
    assert instances["touches_border"].tolist() == [False, True]
    assert instances["class"].tolist() == ["mitochondrion", "alpha_granule"]
    assert read_filaments(folder)["length_nm"].tolist() == [150.0]
    points = read_filament_points(folder)[["z_nm", "y_nm", "x_nm"]].to_numpy() * 10
    assert np.abs(points - analysis().filaments[0].points_angst).max() < 0.01


def test_a_rerun_gives_the_same_bytes(folder, tmp_path):
    write_analysis(analysis(), tomogram(), tmp_path / "again")
    for name in ANALYSIS_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_an_analysis_that_found_nothing_has_headers_only(tmp_path):
    write_analysis(empty_analysis(), tomogram(simulated=False), tmp_path / "out")
    for read in (read_instances, read_filaments, read_filament_points):
        assert len(read(tmp_path / "out")) == 0
    assert read_instances(tmp_path / "out")["touches_border"].dtype == np.bool_
    assert dict(read_measurements(tmp_path / "out").values) == {}
    assert not read_header(tmp_path / "out" / "labels.mrc").simulated


def test_numbers_do_not_follow_the_locale(tmp_path):
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        locale.setlocale(locale.LC_NUMERIC, "de_DE.UTF-8")
    except locale.Error:
        pytest.skip("no German locale here")
    try:
        write_analysis(analysis(), tomogram(), tmp_path / "out")
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
    assert ",150.000," in (tmp_path / "out" / "filaments.csv").read_text()


def test_a_number_that_is_not_there_is_empty_and_not_zero(tmp_path):
    one = analysis()
    odd = replace(one.instances.organelles[0], surface_um2=float("nan"), sphericity=float("nan"))
    instances = replace(one.instances, organelles=(odd, one.instances.organelles[1]))
    write_analysis(replace(one, instances=instances), tomogram(), tmp_path / "out")
    row = (tmp_path / "out" / "instances.csv").read_text().splitlines()[1]
    assert row.startswith("1,mitochondrion,0.0468751,,,")
    assert read_instances(tmp_path / "out")["surface_um2"].isna().tolist() == [True, False]


def test_an_earlier_analysis_is_replaced_and_foreign_files_are_safe(tmp_path):
    out = tmp_path / "out"
    write_analysis(analysis(), tomogram(), out)
    write_analysis(empty_analysis(), tomogram(), out)
    assert len(read_instances(out)) == 0
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputNotWritableError, match=r"notes\.txt"):
        write_analysis(analysis(), tomogram(), out)
    assert len(read_instances(out)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_labels_of_another_shape_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(BadInputError, match="one shape"):
        write_analysis(analysis(), tomogram(shape=(4, 5, 6)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(tmp_path):
    for read in (read_measurements, read_instances):
        with pytest.raises(MissingFileError, match="expected the folder of an analysis"):
            read(tmp_path)
    (tmp_path / "instances.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInputError, match="without the column"):
        read_instances(tmp_path)
    (tmp_path / "measurements.json").write_text("[1]")
    with pytest.raises(BadInputError, match="of another form"):
        read_measurements(tmp_path)
