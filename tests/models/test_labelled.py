import numpy as np
import pytest
import torch

from engine.data.labels import CLASS_IDS
from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError
from models.labelled import UNLABELLED, LabelledTomogram, write_labelled
from models.losses import coarse_loss, fine_loss
from models.patches import PatchSampler
from models.training import make_network, train
from models.training_pool import FINE_BITS, UNKNOWN_CLASS, read_member
from tests.models.test_networks import tiny

SHAPE = (32, 48, 48)


def labelled(name="one", voxel_angst=24.0, seed=0):
    """Only ten sections were labelled, and only membranes and microtubules."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(size=SHAPE).astype(np.float32)
    labels = np.full(SHAPE, UNLABELLED, dtype=np.uint16)
    labels[10:20] = 0
    labels[10:20, 5:9] = CLASS_IDS["membrane"]
    labels[10:20, 20:28, 20:28] = CLASS_IDS["microtubule"]
    tomogram = Tomogram(name, voxels, voxel_angst, None, "bright", Provenance("", ""))
    return LabelledTomogram(tomogram, labels)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    return write_labelled(folder, [labelled("a"), labelled("b", seed=1)], "fine", None)


def test_what_was_not_labelled_is_not_known(members):
    masks, known = read_member(members[0], "fine").targets
    membrane, core = FINE_BITS["membrane"], FINE_BITS["microtubule_core"]
    assert (known[10:20] & (membrane | core) == membrane | core).all()
    assert not known[:10].any()
    assert not known[20:].any()
    # Nobody labelled ribosomes anywhere: nothing is known of them.
    assert not (known & FINE_BITS["ribosome"]).any()
    assert (masks[15, 5:9] & membrane).all()
    assert (masks[15, 22:26, 22:26] & core).all()


def test_unknown_voxels_do_not_change_the_loss_nor_its_gradient(members):
    recipe = tiny()
    targets = torch.from_numpy(np.stack(read_member(members[0], "fine").targets))[None]
    outputs = torch.randn((1, 2, *SHAPE), requires_grad=True)
    loss = fine_loss(outputs, targets, recipe.outputs)
    loss.backward()
    assert float(outputs.grad[:, :, :10].abs().max()) == 0.0
    assert float(outputs.grad[:, :, 10:20].abs().max()) > 0.0
    changed = targets.clone()
    changed[:, 0, :10] = 3
    again = fine_loss(outputs.detach(), changed, recipe.outputs)
    assert float(again) == pytest.approx(float(loss.detach()))


def test_coarse_labels_that_are_not_known_do_not_count_either(tmp_path):
    (path,) = write_labelled(tmp_path, [labelled(voxel_angst=64.0)], "coarse", None)
    classes, depth = read_member(path, "coarse").targets
    assert (classes[:10] == UNKNOWN_CLASS).all()
    assert depth.dtype == np.uint8
    targets = torch.from_numpy(np.stack([classes, depth]))[None]
    outputs = torch.randn((1, 8, *SHAPE), requires_grad=True)
    coarse_loss(outputs, targets).backward()
    assert float(outputs.grad[:, :, :10].abs().max()) == 0.0
    assert float(outputs.grad[:, :, 10:20].abs().max()) > 0.0
    nothing = torch.full_like(targets, UNKNOWN_CLASS)
    assert float(coarse_loss(outputs.detach(), nothing)) == 0.0


def test_half_of_the_patches_are_the_sites_own(members):
    recipe = tiny(batch=60, patches=[[8, 8, 8]])
    targets = PatchSampler([], recipe, members).batch(0).targets
    assert targets.shape == (60, 2, 8, 8, 8)


def test_training_goes_on_from_a_set_of_labels_and_holds_the_last_out(tmp_path):
    folder = tmp_path / "own"
    paths = write_labelled(folder, [labelled(f"t{n}", seed=n) for n in range(3)], "fine", None)
    trained = train(tiny(), tmp_path, labelled=paths)
    assert set(trained.metrics) == {
        f"{kind}_{name}"
        for kind in ("dice", "calibration-error")
        for name in ("membrane", "microtubule_core")
    }
    assert all(0.0 <= value <= 1.0 for value in trained.metrics.values())
    before = make_network(tiny()).state_dict()
    assert any(
        not torch.equal(value, before[name])
        for name, value in trained.network.state_dict().items()
        if name.endswith("weight")
    )


def test_labels_of_another_shape_or_meaning_are_refused():
    good = labelled()
    with pytest.raises(BadInputError, match="voxels"):
        LabelledTomogram(good.tomogram, good.labels[:5])
    wrong = np.array(good.labels)
    wrong[0, 0, 0] = 77
    with pytest.raises(BadInputError, match="77"):
        LabelledTomogram(good.tomogram, wrong)
