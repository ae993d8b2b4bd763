"""A classifier that is also asked, while it learns, what the structure looks like.

A class is a few bits a subtomogram; the density behind the noise is thousands. The decoder hangs
at the end of the features, without a way around them, and is thrown away after training.
"""

from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Ints
from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import Objective
from models.multi_task_training import DENSITY

# Channels of the decoder at a quarter and at half of the sampling.
WIDE, NARROW = 48, 16
# Voxels of an image along one of the decoded density.
COARSENED = 2


class WithDecoder(nn.Module):
    """A compact network with a decoder: in training both answers, else logits alone.

    Parameters
    ----------
    network
        Its last features lie at an eighth of the sampling; box sides are multiples of eight.
    """

    def __init__(self, network: Compact) -> None:
        super().__init__()
        self.network = network
        self.decoder = nn.Sequential(
            nn.ConvTranspose3d(network.widths[-1], WIDE, 2, 2), nn.BatchNorm3d(WIDE), nn.ReLU(),
            nn.Conv3d(WIDE, WIDE, 3, padding=1), nn.BatchNorm3d(WIDE), nn.ReLU(),
            nn.ConvTranspose3d(WIDE, NARROW, 2, 2), nn.BatchNorm3d(NARROW), nn.ReLU(),
            nn.Conv3d(NARROW, NARROW, 3, padding=1), nn.BatchNorm3d(NARROW), nn.ReLU(),
            nn.Conv3d(NARROW, 1, 1),
        )  # fmt: skip

    def forward(self, volumes: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (n, classes); in training with densities (n, 1, z, y, x) at half the sampling."""
        channels = self.network.layers(volumes)
        logits = self.network.classified(self.network.pooled(channels))
        return (logits, self.decoder(channels)) if self.training else logits


def density_objective(weight: float, label_smoothing: float) -> Objective:
    """Cross-entropy, and the share of the density's variance that the decoder misses."""

    def loss(outputs: tuple[Tensor, Tensor], batch: LabelledSubtomograms, _index: Ints) -> Tensor:
        """Of one batch, a scalar."""
        logits, found = outputs
        kinds = batch.kinds.to(logits.device)
        named = functional.cross_entropy(logits, kinds, label_smoothing=label_smoothing)
        assert batch.targets is not None
        density = batch.targets[:, DENSITY : DENSITY + 1].to(found)
        wanted = functional.avg_pool3d(density, COARSENED)
        missed = functional.mse_loss(found, wanted) / wanted.var().clamp_min(1e-6)
        return named + weight * missed

    return loss


def without_decoder(trained: nn.Module) -> nn.Module:
    """The network that is kept."""
    assert isinstance(trained, WithDecoder)
    kept: nn.Module = trained.network
    return kept.eval()
