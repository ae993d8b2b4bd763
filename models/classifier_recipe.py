"""What a classifier of subtomograms is trained on and how: one YAML file."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.classification.classifier import TASK
from engine.data.classification import NONE_OF_THESE
from engine.simulation.subtomogram_params import Microscopy
from models.architectures.multi_reference import LEAST_SIDE, N_ORIENTATIONS
from models.classifier_training import FitParams, Precision
from models.distilling import Teaching
from models.recipe import PoolRecipe, checked, recipe_content
from models.table import CLASSIFIERS, MULTI_REFERENCE

# Complexes from which covariances of features, temperature and limit are told.
LEAST_UNSEEN = 30


class Conditions(BaseModel):
    """How simulated subtomograms are imaged: each few draw from these ranges.

    Attributes
    ----------
    snr_range
        Uniform in its logarithm; twice infinity for no noise.
    tilt_limits_deg
        Symmetric about 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    microscopies: tuple[Microscopy, ...] = ("convolution",)
    snr_range: tuple[float, float] = (0.1, 0.1)
    tilt_limits_deg: tuple[float, float] = (60.0, 60.0)
    defocus_range_um: tuple[float, float] = (5.0, 5.0)
    shift_vox: float = Field(default=1.2, ge=0)
    n_neighbours: tuple[int, int] = (0, 0)

    @model_validator(mode="after")
    def _check_ranges(self) -> "Conditions":
        for name in ("snr_range", "tilt_limits_deg", "defocus_range_um", "n_neighbours"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name}: expected the smaller first, found {low}, {high}")
        low, high = self.snr_range
        if math.isinf(high) and low != high:
            raise ValueError("snr_range: infinity is no end of a range; give it twice")
        if self.snr_range[0] <= 0 or self.tilt_limits_deg[0] <= 0:
            raise ValueError("snr_range and tilt_limits_deg must be positive")
        return self


class StructureSet(BaseModel):
    """Which structures a classifier is to name.

    Attributes
    ----------
    densities
        Class name by file name (without `.mrc`) in the folder of densities.
    n_assemblies, assembly_seed
        Random complexes beside them, see `engine.simulation.assemblies`.
    n_strangers, stranger_seed
        Structures that are none of the classes (`models.classifier_pool.strangers`): a class of
        their own in training, "none of these" in what the classifier says. `multi_reference` has a
        reference for each; where a labelled stack takes the place of simulation there are none.
    n_unseen, unseen_seed
        Random complexes that training does not see: how their features lie is written beside the
        network (`models.unseen_features`), for classes from one to five examples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    densities: dict[str, str] = Field(default_factory=dict)
    n_assemblies: int = Field(default=0, ge=0)
    assembly_seed: int = 0
    n_strangers: int = Field(default=0, ge=0)
    stranger_seed: int = 0
    n_unseen: int = Field(default=0, ge=0)
    unseen_seed: int = 0

    @property
    def known_names(self) -> tuple[str, ...]:
        """Densities, then assemblies."""
        return (
            *self.densities.values(),
            *(f"assembly-{number}" for number in range(self.n_assemblies)),
        )


class ClassifierRecipe(BaseModel):
    """One training run of a classifier.

    Attributes
    ----------
    structures, conditions, per_class
        Of the simulated training set; a user's own labelled stack may take its place.
    mitochondria
        Fields whose mitochondria, by their state, are the training set instead.
    renewed
        Simulate a new set for every epoch.
    epochs
        Passes over the training set; of `multi_reference`, iterations at full resolution.
    orientations
        In which `multi_reference` compares a class: fewer make a smaller, faster, less right file.
    density_weight
        Of the structure's density, which a decoder is asked for in training beside the class
        (`models.density_teaching`); 0 for none.
    mirrored
        Show mirror images too: for what has no hand, as organelles.
    precision
        Of the products of a training step: `bfloat16` is faster on processors that have it.
    int8
        Write `NAME-int8` beside it, with convolutions of eight bits (`models.classifier_int8`).
    start_from, teacher
        Finished classifiers: whose weights training starts with where the layers are the same;
        whose logits are taught.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    task: Literal["classification"]
    architecture: str
    box_vox: int = Field(gt=0)
    voxel_size_nm: float = Field(gt=0)
    structures: StructureSet = StructureSet()
    conditions: Conditions = Conditions()
    per_class: int = Field(default=200, gt=1)
    mitochondria: PoolRecipe | None = None
    renewed: bool = False
    epochs: int = Field(gt=0)
    batch: int = Field(default=32, gt=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    patience: int = Field(default=0, ge=0)
    augment: bool = True
    mirrored: bool = False
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    precision: Precision = "float32"
    seed: int = 0
    orientations: int = Field(default=N_ORIENTATIONS, ge=100)
    density_weight: float = Field(default=0.0, ge=0)
    int8: bool = False
    start_from: str | None = None
    teacher: str | None = None
    teaching: Teaching = "softened"

    @model_validator(mode="after")
    def _check_network(self) -> "ClassifierRecipe":
        if self.architecture not in CLASSIFIERS:
            raise ValueError(
                f"no classifier '{self.architecture}': expected one of {', '.join(CLASSIFIERS)}"
            )
        if self.architecture == MULTI_REFERENCE and (meant := self._meant_for_training):
            raise ValueError(
                f"{', '.join(meant)}: {MULTI_REFERENCE} estimates its references, there is no "
                "training to change"
            )
        if self.architecture != MULTI_REFERENCE and self.orientations != N_ORIENTATIONS:
            raise ValueError(f"orientations: for {MULTI_REFERENCE} alone")
        if self.architecture == MULTI_REFERENCE and (self.box_vox % 2 or self.box_vox < LEAST_SIDE):
            raise ValueError(
                f"box_vox: {MULTI_REFERENCE} takes even boxes of {LEAST_SIDE} voxels or more, "
                f"found {self.box_vox}"
            )
        names = self.structures.known_names
        if len(set(names)) != len(names):
            raise ValueError("structures: two classes have one name")
        if NONE_OF_THESE in names:
            raise ValueError(f"structures: {NONE_OF_THESE} is what is no class; see n_strangers")
        if 0 < self.structures.n_unseen < LEAST_UNSEEN:
            raise ValueError(f"n_unseen: expected none or at least {LEAST_UNSEEN}")
        if self.teacher and self.structures.n_strangers:
            raise ValueError("n_strangers: a teacher does not speak of strangers")
        if self.teacher and self.renewed:
            raise ValueError("renewed: a teacher speaks of one set")
        if self.density_weight and (self.teacher or not self.architecture.startswith("compact")):
            raise ValueError("density_weight: for compact networks without a teacher")
        return self

    @property
    def _meant_for_training(self) -> list[str]:
        """What is asked for that only a trained network has."""
        asked = {
            "teacher": self.teacher,
            "start_from": self.start_from,
            "renewed": self.renewed,
            "mitochondria": self.mitochondria,
            "mirrored": self.mirrored,
            "density_weight": self.density_weight,
            "int8": self.int8,
            "precision": self.precision != "float32",
            "n_unseen": self.structures.n_unseen,
        }
        return [name for name, value in asked.items() if value]

    @property
    def fit_params(self) -> FitParams:
        """As training takes them."""
        return FitParams(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            optimiser=self.optimiser,
            patience=self.patience,
            augment=self.augment,
            mirrored=self.mirrored,
            label_smoothing=self.label_smoothing,
            precision=self.precision,
            seed=self.seed,
        )


def is_classifier(content: dict[str, Any]) -> bool:
    """Whether a recipe's file describes a classifier of subtomograms."""
    return content.get("task") == TASK


def read_classifier_recipe(name_or_path: str) -> ClassifierRecipe:
    """A shipped recipe by name, or a YAML file by path.

    Raises
    ------
    MissingFileError
        Neither exists.
    BadInputError
        Not YAML, or fields missing, unknown or out of range (all named).
    """
    return checked(name_or_path, recipe_content(name_or_path), ClassifierRecipe)
