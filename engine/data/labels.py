"""Label and instance volumes and the class table that both share."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import UInt8s, UInt16s, read_only
from engine.data.organelles import Organelle
from engine.errors import BadInputError

# The id of a class never changes once shipped: label files outlive versions.
CLASS_NAMES: dict[int, str] = {
    0: "background",
    1: "void",
    2: "mitochondrion",
    3: "alpha_granule",
    4: "dense_granule",
    5: "vesicle",
    6: "membrane",
    7: "microtubule",
    8: "artefact",
    9: "outer_mitochondrial_membrane",
    10: "inner_mitochondrial_membrane",
    11: "ribosome",
}
CLASS_IDS: dict[str, int] = {name: class_id for class_id, name in CLASS_NAMES.items()}
INSTANCE_CLASSES = ("mitochondrion", "alpha_granule", "dense_granule", "vesicle")
# Of mitochondria, in the order of the alphabet.
NORMAL_STATE, ROUND_CRISTA_POOR, SWOLLEN = "normal", "round_crista_poor", "swollen"
MITOCHONDRION_STATES = (NORMAL_STATE, ROUND_CRISTA_POOR, SWOLLEN)


@dataclass(frozen=True)
class LabelVolume:
    """Class of every voxel: uint8 (z, y, x), ids of `CLASS_NAMES`, 0 = cytoplasm/background."""

    labels: UInt8s
    voxel_size_angst: float

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8 or self.labels.ndim != 3:
            raise BadInputError(
                f"labels must be uint8 (z, y, x), found {self.labels.dtype} {self.labels.shape}"
            )
        object.__setattr__(self, "labels", read_only(self.labels))


@dataclass(frozen=True)
class InstanceVolume:
    """Instance id of every voxel: uint16 (z, y, x), 0 = none; `organelles[i]` has id i + 1."""

    ids: UInt16s
    voxel_size_angst: float
    organelles: tuple[Organelle, ...]

    def __post_init__(self) -> None:
        if self.ids.dtype != np.uint16 or self.ids.ndim != 3:
            raise BadInputError(
                f"instance ids must be uint16 (z, y, x), found {self.ids.dtype} {self.ids.shape}"
            )
        object.__setattr__(self, "ids", read_only(self.ids))
