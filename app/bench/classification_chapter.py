"""The networks of the chapter on the ten classes: how each is trained, and their rows."""

from dataclasses import replace

from torch import nn

from app.bench.classification_runs import Runs, accuracy_row, right
from app.bench.classification_sets import (
    BOX_VOX,
    SNR,
    TRAIN_EACH,
    TRAINING,
    VIEWS,
    View,
    made_set,
)
from app.bench.result import BenchRow
from models.arithmetic import multiply_adds, n_weights
from models.classifier_training import FitParams, Fitted

CHAPTER = (
    "inception3d", "dsrf3d", "dsrf3d_v2", "rb3d", "cb3d", "dsrf3d_v2_s1", "dsrf3d_v2_s2",
    "dsrf3d_v2_s3",
)  # fmt: skip
# As many epochs as ours and the same changes of images, and AdamW with one cycle in the place of
# the publications' SGD. They have no BatchNorm, so that the rate is lower. With sixteen bits in the
# products a step takes 0.45 to 0.85 of the time.
PAPERS = FitParams(
    epochs=24, learning_rate=1e-3, label_smoothing=0.0, patience=6, precision="bfloat16"
)
# The deep ones die at that rate (every answer the same after 60 batches; at this one they learn).
PAPERS_DEEP = replace(PAPERS, learning_rate=3e-4)
DEEP = ("dsrf3d", "dsrf3d_v2", "rb3d", "cb3d")
# From random weights they stay at chance at SNR 0.1: they are shown clear subtomograms first.
CLEAR_FIRST = ("dsrf3d", "dsrf3d_v2", "cb3d")
CLEAR_SNR, CLEAR_EPOCHS, EPOCHS_AFTER = 1.0, 6, 12


def papers_params(name: str) -> FitParams:
    """How a network of the chapter is trained."""
    return PAPERS_DEEP if name in DEEP else PAPERS


def key_of(name: str, view: View) -> str:
    """Folder of a network of the chapter in the work folder."""
    return f"{name}{view.suffix}-0"


def chapter_network(runs: Runs, name: str, view: View) -> Fitted:
    """A network on the first training set; some begin with as many clear subtomograms."""
    params = papers_params(name)
    if name not in CLEAR_FIRST:
        return runs.trained(name, 0, params, view=view)

    def begin(network: nn.Module) -> None:
        """With what clear subtomograms taught."""
        conditions = view.conditions.model_copy(update={"snr_range": (CLEAR_SNR, CLEAR_SNR)})
        clear = runs.trained(
            name, 0, replace(params, epochs=CLEAR_EPOCHS, patience=0),
            key=f"{name}-clear{view.suffix}-0",
            data=made_set(runs.material.known, conditions, TRAIN_EACH, (TRAINING, 400)),
        )  # fmt: skip
        network.load_state_dict(clear.network.state_dict())

    return runs.trained(name, 0, replace(params, epochs=EPOCHS_AFTER), view=view, start=begin)


def chapter_rows(runs: Runs) -> list[BenchRow]:
    """The networks of the chapter, on the first training set."""
    return [
        _chapter_row(runs, name, view)
        for view in VIEWS
        for name in CHAPTER
        if runs.has(name, key_of(name, view))
    ]


def _chapter_row(runs: Runs, name: str, view: View) -> BenchRow:
    fitted, n_classes = chapter_network(runs, name, view), len(runs.material.known)
    first = (
        f" after {CLEAR_EPOCHS} of SNR {CLEAR_SNR:g}, not {SNR:g}" if name in CLEAR_FIRST else ""
    )
    return accuracy_row(
        f"accuracy_of_{name}{view.suffix}", [right(fitted.network, runs.test(view))],
        baseline=f"{multiply_adds(name, BOX_VOX, n_classes) / 1e6:.0f} million multiply-adds, "
        f"{n_weights(name, BOX_VOX, n_classes):,} weights, {len(fitted.losses)} epochs{first}",
    )  # fmt: skip
