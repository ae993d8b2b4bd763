from app.bench.kept_scores import KeptScores
from app.bench.segmentation_scenes import Scored
from app.wiring import FINE_MODEL, shipped_networks

SCORED = Scored(
    "A", 3, 2, 900.5, 870.25, 0.5, centreline_dice=0.75, bodies=(2, 3, 2),
    volume_ratios=(0.9, 1.1), granules=((0, 1),), spacings_nm=((9.0, 10.0),), by_rise=((1, 2),) * 3,
)  # fmt: skip


def test_scores_come_back_as_they_were_kept(tmp_path):
    kept = KeptScores(tmp_path, shipped_networks("cpu"))
    assert kept.get(7, [FINE_MODEL]) is None
    kept.put(7, {FINE_MODEL: SCORED, "other-1": SCORED})
    again = KeptScores(tmp_path, shipped_networks("cpu"))
    assert again.get(7, [FINE_MODEL]) == {FINE_MODEL: SCORED}
    assert list(again.get(7, [FINE_MODEL, "other-1"])) == [FINE_MODEL, "other-1"]
    # One more network to compare: the tomogram is scored anew.
    assert again.get(7, [FINE_MODEL, "other-2"]) is None
    assert again.get(8, [FINE_MODEL]) is None
