"""The generator of pseudo-structures: volumes, training, export."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import BadInputError
from engine.matching.pseudo_source import PseudoStructureSource
from engine.segmentation.network_files import read_network_spec
from engine.simulation.macromolecules import blob_chain
from models.architectures.pseudo_structures import PseudoStructureCritic, PseudoStructureGenerator
from models.pseudo_export import write_pseudo_model
from models.pseudo_figures import quality_figures
from models.pseudo_training import (
    RADIUS_VOX,
    PseudoTrainer,
    PseudoTrainingParams,
    TrainingVolumes,
    centres_and_radii,
    load_checkpoint,
    save_checkpoint,
    stored_density,
)
from models.registry import list_models

TRAINED = Path(__file__).parents[2] / "models" / "trained"
TINY = PseudoTrainingParams(
    n_latent=8,
    generator_channels=(8, 8, 4, 4),
    critic_channels=(4, 8, 8, 8),
    batch=2,
    critic_steps=1,
    max_steps=2,
)


@pytest.fixture(scope="module")
def stored():
    rng = np.random.default_rng(0)
    return np.stack([stored_density(blob_chain(30, 9.0, n, rng=rng)) for n in (5, 9)])


def test_stored_densities_have_one_radius_of_gyration_and_lie_in_the_centre(stored):
    centres, radii = centres_and_radii(torch.from_numpy(stored))
    np.testing.assert_allclose(radii.numpy(), 9.0, rtol=0.01)
    assert centres.abs().max() < 0.1


def test_a_map_without_density_cannot_be_stored():
    with pytest.raises(BadInputError):
        stored_density(np.zeros((8, 8, 8), np.float32))


def test_training_volumes_keep_their_size_whichever_way_they_are_turned(stored):
    volumes = TrainingVolumes(stored, torch.device("cpu"))
    random = torch.Generator().manual_seed(1)
    drawn = volumes.draw(24, PseudoTrainingParams(), random)
    assert drawn.shape == (24, 32, 32, 32)
    assert float(drawn.min()) >= 0
    np.testing.assert_allclose(drawn.amax(dim=(1, 2, 3)).numpy(), 1.0, rtol=1e-6)
    radii = centres_and_radii(drawn)[1]
    assert float((radii / RADIUS_VOX - 1).abs().max()) < 0.3
    assert float(radii.std()) > 0.02 * RADIUS_VOX


def test_full_generator_is_small_and_never_negative():
    generator = PseudoStructureGenerator()
    assert sum(one.numel() for one in generator.parameters()) * 4 < 3e6
    with torch.inference_mode():
        densities = generator(torch.randn(2, generator.n_latent))
        assert densities.shape == (2, 32, 32, 32)
        assert float(densities.min()) >= 0
        assert PseudoStructureCritic()(densities).shape == (2,)


def test_a_resumed_training_ends_where_an_unbroken_one_does(stored, tmp_path):
    whole = PseudoTrainer(stored, TINY, "cpu")
    whole.run()
    halves = PseudoTrainer(stored, TINY, "cpu")
    halves.params = PseudoTrainingParams(**{**vars(TINY), "max_steps": 1})
    halves.run()
    save_checkpoint(halves, tmp_path / "one.pt")
    resumed = PseudoTrainer(stored, TINY, "cpu")
    load_checkpoint(resumed, tmp_path / "one.pt")
    assert resumed.step == 1
    resumed.run()
    assert resumed.step == whole.step == 2
    # The learning rate follows the clock's share of the time, equal here but for rounding.
    for one, other in zip(whole.averaged.parameters(), resumed.averaged.parameters(), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-3)


def test_written_model_is_listed_and_draws_what_torch_draws(stored, tmp_path):
    trainer = PseudoTrainer(stored, TINY, "cpu")
    trainer.run()
    figures = quality_figures(trainer, n_samples=3, n_rotations=4)
    assert all(np.isfinite(list(figures.values())))
    folder = tmp_path / "pseudo-1"
    parity = write_pseudo_model(trainer.averaged, TINY, figures, folder, "test")
    assert parity.relative_difference < 1e-4
    assert [card.name for card in list_models(tmp_path)] == ["pseudo-1"]
    assert read_network_spec(folder).outputs == ("density",)
    found = PseudoStructureSource(folder, n_threads=1).draw(3, rng=np.random.default_rng(4))
    latents = np.random.default_rng(4).standard_normal((3, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = trainer.averaged(torch.from_numpy(latents)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


@pytest.mark.skipif(not (TRAINED / "pseudo-1").is_dir(), reason="no trained generator")
def test_shipped_generator_is_small():
    assert (TRAINED / "pseudo-1" / "model.onnx").stat().st_size < 3e6
