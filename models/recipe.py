"""What a network is trained on and how: one YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from engine.errors import BadInputError, MissingFileError

Task = Literal["coarse", "fine"]

# Sampling of the pool's volumes for each task.
TASK_NM: dict[Task, float] = {"coarse": 6.4, "fine": 2.4}
RECIPES_FOLDER = Path(__file__).parent / "recipes"
CLASSIFIERS_FOLDER = RECIPES_FOLDER / "classifiers"
AnyModel = TypeVar("AnyModel", bound=BaseModel)


class PoolRecipe(BaseModel):
    """The simulated tomograms that patches are cut from.

    Attributes
    ----------
    kinds
        Scenes in turn.
    tubules, matrix_granules, steep, granule_rows, mitochondrion_states
        See `engine.simulation.params.with_extras`.
    context_model
        Shipped coarse network whose outputs are kept as context for a fine one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    families: tuple[Literal["A", "B"], ...] = ("A", "B")
    n_tomograms: int
    shape: tuple[int, int, int]
    snr_range: tuple[float, float]
    mean_mitochondria: float
    mean_microtubules: float
    seed: int
    kinds: tuple[Literal["platelet", "neurite", "cilia"], ...] = ("platelet",)
    context_model: str | None = None
    tubules: bool = False
    matrix_granules: bool = False
    mitochondrion_states: bool = False
    steep: bool = False
    granule_rows: bool = False


class Recipe(BaseModel):
    """One training run; families C and above are refused: they are held out.

    Attributes
    ----------
    patches
        Sizes (z, y, x) in voxels; each step draws one.
    snr_range
        Signal and noise of a patch are mixed at an SNR from this range, uniform in its logarithm.
    signal_tilt
        Of the signal's spectrum, see `models.patches.mixed`: a phase plate lifts what is large by
        about the inverse of the frequency over what defocus passes.
    bfloat16
        Compute in bfloat16 where that is allowed (weights and losses stay float32). On CPUs,
        patches must then keep at least four voxels a side at the deepest level: with two, torch
        2.13 returns weight gradients from memory that was never written.
    voxel_size_nm
        That of the task, or a whole multiple of it for a fine network.
    context
        Outputs of the coarse network that a fine one is shown beside the density.
    start_from
        Finished network whose weights training starts with, where the layers are the same, or
        several of one shape, whose weights are averaged.
    teacher
        Finished network, shown the same, whose probabilities are taught beside the truth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    task: Task
    architecture: str
    channels: tuple[int, ...]
    voxel_size_nm: float
    outputs: tuple[str, ...]
    pool: PoolRecipe
    patches: tuple[tuple[int, int, int], ...]
    snr_range: tuple[float, float]
    signal_tilt: float = 0.5
    bfloat16: bool = False
    batch: int
    steps: int
    learning_rate: float
    seed: int
    context: tuple[str, ...] = ()
    start_from: str | tuple[str, ...] | None = None
    teacher: str | None = None

    @property
    def binning(self) -> int:
        """Voxels of its task's sampling along the side of one of the network's own."""
        return round(self.voxel_size_nm / TASK_NM[self.task])

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Networks that training starts from, none or more."""
        if self.start_from is None or isinstance(self.start_from, str):
            return (self.start_from,) if self.start_from else ()
        return self.start_from

    @model_validator(mode="after")
    def _check_sampling(self) -> "Recipe":
        own = self.binning * TASK_NM[self.task]
        if self.binning < 1 or abs(own - self.voxel_size_nm) > 1e-6:
            raise ValueError(
                f"voxel_size_nm is {self.voxel_size_nm}: expected {TASK_NM[self.task]} or a "
                "multiple of it"
            )
        if self.task == "coarse" and self.binning > 1:
            raise ValueError("voxel_size_nm: a coarse network is never binned")
        return self


def read_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or a YAML file by path; its pool may be another recipe's, by name.

    Raises
    ------
    MissingFileError
        Neither exists.
    BadInputError
        Not YAML, or fields missing, unknown or out of range (all named).
    """
    content = recipe_content(name_or_path)
    if isinstance(content.get("pool"), str):
        content["pool"] = read_recipe(content["pool"]).pool
    return checked(name_or_path, content, Recipe)


def recipe_content(name_or_path: str) -> dict[str, Any]:
    """What the file of a recipe says, unchecked.

    Raises
    ------
    MissingFileError
        Neither a shipped recipe nor a file.
    BadInputError
        Not YAML, or no mapping.
    """
    shipped = [folder / f"{name_or_path}.yaml" for folder in (RECIPES_FOLDER, CLASSIFIERS_FOLDER)]
    path = next((one for one in (*shipped, Path(name_or_path)) if one.is_file()), None)
    if path is None:
        known = ", ".join(sorted(one.stem for one in RECIPES_FOLDER.rglob("*.yaml")))
        raise MissingFileError(
            f"no recipe '{name_or_path}': give a YAML file or one of the shipped recipes ({known})"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInputError(f"{path.name}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadInputError(f"{path.name}: expected fields with values")
    return content


def checked(name_or_path: str, content: Mapping[str, Any], kind: type[AnyModel]) -> AnyModel:
    """A recipe of a kind; every fault is named.

    Raises
    ------
    BadInputError
        Fields missing, unknown or out of range.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), _said(fault["msg"]))))
            for fault in error.errors()
        )
        raise BadInputError(f"{Path(name_or_path).name}: {faults}") from error


def _said(message: str) -> str:
    """Our own words without what pydantic puts before them."""
    return message.removeprefix("Value error, ")
