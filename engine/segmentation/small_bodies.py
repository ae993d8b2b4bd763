"""What a small network of their own sees of bodies of a few tens of nanometres."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, UInt8s
from engine.data.tomogram import Tomogram
from engine.segmentation.context import Context
from engine.segmentation.inference import Network, OnProgress, network_image, run_tiled
from engine.segmentation.known_spectrum import Look
from engine.segmentation.logits import pack_logits
from engine.segmentation.tiling import Tile


@dataclass(frozen=True)
class SmallBodiesView:
    """The network's outputs over a whole tomogram.

    Attributes
    ----------
    codes
        By output: uint8 (z, y, x), logits as in `engine.segmentation.logits`.
    voxel_nm
        Of that grid; voxel i is centred on i * voxel_nm.
    thresholds
        Least probabilities that the network's card names, by output.
    """

    codes: Mapping[str, UInt8s]
    voxel_nm: float
    thresholds: Mapping[str, float]


def small_bodies_view(
    tomogram: Tomogram,
    network: Network,
    context: Context,
    on_progress: OnProgress,
    look: Look | None = None,
) -> SmallBodiesView:
    """Run the network of small bodies over a whole tomogram.

    Memory: a byte a voxel and output at the network's sampling, and one tile.

    Parameters
    ----------
    context
        The outputs of the coarse network that this one is shown.
    look
        What the network is shown in place of the voxels.
    """
    spec = network.spec
    own = Look(tomogram.voxels, tomogram.voxel_size_angst / 10.0)
    image, centre, scale = network_image(look or own, spec)
    codes = {name: np.empty(image.shape, dtype=np.uint8) for name in spec.outputs}

    def keep(tile: Tile, outputs: Float32s) -> None:
        for name, values in zip(spec.outputs, outputs, strict=True):
            codes[name][tile.core] = pack_logits(values)

    run_tiled(
        network, image, keep, centre=centre, scale=scale, on_progress=on_progress,
        beside=lambda box: context.at(box, spec.voxel_size_nm),
    )  # fmt: skip
    return SmallBodiesView(codes, spec.voxel_size_nm, spec.mask_thresholds)
