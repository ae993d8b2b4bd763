"""A site's own tomograms with labels, whole or in part, as training material."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from engine.data.arrays import AnyArray, UInt8s
from engine.data.labels import CLASS_IDS
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError
from engine.physics.normalise import robust_centre_and_scale
from engine.segmentation.coarse import coarse_view
from engine.segmentation.inference import Network
from engine.segmentation.resampling import resample, resample_nearest, resampled_length
from models.recipe import Task
from models.training_pool import (
    COARSE_CLASSES,
    COARSE_NM,
    CONTEXT,
    DEPTH_FULL_SCALE_NM,
    FINE_BITS,
    FINE_NM,
    UNKNOWN_CLASS,
    write_member,
)

# In a label volume: nobody said what is there.
UNLABELLED = 255
# Label classes that each mask of the fine network is made of.
FINE_CLASSES = {
    "membrane": ("membrane", "outer_mitochondrial_membrane", "inner_mitochondrial_membrane"),
    "microtubule_core": ("microtubule",),
    "outer_mitochondrial_membrane": ("outer_mitochondrial_membrane",),
    "inner_mitochondrial_membrane": ("inner_mitochondrial_membrane",),
    "ribosome": ("ribosome",),
}


@dataclass(frozen=True)
class LabelledTomogram:
    """A tomogram and its labels.

    Attributes
    ----------
    labels
        (z, y, x) of the tomogram's shape: ids as in `labels.json`, 255 where nothing was labelled.
    """

    tomogram: Tomogram
    labels: AnyArray

    def __post_init__(self) -> None:
        name = self.tomogram.tomogram_id
        if self.labels.shape != self.tomogram.voxels.shape:
            raise BadInputError(
                f"{name}: labels of {self.labels.shape} voxels for a tomogram of "
                f"{self.tomogram.voxels.shape}"
            )
        unknown = set(np.unique(self.labels).tolist()) - {*CLASS_IDS.values(), UNLABELLED}
        if unknown:
            raise BadInputError(
                f"{name}: labels {sorted(unknown)[:5]} are no class; classes are "
                f"{', '.join(f'{number} {text}' for text, number in CLASS_IDS.items())}, "
                f"{UNLABELLED} not labelled"
            )


def write_labelled(
    folder: Path, labelled: Sequence[LabelledTomogram], task: Task, coarse: Network | None
) -> list[Path]:
    """Members of a pool, one a tomogram; what a whole set never labels is unknown everywhere.

    Parameters
    ----------
    coarse
        For a fine network that is shown its outputs.
    """
    present = {
        name
        for name, number in CLASS_IDS.items()
        if any((one.labels == number).any() for one in labelled)
    }
    paths = []
    for one in labelled:
        path = folder / one.tomogram.tomogram_id
        if not path.is_dir():
            arrays = _coarse_arrays(one) if task == "coarse" else _fine_arrays(one, present)
            if coarse is not None and task == "fine":
                view = coarse_view(one.tomogram, coarse, lambda fraction: None)
                arrays["fine_context"] = view.context(CONTEXT).codes
            write_member(path, arrays)
        paths.append(path)
    return paths


def _signal(tomogram: Tomogram, ratio: float) -> AnyArray:
    image = resample(tomogram.voxels, ratio)
    centre, scale = robust_centre_and_scale(image)
    return ((image - centre) / scale).astype(np.float16)


def _fine_arrays(one: LabelledTomogram, present: set[str]) -> dict[str, AnyArray]:
    ratio = 10.0 * FINE_NM / one.tomogram.voxel_size_angst
    signal = _signal(one.tomogram, ratio)
    masks, known = np.zeros(signal.shape, np.uint8), np.zeros(signal.shape, np.uint8)
    said = resample((one.labels != UNLABELLED).astype(np.uint8), ratio) > 0.5
    for output, names in FINE_CLASSES.items():
        if not present.intersection(names):
            continue
        own = np.isin(one.labels, [CLASS_IDS[name] for name in names])
        masks |= (resample(own.astype(np.uint8), ratio) > 0.5) * np.uint8(FINE_BITS[output])
        known |= said * np.uint8(FINE_BITS[output])
    return {"snr": np.array(1.0), "fine_signal": signal, "fine_masks": masks, "fine_known": known}


def _coarse_arrays(one: LabelledTomogram) -> dict[str, AnyArray]:
    ratio = 10.0 * COARSE_NM / one.tomogram.voxel_size_angst
    n_z, n_y, n_x = (resampled_length(n, ratio) for n in one.labels.shape)
    labels = resample_nearest(one.labels, (n_z, n_y, n_x), ratio)
    table = np.full(256, UNKNOWN_CLASS, dtype=np.uint8)
    for index, name in enumerate(COARSE_CLASSES):
        table[CLASS_IDS[name]] = index
    # Inside a mitochondrion its membranes are part of it.
    for name in ("outer_mitochondrial_membrane", "inner_mitochondrial_membrane"):
        table[CLASS_IDS[name]] = COARSE_CLASSES.index("mitochondrion")
    # Membranes, microtubules and ribosomes are no classes at this sampling.
    table[CLASS_IDS["microtubule"]] = table[CLASS_IDS["ribosome"]] = 0
    classes: UInt8s = table[labels]
    body = classes == COARSE_CLASSES.index("mitochondrion")
    depth = distance_transform_edt(np.pad(body, 1, mode="edge"))[1:-1, 1:-1, 1:-1] * COARSE_NM
    scaled = np.clip(depth / DEPTH_FULL_SCALE_NM * 255.0, 0.0, 255.0)
    return {
        "snr": np.array(1.0),
        "coarse_signal": _signal(one.tomogram, ratio),
        "coarse_labels": classes,
        "coarse_depth": scaled.astype(np.uint8),
    }
