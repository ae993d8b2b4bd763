"""What `tomodx simulate` draws: one YAML file."""

from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import BadInputError, MissingFileError
from engine.simulation.params import Family, SimulationParams, draw_acquisition, draw_scene

RECIPES_FOLDER = Path(__file__).parent / "recipes"


class SimulationRecipe(BaseModel):
    """A set of platelet-like tomograms; absent values are drawn from the family's ranges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Family = "A"
    n_tomograms: int = Field(1, ge=1, le=10_000)
    shape: tuple[int, int, int] = (96, 384, 384)
    voxel_size_nm: float | None = Field(None, ge=1.5, le=4.0)
    snr_range: tuple[float, float] = (0.05, 0.2)
    mean_mitochondria: float = Field(5.5, ge=0.0, le=12.0)
    mean_microtubules: float = Field(9.0, ge=0.0, le=60.0)
    seed: int = 1


def read_simulation_recipe(name_or_path: str) -> SimulationRecipe:
    """Read a shipped recipe by name or a YAML file by path.

    Raises
    ------
    MissingFileError
        Neither exists.
    BadInputError
        Not YAML, or fields unknown or out of range (all named).
    """
    path = RECIPES_FOLDER / f"{name_or_path}.yaml"
    path = path if path.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in RECIPES_FOLDER.glob("*.yaml")))
        raise MissingFileError(
            f"no recipe '{name_or_path}': give a YAML file or one of the shipped recipes ({known})"
        )
    try:
        recipe = SimulationRecipe.model_validate(
            yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path.name}: not readable as YAML") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise BadInputError(f"{path.name}: {faults}") from error
    low, high = recipe.snr_range
    if not 0 < low <= high or min(recipe.shape) < 32 or max(recipe.shape) > 1024:
        raise BadInputError(
            f"{path.name}: snr_range must be positive and ascending, sides within 32..1024; "
            f"found {recipe.snr_range} and {recipe.shape}"
        )
    return recipe


def member_params(recipe: SimulationRecipe, index: int) -> tuple[SimulationParams, int]:
    """Parameters and seed of tomogram `index`; they depend on the recipe's seed and index alone."""
    rng = np.random.default_rng([recipe.seed, index])
    acquisition = draw_acquisition(
        recipe.family, rng, snr_range=recipe.snr_range, voxel_size_nm=recipe.voxel_size_nm
    )
    scene = draw_scene(
        rng,
        recipe.shape,
        acquisition.voxel_size_nm,
        family=recipe.family,
        mean_mitochondria=recipe.mean_mitochondria,
        mean_microtubules=recipe.mean_microtubules,
    )
    return SimulationParams(scene, acquisition), int(rng.integers(2**31))
