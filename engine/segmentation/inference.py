"""Networks run from ONNX files: OpenVINO on x86 CPUs, ONNX Runtime on CUDA and elsewhere."""

import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import onnxruntime
import openvino

from engine.data.arrays import Float32s
from engine.data.provenance import FileDigest
from engine.errors import ModelFileError
from engine.physics.normalise import MAX_SAMPLES, robust_centre_and_scale
from engine.segmentation.known_spectrum import Look, SpectrumRange
from engine.segmentation.mitochondrion_states import StateNetwork
from engine.segmentation.network_files import MODEL_FILE, NetworkSpec, read_network_spec
from engine.segmentation.ordinary import Ordinary
from engine.segmentation.resampling import ResampledVolume, Volume
from engine.segmentation.tiling import Box, Tile, cheapest_tile, plan_tiles

logger = logging.getLogger(__name__)

OnProgress = Callable[[float], None]
# A tile's activations take about 100 bytes a voxel: a gigabyte, whatever the volume.
LARGEST_TILE_VOX = 10_000_000


class Runtime(Protocol):
    """Runs one network on one tile."""

    name: str

    def run(self, tile: Float32s) -> Float32s:
        """Outputs (c, z, y, x) of a normalised tile (channels, z, y, x)."""
        ...

    def release_memory(self) -> None:
        """Give back what a tile needed; the next one takes it anew."""
        ...


class OpenVinoRuntime:
    """OpenVINO on the CPU, one compiled model per tile shape (static shapes run fastest)."""

    name = "openvino"

    def __init__(self, model_path: Path) -> None:
        self._core = openvino.Core()
        self._model = self._core.read_model(model_path)
        self._shape: tuple[int, ...] = ()
        self._request: openvino.InferRequest | None = None

    def run(self, tile: Float32s) -> Float32s:
        """Outputs (c, z, y, x) of a normalised tile (channels, z, y, x)."""
        shape = (1, *tile.shape)
        if self._request is None or shape != self._shape:
            self._model.reshape(list(shape))
            # The old one's memory goes first.
            self._request = None
            compiled = self._core.compile_model(self._model, "CPU", openvino_options())
            self._shape, self._request = shape, compiled.create_infer_request()
        self._request.infer([tile[None]])
        return np.asarray(self._request.get_output_tensor(0).data[0])

    def release_memory(self) -> None:
        """Give back the activations of both sides of the compiled network."""
        if self._request is not None:
            self._request.get_compiled_model().release_memory()


class OnnxRuntime:
    """ONNX Runtime on CUDA where it is asked for and present, otherwise on the CPU."""

    name = "onnxruntime"

    def __init__(self, model_path: Path, device: str) -> None:
        self._session = onnx_session(model_path, device)
        self._input = self._session.get_inputs()[0].name

    def run(self, tile: Float32s) -> Float32s:
        """Outputs (c, z, y, x) of a normalised tile (channels, z, y, x)."""
        outputs = self._session.run(None, {self._input: tile[None]})
        return np.asarray(outputs[0][0])

    def release_memory(self) -> None:
        """Nothing to do: the session keeps its arena as long as it lives."""


def available_cores() -> int:
    """Cores this process may use; `OMP_NUM_THREADS` lowers it, as for torch."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else cores


def cuda_is_present() -> bool:
    """True where ONNX Runtime was built for CUDA and finds it."""
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def openvino_options() -> dict[str, str]:
    """How every network is compiled."""
    # bf16 would be chosen silently where the CPU has it: labels must not depend on that.
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(available_cores()),
    }


def onnx_session(model_path: Path, device: str) -> onnxruntime.InferenceSession:
    """A network opened by ONNX Runtime, on CUDA where `device` is `cuda`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    providers = ["CPUExecutionProvider"]
    if device == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    return onnxruntime.InferenceSession(str(model_path), sess_options=options, providers=providers)


Place = Literal["openvino", "cpu", "cuda"]
Opened = TypeVar("Opened")


def open_where_fastest(model_path: Path, device: str, opener: Callable[[Place], Opened]) -> Opened:
    """Open a network by the fastest runtime for a device: `auto`, `cpu` or `cuda`.

    Parameters
    ----------
    opener
        Opens the file by OpenVINO, or by ONNX Runtime on the CPU or on CUDA.

    Raises
    ------
    ModelFileError
        `cuda` is asked for and absent, or the file is no ONNX network.
    """
    if device == "cuda" and not cuda_is_present():
        raise ModelFileError(
            "--device cuda: ONNX Runtime finds no CUDA here; use --device auto or cpu"
        )
    place: Place = "cpu"
    if device == "cuda" or (device == "auto" and cuda_is_present()):
        place = "cuda"
    elif platform.machine().lower() in ("x86_64", "amd64"):
        place = "openvino"
    try:
        return opener(place)
    except RuntimeError as error:
        raise ModelFileError(
            f"{model_path.parent.name}/{model_path.name}: not readable as an ONNX network"
        ) from error


def open_runtime(model_path: Path, device: str) -> Runtime:
    """Choose and open the fastest runtime for a device: `auto`, `cpu` or `cuda`.

    Raises
    ------
    ModelFileError
        `cuda` is asked for and absent, or the file is no ONNX network.
    """

    def opened(place: Place) -> Runtime:
        if place == "openvino":
            return OpenVinoRuntime(model_path)
        return OnnxRuntime(model_path, place)

    return open_where_fastest(model_path, device, opened)


@dataclass(frozen=True)
class Network:
    """An opened network.

    Attributes
    ----------
    largest_tile_vox
        Tiles hold no more voxels: memory, not results, depends on it.
    """

    spec: NetworkSpec
    runtime: Runtime
    largest_tile_vox: int = LARGEST_TILE_VOX


@dataclass(frozen=True)
class Networks:
    """The networks of an analysis.

    Attributes
    ----------
    small_bodies
        Finds ribosomes and matrix granules; None leaves them out.
    states
        Tells normal mitochondria from others; None leaves that out.
    ordinary
        What tomograms look like that they know; None leaves that doubt out.
    spectrum
        Where the power spectra of tomograms that they know lie; None shows them all as they are.
    """

    coarse: Network
    fine: Network
    ordinary: Ordinary | None = None
    spectrum: SpectrumRange | None = None
    small_bodies: Network | None = None
    states: StateNetwork | None = None

    @property
    def digests(self) -> tuple[FileDigest, ...]:
        """Of the files that a result rests on: networks as they run, and the range of spectra."""
        small = () if self.small_bodies is None else (self.small_bodies.spec.digest,)
        spectrum = None if self.spectrum is None else self.spectrum.digest
        states = () if self.states is None else (self.states.spec.digest,)
        networks = (self.coarse.spec.digest, self.fine.spec.digest, *small, *states)
        return networks if spectrum is None else (*networks, spectrum)

    @property
    def weak_outputs(self) -> tuple[str, ...]:
        """Outputs of any of them that nothing may rest on."""
        small = () if self.small_bodies is None else self.small_bodies.spec.weak_outputs
        return (*self.coarse.spec.weak_outputs, *self.fine.spec.weak_outputs, *small)

    @property
    def context(self) -> tuple[str, ...]:
        """Outputs of the coarse network that any other is shown."""
        small = () if self.small_bodies is None else self.small_bodies.spec.context
        return tuple(dict.fromkeys((*self.fine.spec.context, *small)))


def load_network(folder: Path, device: str = "auto") -> Network:
    """Open a model folder after checking its hashes.

    Raises
    ------
    ModelFileError
        Altered, incomplete or not ours.
    """
    spec = read_network_spec(folder)
    return Network(spec, open_runtime(folder / MODEL_FILE, device))


def network_image(look: Look, spec: NetworkSpec) -> tuple[ResampledVolume, float, float]:
    """A tomogram at a network's sampling, computed as it is read, its robust centre and scale."""
    image = ResampledVolume(look.voxels, spec.voxel_size_nm / look.voxel_nm)
    return image, *robust_centre_and_scale(image.sample(MAX_SAMPLES))


def run_tiled(
    network: Network,
    volume: Volume,
    consume: Callable[[Tile, Float32s], None],
    *,
    beside: Callable[[Box], Float32s] | None = None,
    tile_vox: tuple[int, int, int] | None = None,
    centre: float = 0.0,
    scale: float = 1.0,
    clip: float = 8.0,
    on_progress: OnProgress | None = None,
) -> None:
    """Run a network over a (z, y, x) volume, tile by tile.

    Every tile carries a halo as wide as the receptive field, and tiles start at multiples of the
    network's stride, so that the result does not depend on the tile size (up to rounding).

    Parameters
    ----------
    consume
        Called with each tile and its outputs (c, z, y, x), cropped to the tile's core.
    beside
        Gives the further channels (c, z, y, x) of a box of the volume.
    tile_vox
        Size with halo; without it the one that costs least within the network's largest.
    centre, scale, clip
        Normalisation applied to each tile.
    """
    spec = network.spec
    tile_vox = tile_vox or best_tile(spec, volume.shape, network.largest_tile_vox)
    tiles = plan_tiles(volume.shape, tile_vox, spec.halo_vox, spec.multiple)
    for done, tile in enumerate(tiles, start=1):
        block = np.array(volume[tile.source], dtype=np.float32)
        block = np.clip((block - np.float32(centre)) / np.float32(scale), -clip, clip)[None]
        if beside is not None:
            block = np.concatenate([block, beside(tile.source)])
        block = np.pad(block, ((0, 0), *tile.pad), mode="edge") if tile.is_padded else block
        outputs = network.runtime.run(np.ascontiguousarray(block))
        consume(tile, outputs[(slice(None), *tile.crop)])
        if on_progress:
            on_progress(done / len(tiles))
    network.runtime.release_memory()


def best_tile(
    spec: NetworkSpec, shape: tuple[int, ...], largest_vox: int = LARGEST_TILE_VOX
) -> tuple[int, int, int]:
    """The tile (z, y, x) in which a network runs over a volume of this shape."""
    return cheapest_tile(shape, spec.halo_vox, spec.multiple, largest_vox)
