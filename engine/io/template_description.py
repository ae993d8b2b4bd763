"""What `NAME.yaml` of a library template says, and whether it makes sense."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.data.template import SYMMETRY
from engine.errors import BadInputError

FORMAT_KEY = "tomodx_template"
SHA256 = r"^[0-9a-f]{64}$"
LARGEST_BYTES = 1 << 20


class InputFile(BaseModel):
    """A file that went into a template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str = Field(pattern=SHA256)


class TemplateDescription(BaseModel):
    """The description beside a map: its values, its files' hashes, where it comes from."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    tomodx_template: Literal[1]
    template_id: str = Field(min_length=1)
    voxel_size_angst: float = Field(gt=0)
    box_vox: int = Field(gt=0)
    symmetry: str = Field(pattern=SYMMETRY.pattern)
    radius_angst: float = Field(gt=0)
    mass_kda: float | None = Field(default=None, gt=0)
    hand: Literal["as_given", "mirrored"]
    source_contrast: Literal["bright", "dark"] | None = None
    resolution_angst: float | None = Field(default=None, gt=0)
    source: str = ""
    source_sha256: str | None = Field(default=None, pattern=SHA256)
    map_sha256: str = Field(pattern=SHA256)
    mask_sha256: str = Field(pattern=SHA256)
    software_version: str
    parameters_sha256: str
    inputs: tuple[InputFile, ...] = ()
    simulated: bool = False


def read_description(path: Path) -> TemplateDescription | None:
    """Read a description; None where the file is absent or of another program.

    Raises
    ------
    BadInputError
        A description of ours that is damaged.
    """
    if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _damaged(path, "a file that is no YAML") from error
    if not isinstance(content, dict) or FORMAT_KEY not in content:
        return None
    try:
        return TemplateDescription.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{where}: {first['msg']}") from error


def description_text(description: TemplateDescription) -> str:
    """Give the description as YAML, in the order of its fields."""
    return yaml.safe_dump(description.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _damaged(path: Path, found: str) -> BadInputError:
    return BadInputError(
        f"{path.name}: expected the description of a template, found {found}; make the template "
        "again",
        path=str(path),
    )
