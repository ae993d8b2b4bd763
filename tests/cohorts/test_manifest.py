import pytest

from cohorts.manifest import COLUMNS, read_manifest
from engine.errors import BadInputError, MissingFileError
from tests.cohorts.examples import manifest_rows, write_manifest


def refused(folder, rows, columns=None):
    with pytest.raises(BadInputError) as caught:
        read_manifest(write_manifest(folder, rows, columns))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_manifest_gives_donors_and_tomograms_in_order(tmp_path):
    rows = manifest_rows(tmp_path)
    rows[0]["voxel_size_angst"] = rows[0]["contrast"] = ""
    rows[1]["tilt_min_deg"] = rows[1]["tilt_max_deg"] = ""
    cohort = read_manifest(write_manifest(tmp_path, rows))
    assert [donor.donor for donor in cohort.donors] == ["D0", "D1"]
    assert [t.tomogram_id for t in cohort.tomograms] == ["D0_t0", "D0_t1", "D1_t0", "D1_t1"]
    first, second = cohort.tomograms[:2]
    assert (first.voxel_size_angst, first.contrast) == (None, "auto")
    assert (second.voxel_size_angst, second.tilt_min_deg) == (20.0, None)
    assert first.path == tmp_path / "D0" / "t0.mrc"


def test_further_columns_belong_to_the_donor_or_to_the_tomogram(tmp_path):
    rows = manifest_rows(tmp_path)
    for i, row in enumerate(rows):
        row.update(age_years="61" if row["donor"] == "D0" else "", grid=f"G{i}", stage="II")
    cohort = read_manifest(write_manifest(tmp_path, rows))
    assert dict(cohort.donors[0].covariates) == {"age_years": 61.0, "stage": "II"}
    assert dict(cohort.donors[1].covariates) == {"stage": "II"}
    assert dict(cohort.tomograms[2].covariates) == {"grid": "G2"}


def test_equal_file_names_in_two_folders_get_ids_with_their_folders(tmp_path):
    rows = manifest_rows(tmp_path, n_donors=1, n_tomograms=1)
    other = tmp_path / "D0" / "second" / "t0.mrc"
    other.parent.mkdir()
    other.write_bytes(b"y")
    rows.append({**rows[0], "tomogram": "D0/second/t0.mrc"})
    cohort = read_manifest(write_manifest(tmp_path, rows))
    assert [t.tomogram_id for t in cohort.tomograms] == ["D0_t0", "D0_second_t0"]


def test_byte_order_mark_and_blank_lines_are_no_fault(tmp_path):
    path = write_manifest(tmp_path, manifest_rows(tmp_path))
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8")
    assert len(read_manifest(path).tomograms) == 4


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_is_required(tmp_path, column):
    rows = manifest_rows(tmp_path)
    message = refused(tmp_path, rows, [name for name in COLUMNS if name != column])
    assert f"missing column {column}" in message


@pytest.mark.parametrize(("change", "words"), [
    ({"tomogram": "../outside.mrc"}, "outside the manifest's folder"),
    ({"tomogram": "/etc/hostname"}, "outside the manifest's folder"),
    ({"tomogram": "D0/absent.mrc"}, "no such file"),
    ({"tomogram": "D0"}, "is not a file"),
    ({"tomogram": ""}, "tomogram is empty"),
    ({"tomogram": "x" * 300}, "cannot be opened"),
    ({"tomogram": "D0/t1.mrc"}, "duplicate donor and tomogram: D0, t1.mrc in lines 2, 3"),
    ({"tomogram": "D1/t0.mrc"}, "belongs to two donors: D0, D1"),
    ({"voxel_size_angst": "big"}, "voxel_size_angst must be a number, found 'big'"),
    ({"voxel_size_angst": "0"}, "must be positive"),
    ({"voxel_size_angst": "nan"}, "must be a number"),
    ({"voxel_size_angst": "inf"}, "must be a number"),
    ({"tilt_min_deg": ""}, "both tilt_min_deg and tilt_max_deg"),
    ({"tilt_min_deg": "70"}, "must rise within -90..90"),
    ({"contrast": "grey"}, "contrast must be"),
    ({"group": "healthy"}, "donor D0 has two groups: healthy, cancer"),
    ({"site": "B"}, "donor D0 has two sites: B, A"),
    ({"donor": ""}, "donor ''"),
    ({"donor": "a/b"}, "pseudonym may not hold"),
    ({"donor": ".x"}, "not starting with a dot"),
])  # fmt: skip
def test_one_fault_is_named(tmp_path, change, words):
    rows = manifest_rows(tmp_path)
    rows[0].update(change)
    assert words in refused(tmp_path, rows)


def test_all_faults_are_listed_at_once(tmp_path):
    rows = manifest_rows(tmp_path)
    rows[0].update(tomogram="../a.mrc", voxel_size_angst="?")
    rows[1].update(group="healthy", contrast="grey")
    rows[3].update(tomogram="D1/t0.mrc")
    message = refused(tmp_path, rows)
    assert message.startswith("manifest.csv: 5 faults: ")
    for words in ("outside", "must be a number", "two groups", "contrast must be", "duplicate"):
        assert words in message


def test_a_link_that_leads_outside_is_refused(tmp_path):
    inside = tmp_path / "study"
    inside.mkdir()
    rows = manifest_rows(inside)
    secret = tmp_path / "secret.mrc"
    secret.write_bytes(b"x")
    (inside / "D0" / "link.mrc").symlink_to(secret)
    rows[0]["tomogram"] = "D0/link.mrc"
    assert "outside the manifest's folder" in refused(inside, rows)


def test_a_folder_reached_by_a_link_is_no_fault(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    write_manifest(real, manifest_rows(real))
    (tmp_path / "link").symlink_to(real)
    assert len(read_manifest(tmp_path / "link" / "manifest.csv").tomograms) == 4


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00bad", b"a\0b\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"manifest\.csv: "):
        read_manifest(path)


def test_empty_absent_and_crooked_files_are_refused(tmp_path):
    assert "empty table" in refused(tmp_path, [])
    with pytest.raises(MissingFileError):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(BadInputError, match="found a folder"):
        read_manifest(tmp_path)
    path = write_manifest(tmp_path, manifest_rows(tmp_path))
    path.write_text(path.read_text() + "D9,cancer,A,x.mrc,20,-60,60,dark,surplus\n")
    with pytest.raises(BadInputError, match="line 6 has 9 cells, the header 8"):
        read_manifest(path)
    path.write_text("donor,donor\n1,2\n")
    with pytest.raises(BadInputError, match="named twice"):
        read_manifest(path)
