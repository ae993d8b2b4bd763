"""The published subtomogram networks, counted; every row of the table, by its contract."""

import pytest
import torch
from torch import nn

from engine.errors import BadInputError
from models.architectures.ada3d import DomainDiscriminator, ada3d
from models.architectures.layers import PoolThree, Residue
from models.architectures.ssn3d import Ssn3D
from models.architectures.ssn3d_fcn import Ssn3DFcn
from models.arithmetic import multiply_adds, multiply_adds_of
from models.table import CLASSIFIERS

# With boxes of 40 voxels and 22 classes, counted from the authors' programs.
PUBLISHED = {
    "inception3d": 17_420_902,
    "dsrf3d": 33_237_046,
    "dsrf3d_v2": 18_315_574,
    "rb3d": 263_333_078,
    "cb3d": 61_305_238,
    "dsrf3d_v2_s1": 1_013_046,
    "dsrf3d_v2_s2": 505_014,
    "dsrf3d_v2_s3": 160_614,
}


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_have_the_published_number_of_weights(name):
    with torch.device("meta"):
        assert n_parameters(CLASSIFIERS[name](40, 22)) == PUBLISHED[name]


def test_the_adapted_encoder_has_about_a_million_weights():
    with torch.device("meta"):
        network = ada3d(40, 22)
    assert n_parameters(network.features) == 1_022_804
    assert DomainDiscriminator()(torch.zeros((3, 500))).shape == (3, 2)


def test_the_segmenting_encoder_decoder_has_the_published_number_of_weights():
    with torch.device("meta"):
        assert n_parameters(Ssn3D((32, 64, 128), 2)) == 895_746


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name != "rb3d"])
def test_every_classifier_gives_logits_from_features(name):
    torch.manual_seed(0)
    network = CLASSIFIERS[name](24, 5).eval()
    volumes = torch.randn((2, 1, 24, 24, 24))
    with torch.inference_mode():
        logits = network(volumes)
        features = network.features(volumes)
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    assert not torch.allclose(logits[0], logits[1])
    assert features.shape[0] == 2
    assert network.head.in_features == features.shape[1]


def test_compact_costs_a_twentieth_of_the_largest():
    counted = {name: multiply_adds(name, 24, 10) for name in ("compact", "cb3d")}
    assert counted["compact"] <= 0.2e9
    assert counted["compact"] <= counted["cb3d"] / 20


def test_a_box_too_small_for_a_network_is_refused():
    with pytest.raises(BadInputError, match="a box of 4 voxels is too small"):
        CLASSIFIERS["dsrf3d_v2"](4, 3)


def test_segmenting_networks_keep_the_box():
    volumes = torch.zeros((1, 1, 24, 24, 24))
    for network in (Ssn3D((32, 64, 128), 2), Ssn3DFcn(2)):
        with torch.inference_mode():
            assert network.eval()(volumes).shape == (1, 2, 24, 24, 24)


def test_a_residue_joins_channels_and_pools_take_what_is_left():
    joined = Residue(torch.nn.Identity(), torch.nn.Conv3d(2, 3, 1))(torch.ones((1, 2, 4, 4, 4)))
    assert joined.shape == (1, 5, 4, 4, 4)
    assert (joined[:, :2] == 1).all()
    assert PoolThree()(torch.zeros((1, 1, 13, 13, 13))).shape[2:] == (4, 4, 4)
    assert PoolThree()(torch.zeros((1, 1, 2, 2, 2))).shape[2:] == (1, 1, 1)


def test_multiply_adds_are_those_of_every_tap_and_place():
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv3d(1, 3, 3, padding=1), nn.Conv3d(3, 5, 2, 2), nn.ConvTranspose3d(5, 2, 2, 2)
        )
        counted = multiply_adds_of(network, 8)
    assert counted == 27 * 3 * 8**3 + 8 * 3 * 5 * 4**3 + 5 * 2 * 8 * 4**3
