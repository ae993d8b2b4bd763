"""Weights that sixteen bits hold are stored so, and nothing that is computed changes."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from models.onnx_export import LEAST_HALVED, halved, write_checked


class Product(nn.Module):
    """One matrix."""

    def __init__(self, weight):
        super().__init__()
        self.linear = nn.Linear(*reversed(weight.shape), bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))

    def forward(self, values):
        return self.linear(values)


def written(path, weight):
    axes = {"values": {0: "n"}, "products": {0: "n"}}
    example = torch.randn((3, weight.shape[1]), generator=torch.Generator().manual_seed(0))
    write_checked(Product(weight).eval(), path, example=example[:2], shown=example, axes=axes)
    return [one.data_type for one in onnx.load(path).graph.initializer]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (halved, onnx.TensorProto.FLOAT16),
        (lambda weight: weight, onnx.TensorProto.FLOAT),
        (lambda weight: halved(weight)[:4], onnx.TensorProto.FLOAT),
    ],
)
def test_only_what_is_exact_and_large_is_halved(tmp_path, change, kind):
    side = int(np.sqrt(LEAST_HALVED / 4)) + 1
    weight = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    assert written(tmp_path / "model.onnx", change(weight)) == [kind]


@given(arrays(np.float32, 20, elements=st.floats(-1e5, 1e5, width=32)))
def test_rounding_is_exact_in_sixteen_bits_or_does_not_happen(values):
    found = halved(values)
    if np.abs(values).max() <= np.finfo(np.float16).max:
        assert np.array_equal(found, found.astype(np.float16).astype(np.float32))
        assert np.allclose(found, values, rtol=1e-3, atol=1e-7)
    else:
        assert np.array_equal(found, values)
