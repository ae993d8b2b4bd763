from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import BadInputError
from models.architectures.compact import Compact
from models.classifier_data import (
    HALF_TURNS,
    LabelledSubtomograms,
    augmented,
    balanced_weights,
    epoch_batches,
    stratified_split,
)
from models.classifier_training import FitParams, fit, logits_of
from models.distilling import distillation_objective

NAMES = ("left", "right", "both")


def blobs(counts=(30, 30, 30), seed=0):
    """Three classes that differ in where something bright is."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), counts)
    images = rng.normal(0.0, 0.5, size=(len(kinds), 1, 8, 8, 8)).astype(np.float32)
    images[kinds != 1, :, :, :, :3] += 1.5
    images[kinds != 0, :, :, :, 5:] += 1.5
    images -= images.mean(axis=(1, 2, 3, 4), keepdims=True)
    images /= images.std(axis=(1, 2, 3, 4), keepdims=True)
    return LabelledSubtomograms(torch.from_numpy(images), torch.from_numpy(kinds), NAMES)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.AvgPool3d(4), nn.Flatten(),
        nn.Linear(32, 3),
    )  # fmt: skip


PARAMS = FitParams(epochs=8, batch=16, learning_rate=0.02, augment=False)


def accuracy(trained, data):
    return float((logits_of(trained, data.images).argmax(dim=1) == data.kinds).float().mean())


def test_classes_that_differ_are_learnt_and_held_out_ones_are_known():
    fitted = fit(network(), blobs(), PARAMS)
    assert accuracy(fitted.network, blobs(seed=1)) > 0.95
    assert len(fitted.held_out) == 9
    assert fitted.held_out.counts.tolist() == [3, 3, 3]
    assert len(fitted.losses) == 8
    assert fitted.losses[-1] < fitted.losses[0]


def test_sixteen_bit_products_learn_as_much_and_leave_weights_of_32():
    narrow = fit(network(), blobs(), replace(PARAMS, precision="bfloat16"))
    assert accuracy(narrow.network, blobs(seed=1)) > 0.95
    assert {values.dtype for values in narrow.network.parameters()} == {torch.float32}
    # The products did have sixteen bits.
    assert narrow.losses != fit(network(), blobs(), PARAMS).losses


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path):
    whole = fit(network(), blobs(), PARAMS)
    stopped = []

    def stop(fraction):
        stopped.append(fraction)
        if len(stopped) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), blobs(), PARAMS, folder=tmp_path, on_progress=stop)
    resumed = fit(network(seed=7), blobs(), PARAMS, folder=tmp_path)
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-5)
    shown = blobs(seed=1).images
    torch.testing.assert_close(
        logits_of(resumed.network, shown), logits_of(whole.network, shown), rtol=1e-4, atol=1e-4
    )


def test_training_stops_when_it_has_not_helped_for_long_enough():
    wild = FitParams(epochs=40, batch=16, learning_rate=3.0, optimiser="sgd", patience=3)
    fitted = fit(network(), blobs(), wild)
    assert len(fitted.losses) < 40
    best = int(np.argmin(fitted.losses))
    assert len(fitted.losses) - 1 - best >= 3


def test_a_rare_class_is_seen_as_often_as_others():
    data = blobs((60, 60, 6))
    assert balanced_weights(data.counts)[2] == pytest.approx(10 * balanced_weights(data.counts)[0])
    assert balanced_weights([4, 0, 2]).tolist() == pytest.approx([0.125, 0.0, 0.25])
    drawn = np.concatenate(
        [index for seed in range(20) for index in
         epoch_batches(data, 16, balanced=True, rng=np.random.default_rng(seed))]
    )  # fmt: skip
    shares = np.bincount(data.kinds.numpy()[drawn], minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)


def test_every_example_is_seen_once_where_classes_are_not_balanced():
    batches = list(epoch_batches(blobs(), 16, balanced=False, rng=np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(90))


@pytest.mark.parametrize("teaching", ["logits", "softened"])
def test_a_student_comes_to_say_what_its_teacher_says(teaching):
    data = blobs((60, 60, 60))
    teacher = fit(network(), data, PARAMS).network
    shown, _ = stratified_split(data, PARAMS.held_out, rng=np.random.default_rng([0, 0]))
    taught = logits_of(teacher, shown.images)
    objective = distillation_objective(taught, teaching)
    student = fit(network(seed=3), data, PARAMS, objective=objective).network
    other = blobs((50, 50, 50), seed=5)
    same = logits_of(student, other.images).argmax(1) == logits_of(teacher, other.images).argmax(1)
    assert float(same.float().mean()) > 0.95


def test_half_turns_keep_the_hand_and_go_back():
    image = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
    for axes in HALF_TURNS:
        assert len(axes) in (0, 2)
        torch.testing.assert_close(torch.flip(torch.flip(image, axes), axes), image)


def test_mirror_images_are_shown_only_where_asked_for():
    """A ramp along all axes: its signs tell which are reversed."""
    axis = torch.linspace(-2.0, 2.0, 12)
    ramp = axis[:, None, None] + 10 * axis[:, None] + 100 * axis
    data = LabelledSubtomograms(ramp.expand(60, 1, 12, 12, 12).clone(), torch.arange(60) % 3, NAMES)
    middle = slice(3, 9)

    def reversals(mirrored):
        images = augmented(data, np.random.default_rng(0), mirrored=mirrored).images[:, 0]
        inner = images[:, middle, middle, middle]
        slopes = torch.stack(
            [inner.mean(dim=[d for d in (1, 2, 3) if d != k]).diff(dim=1).sum(1) for k in (1, 2, 3)]
        )
        return {tuple(one) for one in (slopes < 0).T.tolist()}

    assert len(reversals(True)) == 8
    assert reversals(False) == {one for one in reversals(True) if sum(one) in (0, 2)}


def test_what_is_known_of_voxels_moves_along():
    """A mask that is where the image is bright still is after turning and moving."""
    data = balls()
    bright = (data.images > 1.5).float()
    known = LabelledSubtomograms(data.images, data.kinds, NAMES, torch.cat([bright, -bright], 1))
    changed = augmented(known, np.random.default_rng(1))
    again = augmented(known, np.random.default_rng(1))
    torch.testing.assert_close(changed.images, again.images)
    inside = changed.images[changed.targets[:, :1] > 0]
    outside = changed.images[changed.targets[:, :1] == 0]
    assert float(inside.mean()) > float(outside.mean()) + 1.5
    torch.testing.assert_close(changed.targets[:, 0], -changed.targets[:, 1])
    assert (
        changed.targets.sum(dim=(2, 3, 4)).abs().sum() == known.targets.sum((2, 3, 4)).abs().sum()
    )
    assert not torch.allclose(changed.images, known.images)
    with pytest.raises(BadInputError, match="do not fit"):
        LabelledSubtomograms(data.images, data.kinds, NAMES, bright[:5])


def balls(seed=0):
    """Three classes that differ in size, wherever they lie."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), 30)
    axis = np.arange(12) - 6
    images = rng.normal(0.0, 0.3, size=(90, 1, 12, 12, 12)).astype(np.float32)
    for image, kind in zip(images, kinds, strict=True):
        z, y, x = (axis - rng.uniform(-1, 1) for _ in range(3))
        squared = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2
        image[0] += squared < (1.5, 2.7, 4.2)[kind] ** 2
    images /= images.std(axis=(1, 2, 3, 4), keepdims=True)
    return LabelledSubtomograms(torch.from_numpy(images), torch.from_numpy(kinds), NAMES)


def test_compact_learns_from_few():
    torch.manual_seed(1)
    params = FitParams(epochs=25, batch=16, learning_rate=0.01)
    fitted = fit(Compact(3, (8, 8, 16, 16), 16), balls(), params)
    assert accuracy(fitted.network, balls(seed=1)) > 0.9
    features = fitted.network.features(balls(seed=1).images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(90), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "kinds", "message"),
    [
        (torch.zeros((2, 8, 8, 8)), [0, 1], "expected subtomograms"),
        (torch.zeros((2, 1, 8, 8, 8)), [0], "2 subtomograms have 1 classes"),
        (torch.full((1, 1, 2, 2, 2), float("nan")), [0], "NaN"),
        (torch.zeros((1, 1, 2, 2, 2)), [3], r"0\.\.2, found 3\.\.3"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(images, kinds, message):
    with pytest.raises(BadInputError, match=message):
        LabelledSubtomograms(images, torch.tensor(kinds), NAMES)


def test_a_class_without_example_is_named():
    with pytest.raises(BadInputError, match="of class both"):
        fit(network(), blobs((5, 5, 0)), PARAMS)
    with pytest.raises(BadInputError, match="expected finite logits"):
        distillation_objective(torch.full((2, 3), float("inf")), "logits")
