"""A finished classifier with convolutions of eight bits, where accuracy allows it."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor

from engine.classification.classifier import INPUT, SubtomogramClassifier
from engine.data.arrays import Float32s
from engine.segmentation.network_files import MODEL_FILE, read_card
from models.classifier_data import LabelledSubtomograms, stack_of
from models.onnx_export import ParityError
from models.writing import write_card

# Of accuracy, on what training held out.
LARGEST_LOSS = 0.005
SUFFIX = "-int8"
BATCH, MOST_SHOWN = 32, 512


class _Shown(CalibrationDataReader):  # type: ignore[misc]
    """Batches of subtomograms that ranges of activations are taken from."""

    def __init__(self, images: Float32s) -> None:
        self._batches = iter(
            [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        )

    def get_next(self) -> dict[str, Float32s] | None:
        """The next batch by the input's name; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def write_int8(folder: Path, shown: Tensor, held_out: LabelledSubtomograms) -> dict[str, float]:
    """Write `NAME-int8` beside a finished classifier.

    Weights of convolutions have one scale a channel, activations one a layer (asymmetric); what
    follows them (embedding, logits, distance) stays float32.

    Parameters
    ----------
    shown
        (n, 1, z, y, x), normalised: ranges of activations are taken from the first of these.
    held_out
        Decides: what neither training nor `shown` holds.

    Returns
    -------
    dict
        Accuracy of both, as deployed, and share of its file's size.

    Raises
    ------
    ParityError
        It loses more than half a point of accuracy; nothing is left of it.
    """
    target = folder.with_name(folder.name + SUFFIX)
    target.mkdir(parents=True, exist_ok=True)
    with _without_advice():
        quantize_static(
            folder / MODEL_FILE,
            target / MODEL_FILE,
            _Shown(shown[:MOST_SHOWN].numpy()),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    card = read_card(folder)
    write_card(target, {**card, "name": target.name})
    before, after = (_accuracy(one, card, held_out) for one in (folder, target))
    if before - after > LARGEST_LOSS:
        shutil.rmtree(target)
        raise ParityError(
            f"{target.name}: eight bits lose {before - after:.3f} of accuracy, allowed is "
            f"{LARGEST_LOSS}; {folder.name} stays as it is"
        )
    metrics = {**_metrics(card), "accuracy": after, "accuracy-float32": before}
    quantised = {"from": folder.name, "of": "convolutions", "largest_loss": LARGEST_LOSS}
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    write_card(target, {**card, "name": target.name, "metrics": rounded, "quantised": quantised})
    sizes = [(one / MODEL_FILE).stat().st_size for one in (target, folder)]
    return {
        "int8-accuracy": after,
        "float32-accuracy": before,
        "int8-share-of-size": sizes[0] / sizes[1],
    }


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without the warnings that recommend a step which the export has done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _metrics(card: Mapping[str, object]) -> dict[str, float]:
    metrics = card.get("metrics")
    return dict(metrics) if isinstance(metrics, Mapping) else {}


def _accuracy(folder: Path, card: Mapping[str, object], held_out: LabelledSubtomograms) -> float:
    """Share named right by the runtime that deploys it."""
    held_out = held_out.of_known()
    stack = stack_of(held_out.images, float(str(card["voxel_size_nm"])))
    kinds = SubtomogramClassifier(folder, "cpu").classify(stack).kinds
    return float((kinds == held_out.kinds.numpy()).mean())
