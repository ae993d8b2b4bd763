import numpy as np
import pandas as pd
import pytest

from cohorts.export import feature_table
from cohorts.splits import assert_no_leak, splits
from cohorts.tables import (
    FeatureTable,
    csv_text,
    donor_means,
    read_feature_table,
    write_feature_table,
)
from engine.errors import BadInputError
from tests.cohorts.examples import fresh_store, measured, small_cohort

TEXT = """donor,group,tomogram,voxel_size_angst,grid_id,fold,note,count,length_nm,flag
D1,cancer,a,20,1,1,x,3,100.5,true
D1,cancer,b,20,2,1,,5,,false
D2,healthy,a,21,3,2,y,1,NaN,true
D2,healthy,b,21,4,2,,2,n/a,true
"""


def written(tmp_path, text=TEXT):
    path = tmp_path / "features.csv"
    path.write_text(text)
    return path


def test_features_are_the_numeric_columns_that_do_not_identify(tmp_path):
    table = read_feature_table(written(tmp_path))
    assert table.features == ("count", "length_nm")
    assert np.isnan(table.values[1:, 1]).all()


def test_named_columns_are_used_even_if_they_identify(tmp_path):
    path = written(tmp_path)
    assert read_feature_table(path, features=["fold", "count"]).features == ("fold", "count")
    with pytest.raises(BadInputError, match="expected numbers in note"):
        read_feature_table(path, features=["note"])
    with pytest.raises(BadInputError, match="expected the column mass"):
        read_feature_table(path, features=["mass"])


def test_means_leave_out_what_is_not_assessable_and_count_the_rest(tmp_path):
    means = donor_means(read_feature_table(written(tmp_path), folds="fold"))
    assert means.donors == ("D1", "D2")
    assert means.labels == ("cancer", "healthy")
    assert means.folds == ("1", "2")
    assert means.values[0].tolist() == [4.0, 100.5]
    assert means.values[1, 0] == 1.5
    assert np.isnan(means.values[1, 1])
    assert means.n.tolist() == [[2, 1], [2, 0]]


def test_names_and_labels_stay_text(tmp_path):
    text = "who,kind,x\n01,1,0.5\n01,1,0.7\n2,0,1\nNA,0,2\n"
    means = donor_means(read_feature_table(written(tmp_path, text), donor="who", label="kind"))
    assert means.donors == ("01", "2", "NA")
    assert means.labels == ("1", "0", "0")


def test_a_table_survives_writing(tmp_path):
    table = read_feature_table(written(tmp_path))
    write_feature_table(table, tmp_path / "again.csv")
    again = read_feature_table(tmp_path / "again.csv")
    assert again.features == table.features
    assert np.array_equal(again.values, table.values, equal_nan=True)
    assert "nan" not in (tmp_path / "again.csv").read_text().lower()


def test_csv_has_lower_case_booleans_and_full_precision():
    frame = pd.DataFrame({"ok": [True, False], "x": [0.1 + 0.2, np.nan], "name": ["a,b", None]})
    assert csv_text(frame) == 'ok,x,name\ntrue,0.30000000000000004,"a,b"\nfalse,,\n'


@pytest.mark.parametrize(("text", "words"), [
    ("donor,group,x\n", "expected rows"),
    ("donor,group,x\n,a,1\n", "line 2 has no donor"),
    ("donor,group,note\nD1,a,hello\n", "at least one numeric feature"),
    ("donor,x\nD1,1\n", "expected the column group"),
    ("donor,group,x\nD1,a,inf\n", "infinity"),
])  # fmt: skip
def test_unfit_tables_are_refused(tmp_path, text, words):
    with pytest.raises(BadInputError, match=words):
        read_feature_table(written(tmp_path, text))


def test_a_donor_with_two_labels_is_an_error(tmp_path):
    path = written(tmp_path, "donor,group,x\nD1,a,1\nD1,b,1\nD2,a,1\nD3,a,1\nD3,c,2\n")
    with pytest.raises(BadInputError, match=r"D1 \(a, b\); D3 \(a, c\)"):
        donor_means(read_feature_table(path))


def test_a_donor_without_fold_is_an_error(tmp_path):
    path = written(tmp_path, "donor,group,f,x\nD1,a,1,1\nD2,b,,1\n")
    with pytest.raises(BadInputError, match="without a fold: D2"):
        donor_means(read_feature_table(path, folds="f"))


def test_splits_leave_each_donor_out_once(tmp_path):
    means = donor_means(read_feature_table(written(tmp_path)))
    found = list(splits(means))
    assert [split.name for split in found] == ["D1", "D2"]
    assert sorted(int(i) for split in found for i in split.test) == [0, 1]


def test_a_leak_is_an_error_by_donor_grid_or_session():
    assert_no_leak(["D1"], ["D2"], shared={"grid": (["G1", ""], ["G2", ""])})
    with pytest.raises(BadInputError, match="donor D1"):
        assert_no_leak(["D1", "D2"], ["D1"])
    with pytest.raises(BadInputError, match="grid G1; session S"):
        assert_no_leak(["D1"], ["D2"], shared={"grid": (["G1"], ["G1"]), "session": ("S", "S")})


def test_one_donor_cannot_be_split():
    frame = pd.DataFrame({"donor": ["D1"], "group": ["a"], "x": [1.0]})
    with pytest.raises(BadInputError, match="at least two donors"):
        list(splits(donor_means(FeatureTable(frame, ("x",)))))


def test_the_store_gives_a_table_that_says_what_is_simulated(tmp_path):
    store = fresh_store(tmp_path)
    store.add_cohort(small_cohort(tmp_path))
    with pytest.raises(BadInputError, match="no analysed tomogram"):
        feature_table(store)
    store.record_analysis("D00_t0", "a" * 64, tmp_path / "a", measured("D00_t0", simulated=True))
    store.record_analysis("D01_t1", "b" * 64, tmp_path / "b", measured("D01_t1", count=5))
    table = feature_table(store)
    assert list(table.frame["tomogram"]) == ["D00_t0", "D01_t1"]
    assert list(table.frame["simulated"]) == [True, False]
    assert list(table.frame["mitochondria_count"]) == [3, 5]
    assert table.frame["microtubule_length_total_nm"].isna().all()
