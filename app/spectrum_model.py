"""`tomodx train spectrum`: where the power spectra lie that the networks know."""

from collections.abc import Callable
from pathlib import Path

from app.wiring import SPECTRUM_FILE
from engine.io.spectrum_file import write_spectrum_range
from engine.segmentation.known_spectrum import fit_range, radial_spectrum
from models.recipe import read_recipe
from models.training_pool import simulate_member

# Small fields: a spectrum needs no whole cell.
N_TOMOGRAMS, SHAPE = 48, (64, 160, 160)
# Far from the pools': these are tomograms of the same kinds, not the same ones.
SEED = 51_077


def train_spectrum(out: Path | None, device: str, on_progress: Callable[[float], None]) -> int:
    """Write the range of spectra of small simulated fields; returns how many it holds.

    They are of the fine network's pool, at their own sampling.
    """
    pool = read_recipe("fine").pool.model_copy(
        update={"shape": SHAPE, "seed": SEED, "n_tomograms": N_TOMOGRAMS}
    )
    spectra = []
    for index in range(N_TOMOGRAMS):
        tomogram = simulate_member(pool, index, device).tomogram
        spectra.append(radial_spectrum(tomogram.voxels))
        on_progress((index + 1) / N_TOMOGRAMS)
    write_spectrum_range(fit_range(spectra), out or SPECTRUM_FILE)
    return N_TOMOGRAMS
