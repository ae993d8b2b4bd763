from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from engine.classification.classifier import SubtomogramClassifier, read_classifier_spec
from engine.data.classification import NONE_OF_THESE
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError, ModelFileError
from engine.segmentation.inference import cuda_is_present
from models import onnx_export
from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_int8 import write_int8
from models.classifier_training import FitParams, fit
from models.classifier_writing import Deployed, deployment_of, features_of, write_classifier
from models.onnx_export import ParityError
from models.registry import model_folder
from tests.models.test_classifier_training import balls

VOXEL_NM = 1.2


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    torch.manual_seed(1)
    data = balls()
    params = FitParams(epochs=12, batch=16, learning_rate=0.01)
    fitted = fit(Compact(3, (8, 8, 16, 16), 16), data, params)
    deployment = deployment_of(fitted, VOXEL_NM)
    folder = tmp_path_factory.mktemp("models") / "balls-1"
    difference = write_classifier(fitted.network, deployment, params, folder, "a command")
    assert difference < 1e-4
    return fitted, deployment, folder


def stack(images, voxel_nm=VOXEL_NM):
    n = len(images)
    names = tuple(str(index) for index in range(n))
    return SubtomogramStack(
        np.asarray(images), 10 * voxel_nm, names, ("",) * n, Provenance("0", "0")
    )


def as_deployed(data):
    """With zero mean, as classifiers normalise what they are given."""
    return replace(data, images=data.images - data.images.mean(dim=(1, 2, 3, 4), keepdim=True))


def test_the_deployed_network_says_what_torch_says(shipped):
    fitted, deployment, folder = shipped
    data = balls(seed=1)
    found = SubtomogramClassifier(folder).classify(stack(data.images[:, 0]))
    images = data.images - data.images.mean(dim=(1, 2, 3, 4), keepdim=True)
    images = images / images.std(dim=(1, 2, 3, 4), correction=0, keepdim=True)
    with torch.inference_mode():
        logits, features, distances = Deployed(
            fitted.network, deployment.temperature, deployment.open_set
        )(images)
    np.testing.assert_allclose(found.probabilities, torch.softmax(logits, 1), atol=1e-3)
    np.testing.assert_allclose(found.embeddings, features, atol=1e-3)
    np.testing.assert_allclose(found.distances, distances, rtol=2e-2)
    np.testing.assert_array_equal(found.is_none, found.distances > deployment.open_set.limit)
    assert found.class_names == data.class_names
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, rtol=1e-6)


def test_the_distance_is_that_of_the_open_set_model(shipped):
    fitted, deployment, _ = shipped
    images = balls(seed=3).images
    features = features_of(fitted.network, images).double().numpy()
    with torch.inference_mode():
        found = Deployed(fitted.network, 1.0, deployment.open_set)(images)[2]
    np.testing.assert_allclose(found, deployment.open_set.scores(features), rtol=1e-2)


def test_the_network_is_in_its_file_once(shipped):
    fitted, _, folder = shipped
    nodes = onnx.load(str(folder / "model.onnx")).graph.node
    wanted = [one for one in fitted.network.modules() if isinstance(one, torch.nn.Conv3d)]
    assert len([node for node in nodes if node.op_type == "Conv"]) == len(wanted)


def test_class_means_are_those_of_what_was_trained_on(shipped):
    fitted, deployment, _ = shipped
    assert len(fitted.shown) + len(fitted.held_out) == len(balls())
    features = features_of(fitted.network, fitted.shown.images).double().numpy()
    for kind, mean in enumerate(deployment.open_set.means):
        own = features[fitted.shown.kinds.numpy() == kind]
        np.testing.assert_allclose(mean, own.mean(axis=0), atol=1e-6)


def test_cuda_that_is_not_there_is_refused(shipped):
    if cuda_is_present():
        pytest.skip("ONNX Runtime finds CUDA here")
    with pytest.raises(ModelFileError, match="finds no CUDA"):
        SubtomogramClassifier(shipped[2], "cuda")


def test_a_batch_that_is_not_full_changes_nothing(shipped):
    classifier = SubtomogramClassifier(shipped[2])
    images = balls(seed=1).images[:, 0]
    whole = classifier.classify(stack(images))
    alone = classifier.classify(stack(images[70:73]))
    np.testing.assert_allclose(alone.probabilities, whole.probabilities[70:73], atol=1e-6)


def test_larger_and_finer_boxes_are_brought_to_the_networks_own(shipped):
    classifier = SubtomogramClassifier(shipped[2])
    images = balls(seed=1).images[:, 0].numpy()
    wide = np.pad(images, ((0, 0), (4, 4), (4, 4), (4, 4)), mode="reflect")
    np.testing.assert_allclose(
        classifier.classify(stack(wide)).probabilities,
        classifier.classify(stack(images)).probabilities,
        atol=1e-5,
    )
    with pytest.raises(BadInputError, match="too small"):
        classifier.classify(stack(images[:, 2:8, 2:8, 2:8]))
    with pytest.raises(BadInputError, match="empty stack"):
        classifier.classify(stack(images[:0]))


def test_networks_that_are_no_classifier_are_refused(shipped, tmp_path):
    with pytest.raises(ModelFileError, match="expected a classifier of subtomograms, found fine"):
        read_classifier_spec(model_folder("fine-8"))
    altered = tmp_path / "altered"
    altered.mkdir()
    for path in shipped[2].iterdir():
        (altered / path.name).write_bytes(path.read_bytes())
    (altered / "model.onnx").write_bytes(b"no network")
    with pytest.raises(ModelFileError, match="was altered"):
        SubtomogramClassifier(altered)


def test_a_runtime_that_computes_something_else_stops_the_export(shipped, tmp_path, monkeypatch):
    fitted, deployment, _ = shipped
    real = onnx_export._by_openvino
    monkeypatch.setattr(
        onnx_export, "_by_openvino", lambda *given: [0.0 * one for one in real(*given)]
    )
    folder = tmp_path / "balls-2"
    with pytest.raises(ParityError, match="OpenVINO differs from torch by 1"):
        write_classifier(fitted.network, deployment, FitParams(epochs=1), folder, "a command")
    assert not (folder / "model.onnx").exists()


def test_strangers_are_no_class_that_is_named(tmp_path):
    torch.manual_seed(2)
    known = as_deployed(balls())
    noise = torch.randn(len(known) // 3, *known.images.shape[1:])
    data = LabelledSubtomograms(
        torch.cat([known.images, noise]),
        torch.cat([known.kinds, torch.full((len(noise),), len(known.class_names))]),
        (*known.class_names, NONE_OF_THESE),
    )
    params = FitParams(epochs=25, batch=16, learning_rate=0.01)
    fitted = fit(Compact(4, (8, 8, 16, 16), 16), data, params)
    deployment = deployment_of(fitted, VOXEL_NM)
    assert deployment.class_names == known.class_names
    assert deployment.metrics["strangers-refused"] > 0.8
    folder = tmp_path / "balls-3"
    write_classifier(fitted.network, deployment, params, folder, "a command")
    classifier = SubtomogramClassifier(folder)
    new = torch.randn(40, *known.images.shape[1:])
    found = classifier.classify(stack(torch.cat([balls(seed=5).images, new])[:, 0]))
    assert found.class_names == known.class_names
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, rtol=1e-6)
    is_known = np.arange(len(found.is_none)) < len(known)
    assert found.is_none[~is_known].mean() > 0.8
    assert found.is_none[is_known].mean() < 0.2
    assert (found.kinds[is_known] == known.kinds.numpy()).mean() > 0.9
    # What is quantised is judged by what it names: strangers count for nothing there.
    scores = write_int8(folder, data.images, data)
    assert scores["float32-accuracy"] > 0.9
