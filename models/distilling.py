"""A small network taught by a large one: its logits, or its softened probabilities.

Guo et al. (2018), arXiv:1801.10597, regress the teacher's logits (as Ba and Caruana 2014,
arXiv:1312.6184); Hinton et al. (2015), arXiv:1503.02531, soften both and mix in the truth.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.data.arrays import Ints
from engine.errors import BadInputError
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import Objective

Teaching = Literal["logits", "softened"]
# Of the softened targets, the rest is the truth's: a teacher that is wrong in one of six holds its
# students back at 0.7, and not at this.
TAUGHT_SHARE = 0.3
SOFTENING = 3.0


def distillation_objective(taught: Tensor, teaching: Teaching) -> Objective:
    """Loss of a student whose teacher gave logits for the whole training part.

    Parameters
    ----------
    taught
        (n, classes), in the order of the training part. Augmented images are taught what the
        teacher said of the image as it is.

    Raises
    ------
    BadInputError
        Logits that are not finite or not (n, classes).
    """
    if taught.dim() != 2 or not torch.isfinite(taught).all():
        raise BadInputError(f"expected finite logits (n, classes), found {tuple(taught.shape)}")

    def regressed(logits: Tensor, _batch: LabelledSubtomograms, index: Ints) -> Tensor:
        return functional.mse_loss(logits, taught[torch.as_tensor(index)].to(logits))

    def softened(logits: Tensor, batch: LabelledSubtomograms, index: Ints) -> Tensor:
        targets = torch.softmax(taught[torch.as_tensor(index)].to(logits) / SOFTENING, dim=1)
        own = torch.log_softmax(logits / SOFTENING, dim=1)
        # The square keeps the gradient's size whatever the softening.
        copied = SOFTENING**2 * functional.kl_div(own, targets, reduction="batchmean")
        truth = functional.cross_entropy(logits, batch.kinds.to(logits.device))
        return TAUGHT_SHARE * copied + (1.0 - TAUGHT_SHARE) * truth

    return regressed if teaching == "logits" else softened
