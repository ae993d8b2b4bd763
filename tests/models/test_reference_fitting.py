"""References from labelled subtomograms: the truth comes back, classes are told, nothing else."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.classification.classifier import SubtomogramClassifier
from engine.data.classification import NONE_OF_THESE
from engine.errors import BadInputError
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import SubtomogramMaker, densities_in_boxes
from models import reference_fitting
from models.architectures import multi_reference
from models.architectures.multi_reference import (
    AMPLITUDES,
    SHIFTS_VOX,
    MultiReference,
    band_indices,
)
from models.ball_functions import ball_functions
from models.class_averaging import coefficient_variance
from models.classifier_data import LabelledSubtomograms, stack_of
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions
from models.classifier_training import logits_of
from models.classifier_writing import deployment_of, features_of, none_scores, write_classifier
from models.reference_fitting import ReferenceParams, fit_references

BOX, VOXEL_ANGST, SNR = 16, 20.0, 0.3
STRUCTURES = assemblies(3, 70)
CONDITIONS = Conditions(microscopies=("tilt_series",), snr_range=(SNR, SNR))
PARAMS = ReferenceParams(iterations=3)


def made(each, seed):
    return SetMaker(STRUCTURES, CONDITIONS, BOX, VOXEL_ANGST).balanced(each, (seed,))


@pytest.fixture(scope="module")
def fitted():
    return fit_references(made(40, 1), PARAMS)


def test_new_subtomograms_are_named(fitted):
    test = made(40, 2)
    right = logits_of(fitted.network, test.images).argmax(dim=1) == test.kinds
    assert float(right.float().mean()) > 0.9


def test_a_reference_is_the_structure_whose_class_it_is(fitted):
    """Clean images are likelier under their own class by far than noise is."""
    params = SubtomogramParams(BOX, VOXEL_ANGST, math.inf, microscopy="tilt_series", shift_vox=0.0)
    kinds = np.repeat(np.arange(3), 5)
    clean = SubtomogramMaker(STRUCTURES, params).make(kinds, rng=np.random.default_rng(3)).images
    ratios = fitted.network.features(clean[:, None]).detach().numpy()
    assert (ratios.argmax(axis=1) == kinds).all()
    noise = torch.randn((30, 1, BOX, BOX, BOX), generator=torch.Generator().manual_seed(0))
    of_noise = fitted.network.features(noise).detach().numpy()
    assert ratios[np.arange(15), kinds].min() > of_noise.max()


def test_averages_are_the_structures_in_a_pose_of_their_own(fitted):
    """What the pose does not change: how density lies about the centre, shell by shell."""
    params = SubtomogramParams(BOX, VOXEL_ANGST, math.inf, microscopy="tilt_series", shift_vox=0.0)
    kinds = np.repeat(np.arange(3), 40)
    clean = SubtomogramMaker(STRUCTURES, params).make(kinds, rng=np.random.default_rng(3)).images
    shells = np.linalg.norm(np.indices((BOX,) * 3) - BOX // 2, axis=0).round().astype(int).ravel()
    # In unit variance, signal is that share of a noisy subtomogram.
    share = math.sqrt(SNR / (1.0 + SNR))
    for kind in range(3):
        found, expected = (
            (np.bincount(shells, one.numpy().ravel()) / np.bincount(shells))[:7]
            for one in (fitted.averages[kind], share * clean[kinds == kind].mean(dim=0))
        )
        assert np.corrcoef(found, expected)[0, 1] > 0.9
        # But for the innermost, which the band blurs.
        outer = slice(1, None)
        slope = (found[outer] * expected[outer]).sum() / (expected[outer] ** 2).sum()
        assert slope == pytest.approx(1.0, abs=0.25)


def test_what_is_clearer_is_not_far_from_its_class(fitted):
    """Twice the SNR of training: one in twenty refused as there, and other structures told."""
    distances = deployment_of(fitted, VOXEL_ANGST / 10).open_set
    clear = CONDITIONS.model_copy(update={"snr_range": (2 * SNR, 2 * SNR)})
    known = SetMaker(STRUCTURES, clear, BOX, VOXEL_ANGST).balanced(40, (7,))
    others = SetMaker(assemblies(5, 71), clear, BOX, VOXEL_ANGST).balanced(20, (8,))
    own, theirs = (
        scores_of(fitted.network, distances, one.images) for one in (known, others)
    )  # fmt: skip
    assert (own > distances.limit).mean() < 0.15
    assert (theirs > distances.limit).mean() > 3 * (own > distances.limit).mean()


def test_the_network_computes_the_likelihood_over_poses():
    """Against Fourier transforms and sums written out."""
    torch.manual_seed(1)
    network = MultiReference(12, 2, band=3.2, n_reduced=7, n_orientations=5).eval()
    volumes = torch.randn((3, 1, 12, 12, 12))
    found = network.features(volumes).detach().numpy()
    zyx = band_indices(12, 3.2)
    reduced, templates, energies = (
        one.detach().double().numpy()
        for one in (
            network.reduced.weight, network.references.weight, network.references.bias
        )
    )  # fmt: skip
    for volume, ours in zip(volumes[:, 0].double().numpy(), found, strict=True):
        spectrum = np.fft.fftn(volume)[tuple(zyx.T)]
        scores = []
        for shift in SHIFTS_VOX:
            moved = spectrum * np.exp(2j * np.pi * zyx @ np.array(shift) / 12)
            scores.append(templates @ (reduced @ np.concatenate([moved.real, moved.imag])))
        by_class = (np.array(scores) + energies).reshape(len(SHIFTS_VOX), 2, 5)
        assert np.allclose(ours, np.log(np.exp(by_class).mean(axis=(0, 2))), rtol=1e-4, atol=1e-3)


def test_half_of_the_fourier_voxels_and_never_both_of_a_pair():
    zyx = {tuple(one) for one in band_indices(12, 4.0).tolist()}
    box = itertools.product(range(-4, 5), repeat=3)
    whole = [one for one in box if 0 < sum(k * k for k in one) <= 16]
    assert len(zyx) * 2 == len(whole)
    assert not any(tuple(-k for k in one) in zyx for one in zyx)


def test_what_stopped_goes_on_and_gives_the_same(tmp_path, fitted):
    data = made(40, 1)
    first = fit_references(data, PARAMS, folder=tmp_path)
    checkpoint = tmp_path / "references.pt"
    held = torch.load(checkpoint)
    held["averages"] = {k: v for k, v in held["averages"].items() if k.startswith("rough")}
    torch.save(held, checkpoint)
    told = []
    again = fit_references(data, PARAMS, folder=tmp_path, on_progress=told.append)
    for one in (first, again):
        assert torch.equal(one.network.references.weight, fitted.network.references.weight)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_averages_of_other_subtomograms_are_not_taken(tmp_path, caplog):
    fit_references(made(12, 1), replace(PARAMS, iterations=1), folder=tmp_path)
    fit_references(made(12, 5), replace(PARAMS, iterations=1), folder=tmp_path)
    assert "another training set" in caplog.text


def test_averages_of_another_estimate_are_not_taken(tmp_path, caplog, monkeypatch):
    data, params = made(12, 1), replace(PARAMS, iterations=1)
    monkeypatch.setattr(reference_fitting, "VERSION", 0)
    fit_references(data, params, folder=tmp_path)
    monkeypatch.undo()
    assert not caplog.text
    fit_references(data, params, folder=tmp_path)
    assert "another training set or estimate" in caplog.text


def test_the_prior_finds_what_degrees_have():
    """Of coefficients that are drawn with a variance which falls with the degree."""
    functions = ball_functions(24, 11.5, 7.0)
    rng = np.random.default_rng(4)
    falling = [math.exp(-degree / 3.0) for degree in range(len(functions.roots))]
    truth = torch.cat(
        [
            torch.full((high - low,), one)
            for one, (low, high) in zip(falling, itertools.pairwise(functions.ends), strict=True)
        ]
    )
    squares = torch.stack(
        [truth * torch.from_numpy(rng.standard_normal(len(functions)) ** 2) for _ in range(20)]
    ).float()
    none = torch.zeros_like(truth)
    priors = torch.stack([coefficient_variance(functions, s.sqrt(), none) for s in squares])
    for block in functions.blocks(priors[0]):
        assert torch.equal(block, block[:1].expand_as(block))
    # Nearer to the truth than means of all degrees: of what there is most, and of what least.
    shells = functions.frequencies.round().long()
    sums = torch.zeros(int(shells.max()) + 1).index_add_(0, shells, truth)
    means = (sums / torch.bincount(shells).clamp_min(1))[shells]
    ours, flat = (
        [float(one.mean().log()) for one in functions.blocks(prior / truth)]
        for prior in (priors.mean(dim=0), means)
    )
    for degree in (0, len(ours) // 2, len(ours) - 1):
        assert abs(ours[degree]) < 0.8 * abs(flat[degree]), degree


def test_strangers_have_no_reference():
    data = made(12, 1)
    noise = torch.randn((12, 1, BOX, BOX, BOX), generator=torch.Generator().manual_seed(0))
    mixed = LabelledSubtomograms(
        torch.cat([data.images, noise]),
        torch.cat([data.kinds, torch.full((12,), 3)]),
        (*data.class_names, NONE_OF_THESE),
    )
    found = fit_references(mixed, replace(PARAMS, iterations=1))
    assert found.shown.class_names == data.class_names
    assert found.network.n_classes == 3


def test_exported_it_answers_as_in_torch(tmp_path, fitted):
    deployment = deployment_of(fitted, VOXEL_ANGST / 10)
    folder = tmp_path / "references-1"
    assert write_classifier(fitted.network, deployment, {}, folder, "test") <= 1e-4
    test = made(4, 6)
    answers = SubtomogramClassifier(folder, "cpu").classify(stack_of(test.images, 2.0))
    expected = torch.softmax(
        logits_of(fitted.network, test.images) / deployment.temperature, dim=1
    ).numpy()
    assert np.allclose(answers.probabilities, expected, atol=2e-3)


@pytest.fixture(scope="module")
def beside_strangers():
    others = densities_in_boxes(assemblies(8, 72), BOX, VOXEL_ANGST)
    return fit_references(made(40, 1), PARAMS, strangers=others)


def test_what_is_like_strangers_is_none_of_the_classes(fitted, beside_strangers):
    """Complexes that neither the classes nor the strangers hold."""
    known, new = (
        SetMaker(structures, CONDITIONS, BOX, VOXEL_ANGST).balanced(each, (12,))
        for structures, each in ((STRUCTURES, 40), (assemblies(12, 73), 10))
    )
    right = logits_of(beside_strangers.network, known.images).argmax(dim=1) == known.kinds
    assert float(right.double().mean()) > 0.85
    alone, beside = (
        _area(*(scores_of(one.network, _open_set(one), part.images) for part in (known, new)))
        for one in (fitted, beside_strangers)
    )
    assert alone < 0.98
    assert beside > 0.98


def test_nothing_but_noise_is_none_of_the_classes(beside_strangers):
    noise = torch.randn((40, 1, BOX, BOX, BOX), generator=torch.Generator().manual_seed(0))
    open_set = _open_set(beside_strangers)
    assert (scores_of(beside_strangers.network, open_set, noise) > open_set.limit).mean() > 0.9


def test_strangers_share_one_class_that_is_their_mean_likelihood():
    """Of features, written out: any of the strangers, or nothing, at any amplitude."""
    network = MultiReference(12, 3, band=3.2, n_reduced=7, n_orientations=5, n_strangers=4)
    features, energies = np.array([5.0, 2.0, 1.0, 3.0, -2.0, 0.5]), np.array([4.0, 3, 2, 5, 1, 2])
    with torch.no_grad():
        network.energies.copy_(torch.from_numpy(energies))
        logits = network.classified(torch.from_numpy(features)[None].float())[0]
    likelihoods = np.mean(
        [np.exp(one * (features + energies) - one**2 * energies) for one in AMPLITUDES], axis=0
    )
    expected = [*likelihoods[:2], np.mean([*likelihoods[2:], 1.0])]
    assert logits.numpy() == pytest.approx(np.log(expected), abs=1e-5)


def test_what_is_fainter_than_in_training_is_still_known(beside_strangers, monkeypatch):
    """A third of the SNR: refused less than if one amplitude were believed."""
    faint = CONDITIONS.model_copy(update={"snr_range": (SNR / 3, SNR / 3)})
    known, new = (
        SetMaker(structures, faint, BOX, VOXEL_ANGST).balanced(each, (13,))
        for structures, each in ((STRUCTURES, 40), (assemblies(12, 73), 10))
    )
    network = beside_strangers.network
    areas, refused = [], []
    for amplitudes in (multi_reference.AMPLITUDES, (1.0,)):
        monkeypatch.setattr(multi_reference, "AMPLITUDES", amplitudes)
        open_set = _open_set(beside_strangers)
        own, theirs = (scores_of(network, open_set, one.images) for one in (known, new))
        areas.append(_area(own, theirs))
        refused.append((own > open_set.limit).mean())
    assert areas[0] > 0.98
    assert refused[0] < 0.9 * refused[1]
    right = logits_of(network, known.images)[:, :-1].argmax(dim=1) == known.kinds
    assert float(right.double().mean()) > 0.9


def test_with_strangers_it_answers_as_in_torch_when_exported(tmp_path, beside_strangers):
    assert beside_strangers.shown.class_names[-1] == NONE_OF_THESE
    assert len(beside_strangers.averages) == 3
    deployment = deployment_of(beside_strangers, VOXEL_ANGST / 10)
    folder = tmp_path / "references-2"
    assert write_classifier(beside_strangers.network, deployment, {}, folder, "test") <= 1e-4
    test = made(4, 6)
    answers = SubtomogramClassifier(folder, "cpu").classify(stack_of(test.images, 2.0))
    scores = scores_of(beside_strangers.network, deployment.open_set, test.images)
    assert answers.distances == pytest.approx(scores, rel=1e-3, abs=0.05)
    assert answers.class_names == tuple(one.name for one in STRUCTURES)


def test_strangers_in_other_boxes_are_refused():
    with pytest.raises(BadInputError, match="strangers in boxes of 12"):
        fit_references(made(12, 1), PARAMS, strangers=torch.zeros((4, 12, 12, 12)))


def scores_of(network, open_set, images):
    return none_scores(network, open_set, features_of(network, images))


def _open_set(fitted):
    return deployment_of(fitted, VOXEL_ANGST / 10).open_set


def _area(known, others):
    return float((others[:, None] > known[None]).mean())


@pytest.mark.parametrize("shape", [(15, 15, 15), (10, 10, 10), (16, 16, 14)])
def test_boxes_that_it_cannot_average_are_refused(shape):
    data = LabelledSubtomograms(torch.zeros((4, 1, *shape)), torch.tensor([0, 0, 1, 1]), ("a", "b"))
    with pytest.raises(BadInputError, match="even side"):
        fit_references(data, PARAMS)


def test_a_class_without_an_example_is_named():
    data = LabelledSubtomograms(torch.zeros((2, 1, 16, 16, 16)), torch.tensor([0, 0]), ("a", "b"))
    with pytest.raises(BadInputError, match="class b"):
        fit_references(data, PARAMS)


def test_what_is_turned_as_a_whole_is_named_alike(fitted):
    """A half turn about the tilt axis keeps the wedge, and the answer."""
    test = made(20, 8)
    turned = torch.flip(test.images, (2, 4))
    before = logits_of(fitted.network, test.images).argmax(dim=1)
    after = logits_of(fitted.network, torch.roll(turned, (1, 1), (2, 4))).argmax(dim=1)
    assert float((before == after).float().mean()) > 0.9
