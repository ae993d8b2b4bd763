import shutil

import numpy as np
import pytest
import torch

from engine.classification.classifier import SubtomogramClassifier
from engine.errors import ModelFileError
from models.architectures.compact import Compact
from models.classifier_int8 import write_int8
from models.classifier_training import FitParams, fit
from models.classifier_writing import deployment_of, write_classifier
from models.onnx_export import ParityError
from tests.models.test_classifier_training import balls
from tests.models.test_classifier_writing import VOXEL_NM, stack


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    torch.manual_seed(1)
    params = FitParams(epochs=12, batch=16, learning_rate=0.01)
    fitted = fit(Compact(3, (8, 8, 16, 16), 16), balls(), params)
    folder = tmp_path_factory.mktemp("models") / "balls-1"
    deployment = deployment_of(fitted, VOXEL_NM)
    write_classifier(fitted.network, deployment, params, folder, "a command")
    return fitted, folder


def test_eight_bits_say_nearly_the_same_from_a_smaller_file(written):
    fitted, folder = written
    figures = write_int8(folder, fitted.shown.images, fitted.held_out)
    assert figures["int8-share-of-size"] < 0.8
    assert figures["float32-accuracy"] - figures["int8-accuracy"] <= 0.005
    shown = stack(balls(seed=4).images[:, 0])
    small, large = (
        SubtomogramClassifier(one).classify(shown)
        for one in (folder.with_name("balls-1-int8"), folder)
    )
    assert (small.kinds == large.kinds).mean() > 0.9
    assert not np.array_equal(small.probabilities, large.probabilities)


def test_where_accuracy_is_lost_nothing_is_left(written, tmp_path, monkeypatch):
    fitted, folder = written
    own = tmp_path / "balls-3"
    shutil.copytree(folder, own)
    # Ranges from all but nothing: every activation is cut off.
    dark = 1e-6 * fitted.shown.images
    with pytest.raises(ParityError, match="eight bits lose"):
        write_int8(own, dark, fitted.held_out)
    assert not own.with_name("balls-3-int8").exists()
    assert SubtomogramClassifier(own).spec.class_names


def test_an_altered_small_file_is_refused(written):
    fitted, folder = written
    write_int8(folder, fitted.shown.images, fitted.held_out)
    small = folder.with_name("balls-1-int8")
    (small / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(ModelFileError):
        SubtomogramClassifier(small)
