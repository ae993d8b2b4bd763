"""The shipped generator of pseudo-structures, run from its ONNX file."""

from pathlib import Path

import numpy as np
import onnxruntime

from engine.data.arrays import Float32s
from engine.data.provenance import FileDigest
from engine.errors import ModelFileError
from engine.segmentation.network_files import MODEL_FILE, read_card, read_network_spec

TASK = "pseudo_structures"
BATCH = 16


class PseudoStructureSource:
    """Draws random protein-like densities (Wang et al. 2018, BMVC).

    Parameters
    ----------
    folder
        Holds `model.onnx`, `card.yaml` and the manifest of hashes.
    n_threads
        Of ONNX Runtime; 0 lets it choose.

    Raises
    ------
    ModelFileError
        A file is absent or altered, or the model is not a generator of pseudo-structures.
    """

    def __init__(self, folder: Path, n_threads: int = 0) -> None:
        spec, card = read_network_spec(folder), read_card(folder)
        if spec.task != TASK or "n_latent" not in card:
            raise ModelFileError(
                f"model {folder.name}: expected one that draws pseudo-structures, found {spec.task}"
            )
        self.name = spec.name
        self.digest: FileDigest = spec.digest
        self.n_latent = int(card["n_latent"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        self._session = onnxruntime.InferenceSession(
            str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )

    def draw(self, n: int, *, rng: np.random.Generator) -> Float32s:
        """Densities (n, 32, 32, 32), at least 0, scale arbitrary; a shorter draw is a prefix."""
        latents = rng.standard_normal((n, self.n_latent)).astype(np.float32)
        parts = [self._densities(latents[at : at + BATCH]) for at in range(0, n, BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, 32, 32, 32), dtype=np.float32)

    def _densities(self, latents: Float32s) -> Float32s:
        found = self._session.run(None, {"latent": latents})[0]
        return np.asarray(found, dtype=np.float32)
