"""Training a classifier of subtomograms by a recipe, on simulation or on labelled subtomograms."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.structures import read_structures
from engine.classification.classifier import read_classifier_spec
from engine.classification.extraction import at_sampling, normalised
from engine.data.classification import NONE_OF_THESE
from engine.errors import BadInputError
from engine.io.subtomogram_files import read_subtomograms
from engine.simulation.subtomograms import densities_in_boxes
from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_int8 import write_int8
from models.classifier_pool import SetMaker, assemblies, strangers
from models.classifier_recipe import ClassifierRecipe
from models.classifier_start import BATCH, begin_with, outputs_of
from models.classifier_training import Fitted, Objective, Renewal, fit, parts_of
from models.classifier_writing import deployment_of, write_classifier
from models.density_teaching import WithDecoder, density_objective, without_decoder
from models.distilling import distillation_objective
from models.domain_adaptation import mean_power, with_target_spectrum
from models.mitochondrion_boxes import mitochondrion_looks
from models.reference_fitting import ReferenceParams, fit_references
from models.registry import finished_folder
from models.self_training import adapted_by_own_answers
from models.table import CLASSIFIERS, MULTI_REFERENCE
from models.unseen_features import add_spreads

# Batches whose statistics a network's BatchNorms begin with.
FIRST_BATCHES = 8
# Labelled subtomograms of a class: with fewer, spread and calibration are not told.
LEAST = 5
# To adapt to: fewer hold no mean spectrum, and few sure answers.
LEAST_UNLABELLED = 50
# Of the time: the rest is training; of training, what does not adapt; of all, until a network is
# finished whose features of unseen structures are then looked at.
MAKING_SHARE, FIELDS_SHARE, FITTING_SHARE, FINISHED_SHARE = 0.1, 0.7, 0.75, 0.9


@dataclass(frozen=True)
class ClassifierSources:
    """What a classifier is trained on.

    Attributes
    ----------
    densities
        Folder of the recipe's structures (.mrc).
    labelled
        A stack with labels (.h5, .star) in the place of simulation.
    unlabelled
        A stack of the origin that the classifier is for, without labels: what it is trained on
        takes on its spectrum, then its own surest answers teach it (`models.self_training`).
    """

    densities: Path | None = None
    labelled: Path | None = None
    unlabelled: Path | None = None


def train_classifier(
    recipe: ClassifierRecipe,
    sources: ClassifierSources,
    work: Path,
    out: Path,
    *,
    command: str,
    device: str,
    on_progress: Callable[[float], None],
) -> dict[str, float]:
    """Train, or go on from a checkpoint in the work folder, and write `out / NAME`.

    Returns
    -------
    dict
        Accuracy and calibration error on what training held out; with `int8`, also of that.

    Raises
    ------
    BadInputError
        No structures, a class without an example, a teacher of other classes.
    ParityError
        Eight bits lose too much accuracy; the network is written without them.
    """
    averaged = recipe.architecture == MULTI_REFERENCE
    if averaged and sources.unlabelled is not None:
        raise BadInputError(
            f"{recipe.name}: {MULTI_REFERENCE} does not adapt to unlabelled subtomograms"
        )
    folders = {
        name: finished_folder(name, work) for name in (recipe.start_from, recipe.teacher) if name
    }
    making = FIELDS_SHARE if recipe.mitochondria else MAKING_SHARE
    done = FINISHED_SHARE if recipe.structures.n_unseen else 1.0
    target = None if sources.unlabelled is None else _target(sources.unlabelled, recipe)

    def on_making(fraction: float) -> None:
        on_progress(done * making * fraction)

    data, renewal = _training_set(recipe, sources, work, device, on_making)

    def on_fitting(fraction: float) -> None:
        on_progress(done * (making + (1.0 - making) * fraction))

    fitted: Fitted
    if averaged:
        params = ReferenceParams(
            iterations=recipe.epochs, orientations=recipe.orientations, seed=recipe.seed
        )
        fitted = fit_references(
            data, params, strangers=_strangers(recipe), folder=work / recipe.name,
            on_progress=on_fitting,
        )  # fmt: skip
    elif target is None:
        fitted = _trained(recipe, folders, data, renewal, work, device, on_fitting)
    else:
        data, renewal = _like(target, data, renewal)
        fitted = _trained(
            recipe, folders, data, renewal, work, device, lambda f: on_fitting(FITTING_SHARE * f)
        )
        adapted = adapted_by_own_answers(
            fitted.network, fitted.shown, target,
            on_progress=lambda f: on_fitting(FITTING_SHARE + (1.0 - FITTING_SHARE) * f),
        )  # fmt: skip
        fitted = replace(fitted, network=adapted)
    figures = _written(fitted, recipe, out, command, 0 if target is None else len(target))
    if recipe.structures.n_unseen:
        folder = out / recipe.name
        add_spreads(folder, recipe, device, lambda f: on_progress(done + (1.0 - done) * f))
    return figures


def _trained(
    recipe: ClassifierRecipe,
    folders: dict[str, Path],
    data: LabelledSubtomograms,
    renewal: Renewal | None,
    work: Path,
    device: str,
    on_progress: Callable[[float], None],
) -> Fitted:
    """The recipe's network, trained by gradients."""
    torch.manual_seed(recipe.seed)
    network = CLASSIFIERS[recipe.architecture](recipe.box_vox, len(data.class_names))
    if recipe.start_from:
        shown = torch.split(data.images[: FIRST_BATCHES * BATCH], BATCH)
        begin_with(network, folders[recipe.start_from], shown)
    objective = _taught(recipe, folders, data) if recipe.teacher else None
    if recipe.density_weight:
        if data.targets is None:
            raise BadInputError(f"{recipe.name}: density_weight needs simulated subtomograms")
        assert isinstance(network, Compact)
        network = WithDecoder(network)
        objective = density_objective(recipe.density_weight, recipe.label_smoothing)
    fitted = fit(
        network,
        data,
        recipe.fit_params,
        objective=objective,
        renewal=renewal,
        folder=work / recipe.name,
        device=device,
        on_progress=on_progress,
    )
    if recipe.density_weight:
        return replace(fitted, network=without_decoder(fitted.network))
    return fitted


def _target(path: Path, recipe: ClassifierRecipe) -> Tensor:
    """Unlabelled subtomograms (n, 1, z, y, x) as the network is shown them."""
    stack = at_sampling(
        read_subtomograms(path, contrast="bright"), recipe.box_vox, 10.0 * recipe.voxel_size_nm
    )
    if len(stack) < LEAST_UNLABELLED:
        raise BadInputError(
            f"{path.name}: expected at least {LEAST_UNLABELLED} unlabelled subtomograms to adapt "
            f"to, found {len(stack)}"
        )
    return torch.from_numpy(np.array(normalised(stack)))[:, None]


def _like(
    target: Tensor, data: LabelledSubtomograms, renewal: Renewal | None
) -> tuple[LabelledSubtomograms, Renewal | None]:
    """Training sets whose images have the target's mean power spectrum."""
    power = mean_power(target)

    def changed(known: LabelledSubtomograms) -> LabelledSubtomograms:
        return replace(known, images=with_target_spectrum(known.images, power))

    if renewal is None:
        return changed(data), None
    return changed(data), lambda epoch: changed(renewal(epoch))


def _written(
    fitted: Fitted, recipe: ClassifierRecipe, out: Path, command: str, n_unlabelled: int
) -> dict[str, float]:
    deployment = deployment_of(fitted, recipe.voxel_size_nm)
    described = recipe.model_dump(mode="json", exclude={"name", "task"})
    if n_unlabelled:
        described["n_unlabelled"] = n_unlabelled
    folder = out / recipe.name
    write_classifier(fitted.network, deployment, described, folder, command)
    if not recipe.int8:
        return dict(deployment.metrics)
    return {**deployment.metrics, **write_int8(folder, fitted.shown.images, fitted.held_out)}


def _training_set(
    recipe: ClassifierRecipe,
    sources: ClassifierSources,
    work: Path,
    device: str,
    on_progress: Callable[[float], None],
) -> tuple[LabelledSubtomograms, Renewal | None]:
    if sources.labelled is not None:
        return labelled_set(sources.labelled, recipe.box_vox, recipe.voxel_size_nm), None
    if recipe.mitochondria is not None:
        looks = mitochondrion_looks(
            work, recipe.mitochondria, recipe.box_vox, recipe.voxel_size_nm, device, on_progress
        )
        # What is held out stays so in every look.
        params = recipe.fit_params
        return looks[0], lambda epoch: parts_of(looks[epoch % len(looks)], params)[0]
    wanted = recipe.structures
    if not wanted.known_names:
        raise BadInputError(
            f"{recipe.name}: the recipe names no structures; give --subtomograms, a labelled stack"
        )
    if wanted.densities and sources.densities is None:
        raise BadInputError(
            f"{recipe.name}: expected --densities DIR with {', '.join(wanted.densities)} (.mrc)"
        )
    known = read_structures(sources.densities or Path(), wanted.densities)
    structures = (*known, *assemblies(wanted.n_assemblies, wanted.assembly_seed))
    # One class of many structures has no average: where classes are averaged, densities serve.
    n_mixed = 0 if recipe.architecture == MULTI_REFERENCE else wanted.n_strangers
    maker = SetMaker(
        structures, recipe.conditions, recipe.box_vox, 10.0 * recipe.voxel_size_nm,
        others=strangers(n_mixed, wanted.stranger_seed),
        with_targets=recipe.density_weight > 0, device=device,
    )  # fmt: skip
    first = maker.balanced(recipe.per_class, (recipe.seed, 0), on_progress)
    if not recipe.renewed:
        return first, None
    return first, lambda epoch: maker.balanced(recipe.per_class, (recipe.seed, epoch))


def _strangers(recipe: ClassifierRecipe) -> Tensor | None:
    """Densities that are none of the classes, in the recipe's boxes."""
    wanted = recipe.structures
    if not wanted.n_strangers:
        return None
    structures = strangers(wanted.n_strangers, wanted.stranger_seed)
    return densities_in_boxes(structures, recipe.box_vox, 10.0 * recipe.voxel_size_nm)


def labelled_set(path: Path, box_vox: int, voxel_size_nm: float) -> LabelledSubtomograms:
    """A labelled stack at a network's box and sampling; classes in alphabetical order.

    Subtomograms that are labelled `none_of_these` teach what is no class.

    Raises
    ------
    BadInputError
        Labels are absent, only one class, or a class of too few.
    """
    stack = read_subtomograms(path, contrast="bright")
    if not all(stack.labels):
        raise BadInputError(f"{path.name}: expected a label for every subtomogram to train on")
    known = sorted(set(stack.labels) - {NONE_OF_THESE})
    if len(known) < 2:
        raise BadInputError(
            f"{path.name}: expected at least two classes, found {', '.join(known) or 'none'} alone"
        )
    names = (*known, *({NONE_OF_THESE} & set(stack.labels)))
    few = [
        f"{stack.labels.count(one)} of {one}" for one in names if stack.labels.count(one) < LEAST
    ]
    if few:
        raise BadInputError(
            f"{path.name}: expected at least {LEAST} subtomograms of every class, found "
            f"{', '.join(few)}"
        )
    fitted = at_sampling(stack, box_vox, 10.0 * voxel_size_nm)
    return LabelledSubtomograms(
        torch.from_numpy(np.array(normalised(fitted)))[:, None],
        torch.tensor([names.index(one) for one in stack.labels]),
        names,
    )


def _taught(
    recipe: ClassifierRecipe, folders: dict[str, Path], data: LabelledSubtomograms
) -> Objective:
    """What a finished classifier says of the training part is what the network is taught."""
    folder = folders[str(recipe.teacher)]
    spec = read_classifier_spec(folder)
    if spec.class_names != data.class_names or spec.box_vox != recipe.box_vox:
        raise BadInputError(
            f"{recipe.teacher} names {', '.join(spec.class_names)} in boxes of {spec.box_vox}: a "
            "teacher must have the classes and box of the network it teaches"
        )
    shown, _ = parts_of(data, recipe.fit_params)
    return distillation_objective(outputs_of(folder, shown.images)["logits"], recipe.teaching)
