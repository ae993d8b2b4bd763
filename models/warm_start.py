"""Training that begins with the weights of a finished network instead of random ones.

A shipped network has its BatchNorms folded into its convolutions. Here they are opened again: each
gets the statistics of a few batches and gives back just what it takes away, so that the network
computes what it did, and training may change it from there.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from models.finished import FinishedNetwork
from models.narrowing import is_narrower, narrowed

# Logit of a mask that the finished network did not have: rare.
NEW_OUTPUT_BIAS = -3.0


def take_weights(
    network: nn.Module,
    finished: FinishedNetwork,
    outputs: Sequence[str],
    batches: Iterable[Tensor],
) -> int:
    """Give `network` the weights of a finished one where layers are the same.

    Parameters
    ----------
    outputs
        Of `network`, in order; those that the finished network has too keep their weights.
    batches
        Images as in training, for the statistics of the BatchNorms.

    Returns
    -------
    int
        Layers that were taken over; input channels that are new begin with weight 0. A narrower
        network takes the strongest channels of every layer (`models.narrowing`).
    """
    weights, known = finished.weights, finished.outputs
    if is_narrower(network, weights):
        weights = narrowed(weights, network)
    norms = dict(_norms_behind(network))
    taken = 0
    with torch.no_grad():
        for name, module in network.named_modules():
            if f"{name}.weight" not in weights or not isinstance(
                module, nn.Conv3d | nn.ConvTranspose3d
            ):
                continue
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            if isinstance(module, nn.ConvTranspose3d) and len(bias) == len(known):
                weight, bias = _outputs_in_order(module, weight, bias, known, outputs)
            if isinstance(module, nn.Conv3d) and module.in_channels > weight.shape[1]:
                widened = torch.zeros_like(module.weight)
                widened[:, : weight.shape[1]] = weight
                weight = widened
            if weight.shape != module.weight.shape:
                continue
            module.weight.copy_(weight)
            if module.bias is not None:
                module.bias.copy_(bias)
            else:
                _set_neutral(norms[name], bias)
            taken += 1
    _open_norms(network, list(norms.values()), batches)
    return taken


def _outputs_in_order(
    head: nn.ConvTranspose3d,
    weight: Tensor,
    bias: Tensor,
    known: Sequence[str],
    outputs: Sequence[str],
) -> tuple[Tensor, Tensor]:
    new_weight = 0.1 * head.weight.detach().clone()
    new_bias = torch.full((len(outputs),), NEW_OUTPUT_BIAS)
    for index, name in enumerate(outputs):
        if name in known:
            new_weight[:, index] = weight[:, known.index(name)]
            new_bias[index] = bias[known.index(name)]
    return new_weight, new_bias


def _norms_behind(network: nn.Module) -> Iterable[tuple[str, nn.BatchNorm3d]]:
    """Each convolution's name and the BatchNorm that follows it."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            layers = list(module)
            for index, layer in enumerate(layers[1:]):
                if isinstance(layer, nn.BatchNorm3d):
                    yield f"{name}.{index}", layer


def _set_neutral(norm: nn.BatchNorm3d, bias: Tensor) -> None:
    """Let a norm add the folded bias and nothing else."""
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)


def _open_norms(
    network: nn.Module, norms: Sequence[nn.BatchNorm3d], batches: Iterable[Tensor]
) -> None:
    """Statistics of the batches into every norm, and their inverse into its scale and shift."""
    sums = [torch.zeros(2, norm.num_features, dtype=torch.float64) for norm in norms]
    counts = [0] * len(norms)

    def keep(index: int, values: Tensor) -> None:
        flat = values.detach().double().transpose(0, 1).flatten(1)
        sums[index] += torch.stack([flat.sum(dim=1), flat.square().sum(dim=1)]).cpu()
        counts[index] += flat.shape[1]

    handles = [
        norm.register_forward_hook(
            lambda _module, inputs, _output, index=index: keep(index, inputs[0])
        )
        for index, norm in enumerate(norms)
    ]
    network.eval()
    with torch.inference_mode():
        for images in batches:
            network(images)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        for norm, total, count in zip(norms, sums, counts, strict=True):
            if count == 0:
                continue
            mean = total[0] / count
            variance = (total[1] / count - mean**2).clamp_min(1e-6)
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.weight.copy_(torch.sqrt(variance + norm.eps))
            norm.bias.add_(mean.to(norm.bias))
