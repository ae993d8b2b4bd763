"""Generator of pseudo-structures and its critic: small networks on 32^3 densities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE_VOX = 32
COARSE_VOX = 4
N_LEVELS = 3
LEAK = 0.2
# Before the softplus: the untrained background is near 0.05, not 0.7 of the unit maximum.
BACKGROUND_SHIFT = 3.0


class _ModulatedConvolution(nn.Module):
    """3^3 convolution, unit length over channels, gain and offset from the latent."""

    def __init__(self, n_in: int, n_out: int, n_latent: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(n_in, n_out, 3, padding=1)
        self.modulation = nn.Linear(n_latent, 2 * n_out)

    def forward(self, features: Tensor, latent: Tensor) -> Tensor:
        raised = functional.leaky_relu(self.convolution(features), LEAK)
        length = torch.sqrt((raised * raised).mean(dim=1, keepdim=True) + 1e-6)
        gain, offset = self.modulation(latent)[:, :, None, None, None].chunk(2, dim=1)
        modulated: Tensor = raised / length * (1.0 + gain) + offset
        return modulated


class PseudoStructureGenerator(nn.Module):
    """Densities (n, 32, 32, 32), at least 0, of latents (n, n_latent).

    After Wang et al. (2018), BMVC (32^3 variant). Departures: nearest-neighbour upsampling and
    convolution instead of transposed convolutions (no checkerboard), unit feature length instead
    of BatchNorm (a sample does not depend on its batch), the latent modulates every level, and
    a softplus instead of tanh (a density has no negative values).

    Parameters
    ----------
    n_latent
        Independent standard normal numbers a structure is made of.
    channels
        At 4, 8, 16 and 32 voxels.
    """

    def __init__(self, n_latent: int = 64, channels: Sequence[int] = (64, 64, 24, 12)) -> None:
        super().__init__()
        if len(channels) != N_LEVELS + 1:
            raise ValueError(f"expected channels of {N_LEVELS + 1} levels, found {len(channels)}")
        self.n_latent = n_latent
        self.coarse_channels = channels[0]
        self.entry = nn.Linear(n_latent, channels[0] * COARSE_VOX**3)
        self.levels = nn.ModuleList(
            _ModulatedConvolution(a, b, n_latent)
            for a, b in zip((channels[0], *channels[:-1]), channels, strict=True)
        )
        self.smoothing = _ModulatedConvolution(channels[-1], channels[-1], n_latent)
        self.head = nn.Conv3d(channels[-1], 1, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """Densities (n, z, y, x) of standard normal latents (n, n_latent)."""
        shape = (-1, self.coarse_channels, COARSE_VOX, COARSE_VOX, COARSE_VOX)
        features = functional.leaky_relu(self.entry(latent), LEAK).reshape(shape)
        for index, level in enumerate(self.levels):
            if index > 0:
                features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(features, latent)
        logits = self.head(self.smoothing(features, latent))[:, 0]
        return functional.softplus(logits - BACKGROUND_SHIFT)


class PseudoStructureCritic(nn.Module):
    """Wasserstein critic of densities: strided convolutions, no normalisation.

    A gradient penalty is per sample, so nothing here may couple the samples of a batch; hence
    also no minibatch discrimination (a departure from Wang et al. 2018).

    Parameters
    ----------
    channels
        At 16, 8, 4 and 2 voxels.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 1
        for n_out in channels:
            layers += [nn.Conv3d(n_in, n_out, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
            n_in = n_out
        self.trunk = nn.Sequential(*layers)
        side = SIDE_VOX // 2 ** len(channels)
        self.head = nn.Linear(n_in * side**3, 1)

    def forward(self, densities: Tensor) -> Tensor:
        """Scores (n,) of densities (n, z, y, x)."""
        scores: Tensor = self.head(self.trunk(densities[:, None]).flatten(1))
        return scores[:, 0]
