"""What the fine network says of a tomogram, kept small: its grid may be larger than the input."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, UInt8s
from engine.data.tomogram import Tomogram
from engine.segmentation.bit_volume import BitVolume
from engine.segmentation.context import Context
from engine.segmentation.inference import Network, OnProgress, network_image, run_tiled
from engine.segmentation.known_spectrum import Look
from engine.segmentation.logits import code_of, pack_logits
from engine.segmentation.resampling import nearest_index
from engine.segmentation.tiling import Tile

CORE_OUTPUT = "microtubule_core"


@dataclass(frozen=True)
class FineView:
    """What is kept of the fine network's outputs.

    Attributes
    ----------
    core
        uint8 (z, y, x) on the network's grid: codes of the logits (`logits.py`) of microtubule
        cores, for tracing.
    core_voxel_nm
        Of that grid.
    masks
        On the tomogram's grid: where the other outputs are likelier than the threshold.
    """

    core: UInt8s
    core_voxel_nm: float
    masks: Mapping[str, BitVolume]


def fine_view(
    tomogram: Tomogram,
    network: Network,
    context: Context,
    threshold: float,
    on_progress: OnProgress,
    look: Look | None = None,
) -> FineView:
    """Run the fine network over the whole tomogram.

    Parameters
    ----------
    context
        The outputs of the coarse network that the fine one is shown.
    threshold
        Probability from which a voxel is in a mask whose network names no other.
    look
        What the network is shown in place of the voxels, see
        `engine.segmentation.known_spectrum.as_known`.
    """
    voxel_nm = tomogram.voxel_size_angst / 10.0
    image, centre, scale = network_image(look or Look(tomogram.voxels, voxel_nm), network.spec)
    index = {name: n for n, name in enumerate(network.spec.outputs)}
    n_z, n_y, n_x = tomogram.voxels.shape
    core = np.empty(image.shape, dtype=np.uint8)
    masks = {
        name: BitVolume((n_z, n_y, n_x)) for name in network.spec.outputs if name != CORE_OUTPUT
    }
    level = {name: code_of(network.spec.mask_thresholds.get(name, threshold)) for name in masks}
    # The fine voxel of every voxel of the tomogram.
    ratio = voxel_nm / network.spec.voxel_size_nm
    nearest = [nearest_index(n, ratio, core.shape[axis]) for axis, n in enumerate((n_z, n_y, n_x))]

    def keep(tile: Tile, outputs: Float32s) -> None:
        """Core as it is; masks where voxels of the tomogram lie nearest to this tile's."""
        core[tile.core] = pack_logits(outputs[index[CORE_OUTPUT]])
        z, y, x = (
            slice(*np.searchsorted(voxels, (part.start, part.stop)))
            for voxels, part in zip(nearest, tile.core, strict=True)
        )
        within = [
            voxels[own] - part.start
            for voxels, own, part in zip(nearest, (z, y, x), tile.core, strict=True)
        ]
        for name, mask in masks.items():
            inside = pack_logits(outputs[index[name]]) >= level[name]
            mask.write((z, y, x), inside[np.ix_(*within)])

    run_tiled(
        network, image, keep, centre=centre, scale=scale, on_progress=on_progress,
        beside=lambda box: context.at(box, network.spec.voxel_size_nm),
    )  # fmt: skip
    return FineView(core, network.spec.voxel_size_nm, masks)
