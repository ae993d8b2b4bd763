"""A diagnostic panel: versioned rules with their sources, read from YAML and checked once."""

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import yaml

from diagnostics.features.table import feature_named
from diagnostics.packaged import packaged_text
from engine.errors import BadInputError

ModelName = Literal["lda", "firth"]
Status = Literal["verified", "unverified"]


@dataclass(frozen=True)
class Statement:
    """One clinical statement; an unverified one is always printed with its status."""

    text: str
    source: str
    status: Status

    @property
    def printed(self) -> str:
        """The text, with its status where nobody here has verified it in the source."""
        return self.text if self.status == "verified" else f"{self.text} [unverified]"


@dataclass(frozen=True)
class Panel:
    """What is measured, which groups are told apart, by which model, on whose word.

    Attributes
    ----------
    features
        Names of the model's features, in the order of its coefficients.
    supporting
        Features that are reported but do not move the model.
    comparability
        Features of the recording; outside the range of the cohort the model abstains.
    positive_group, control_groups
        Values of the cohort's `group` column.
    threshold
        Model probability from which a case reads as positive; fixed before any case is seen.
    min_tomograms
        Fewer than this and the case is flagged.
    """

    name: str
    version: str
    title: str
    intended_use: str
    citation: str
    doi: str
    features: tuple[str, ...]
    supporting: tuple[str, ...]
    comparability: tuple[str, ...]
    positive_group: str
    control_groups: tuple[str, ...]
    group_labels: tuple[tuple[str, str], ...]
    model: ModelName
    threshold: float
    min_tomograms: int
    statements: tuple[Statement, ...]

    def __post_init__(self) -> None:
        for name in (*self.features, *self.supporting, *self.comparability):
            feature_named(name)
        if not self.features or not 0.0 < self.threshold < 1.0:
            raise BadInputError(
                f"panel {self.name}: expected at least one feature and a threshold within (0, 1), "
                f"found {len(self.features)} features and threshold {self.threshold}"
            )
        if self.positive_group in self.control_groups or not self.control_groups:
            raise BadInputError(f"panel {self.name}: control groups must differ from the positive")

    @property
    def groups(self) -> tuple[str, ...]:
        """The positive group first, then the controls."""
        return (self.positive_group, *self.control_groups)

    def group_label(self, group: str) -> str:
        """Plain words for a group; the group itself where none are given."""
        return dict(self.group_labels).get(group, group)


def _statement(raw: dict[str, Any]) -> Statement:
    if raw.get("status") not in get_args(Status):
        raise BadInputError(f"a panel statement needs a status of {get_args(Status)}, found {raw}")
    return Statement(str(raw["text"]), str(raw["source"]), cast("Status", raw["status"]))


def panel_from_yaml(text: str) -> Panel:
    """Parse and check the rules of one panel; BadInputError names what is wrong."""
    try:
        raw: dict[str, Any] = yaml.safe_load(text)
        if raw["model"] not in get_args(ModelName):
            raise BadInputError(f"panel model must be one of {get_args(ModelName)}")
        return Panel(
            name=str(raw["name"]),
            version=str(raw["version"]),
            title=str(raw["title"]),
            intended_use=str(raw["intended_use"]),
            citation=str(raw["source"]["citation"]),
            doi=str(raw["source"]["doi"]),
            features=tuple(raw["features"]),
            supporting=tuple(raw["supporting"]),
            comparability=tuple(raw["comparability"]),
            positive_group=str(raw["positive_group"]),
            control_groups=tuple(raw["control_groups"]),
            group_labels=tuple((str(k), str(v)) for k, v in raw["group_labels"].items()),
            model=raw["model"],
            threshold=float(raw["threshold"]),
            min_tomograms=int(raw["min_tomograms"]),
            statements=tuple(_statement(item) for item in raw["statements"]),
        )
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise BadInputError(f"a panel file lacks or garbles a field: {error}") from error


def read_panel(file_name: str) -> Panel:
    """The panel in a YAML file beside this module."""
    return panel_from_yaml(packaged_text("panels", file_name))
