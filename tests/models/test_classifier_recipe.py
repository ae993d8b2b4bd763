"""Recipes of classifiers, and what they make."""

import numpy as np
import pytest
import torch
import yaml

from engine.errors import BadInputError
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions, is_classifier, read_classifier_recipe
from models.recipe import CLASSIFIERS_FOLDER, recipe_content

LEAST = {
    "name": "one-1", "task": "classification", "architecture": "compact", "box_vox": 16,
    "voxel_size_nm": 2.0, "epochs": 1, "structures": {"n_assemblies": 2},
}  # fmt: skip


def written(tmp_path, **changes):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**LEAST, **changes}))
    return str(path)


def test_shipped_recipes_are_read_by_name():
    names = [path.stem for path in CLASSIFIERS_FOLDER.glob("*.yaml")]
    assert "embedding" in names
    for name in names:
        assert is_classifier(recipe_content(name))
        assert read_classifier_recipe(name).name.startswith(name)
    assert not is_classifier(recipe_content("fine"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "no-such"}, "no classifier 'no-such'"),
        ({"architecture": "multi_reference", "teacher": "a", "int8": True}, "teacher, int8"),
        ({"architecture": "multi_reference", "box_vox": 25}, "even boxes of 12 voxels or more"),
        (
            {"architecture": "compact", "orientations": 500},
            "orientations: for multi_reference alone",
        ),
        ({"teacher": "a", "renewed": True}, "a teacher speaks of one set"),
        ({"density_weight": 1.0, "architecture": "cb3d"}, "for compact networks"),
        ({"conditions": {"snr_range": [0.5, 0.1]}}, "the smaller first"),
        ({"conditions": {"snr_range": [0.0, 0.1]}}, "must be positive"),
        ({"structures": {"densities": {"a": "x", "b": "x"}}}, "two classes have one name"),
        ({"speed": 3}, "speed"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_faults_of_a_recipe_are_named(tmp_path, changes, said):
    with pytest.raises(BadInputError, match=said):
        read_classifier_recipe(written(tmp_path, **changes))


def test_an_assembly_does_not_depend_on_how_many_there_are():
    few, many = assemblies(2, 5), assemblies(4, 5)
    np.testing.assert_array_equal(few[1].voxels, many[1].voxels)
    assert [one.name for one in many][3] == "assembly-3"


def test_a_set_holds_every_class_alike_and_is_made_again_from_its_seed():
    conditions = Conditions(microscopies=("convolution", "tilt_series"), snr_range=(0.1, 1.0))
    maker = SetMaker(assemblies(3, 1), conditions, 16, 20.0, with_targets=True)
    first, again, other = (maker.balanced(4, (seed,)) for seed in (1, 1, 2))
    assert first.counts.tolist() == [4, 4, 4]
    torch.testing.assert_close(first.images, again.images)
    assert not torch.allclose(first.images, other.images)
    assert first.targets.shape == (12, 2, 16, 16, 16)
    mask = first.targets[:, 0]
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_another_box_is_refused_by_a_maker_that_holds_structures():
    maker = SetMaker(assemblies(2, 1), Conditions(), 16, 20.0)._maker
    with pytest.raises(BadInputError, match="expected boxes of 16 voxels of 20 A"):
        maker.under(type(maker.params)(12, 20.0, 0.1))
