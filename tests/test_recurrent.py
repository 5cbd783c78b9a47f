"""The network: its recurrence against torch's, its shapes, and that it can learn."""

import pytest
import torch
from torch import nn

from unmix.errors import SpecError
from unmix.models.recurrent import CELLS, LOOPS, RecurrentNetwork, _recurrence
from unmix.training.losses import Loss


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer_of(kind, inputs, units, seed=0):
    how = {"nonlinearity": "relu"} if kind is nn.RNN else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(inputs, units, batch_first=True, **how)


def gradients(run, layer, x, weights):
    layer.zero_grad()
    given = x.clone().requires_grad_()
    output = run(given)
    (output * weights).sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    return {"output": output.detach(), "input": given.grad, **found}


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize(("batch", "frames"), [(3, 40), (1, 2), (2, 1)])
def test_the_recurrence_is_torchs_with_all_its_gradients(kind, batch, frames):
    layer = layer_of(kind, 6, 9)
    x, weights = noise(batch, frames, 6), noise(batch, frames, 9, seed=1)
    ours = gradients(lambda given: _recurrence(LOOPS[kind], layer, given), layer, x, weights)
    theirs = gradients(lambda given: layer(given)[0], layer, x, weights)
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        scale = float(wanted.abs().max())
        assert torch.allclose(ours[name], wanted, rtol=1e-5, atol=2e-6 * scale), name
    assert 0 < float((theirs["output"] > 0).float().mean()) < 1, "units are on and off"


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3)])
def test_the_recurrences_derivative_is_the_limit_of_differences(kind, gates):
    shapes = (5, 2, 4 * gates), (4 * gates, 4), (4 * gates,)
    given = [
        (0.5 * noise(*shape, seed=seed, dtype=torch.float64)).requires_grad_()
        for seed, shape in enumerate(shapes)
    ]
    assert torch.autograd.gradcheck(LOOPS[kind].apply, given, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "context"), [(1, 1), (2, 3)])
def test_shapes(cell, layers, context):
    network = RecurrentNetwork(cell, layers, 8, context).build(bins=5, outputs=2)
    assert network(noise(3, 7, 5).abs()).shape == (3, 7, 10)


@pytest.mark.parametrize(
    ("cell", "gates", "recurrent"), [("relu", 1, True), ("gru", 3, True), ("dense", 1, False)]
)
@pytest.mark.parametrize("layers", [1, 3])
def test_number_of_weights(cell, gates, recurrent, layers):
    bins, units, context, outputs = 513, 256, 2, 2
    network = RecurrentNetwork(cell, layers, units, context).build(bins, outputs)
    wanted, size = 0, bins * context
    for _ in range(layers):
        wanted += gates * (size * units + units + recurrent * (units * units + units))
        size = units
    wanted += units * outputs * bins + outputs * bins
    assert sum(parameter.numel() for parameter in network.parameters()) == wanted


def reach(network, frames=12, at=5):
    """Which frames of the output change when frame `at` of the input does."""
    x = noise(1, frames, 4).abs()
    other = x.clone()
    other[0, at] += 1.0
    with torch.no_grad():
        changed = (network(x) - network(other)).abs().amax(-1)[0]
    return [frame for frame in range(frames) if changed[frame] > 1e-6]


def test_without_recurrence_a_frame_is_felt_for_the_length_of_the_context():
    for context in (1, 2, 3):
        network = RecurrentNetwork("dense", 2, 32, context).build(4, 2)
        assert reach(network) == list(range(5, 5 + context))


@pytest.mark.parametrize("cell", ["relu", "gru"])
def test_recurrence_remembers_and_never_looks_ahead(cell):
    frames = reach(RecurrentNetwork(cell, 1, 32, 1).build(4, 2))
    assert frames[0] == 5
    assert len(frames) > 3


def test_clips_of_a_batch_do_not_meet():
    network = RecurrentNetwork(units=16).build(4, 2)
    x = noise(3, 9, 4).abs()
    with torch.no_grad():
        assert torch.allclose(network(x)[1:2], network(x[1:2]), atol=1e-6)


def test_the_network_puts_out_float32_under_autocast():
    for cell in CELLS:
        network = RecurrentNetwork(cell, 1, 8, 1).build(4, 2)
        with torch.autocast("cpu", torch.bfloat16):
            assert network(noise(1, 5, 4).abs()).dtype == torch.float32


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_can_learn_one_batch(cell):
    # Voices and accompaniments of a few patterns each, so that the mask can be known.
    generator = torch.Generator().manual_seed(0)
    voice = torch.rand(4, 20, 3, generator=generator) @ (
        torch.rand(3, 16, generator=generator) ** 4
    )
    other = torch.rand(4, 20, 3, generator=generator) @ (
        torch.rand(3, 16, generator=generator) ** 4
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = RecurrentNetwork(cell, 1, 64, 2).build(16, 2)
    loss, adam = Loss(), torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        adam.zero_grad()
        value = loss(network(voice + other), voice + other, voice, other)
        value.backward()
        adam.step()
        losses.append(value.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cell": "rnn"}, "unknown cell 'rnn'.*Expected: relu, gru, lstm, dense"),
        ({"cell": "rel"}, "did you mean 'relu'"),
        ({"layers": 0}, "a network of 0 layers"),
        ({"layers": 17}, "Expected: 1 to 16 layers"),
        ({"units": 0}, "of 0 units"),
        ({"context": 0}, "an input of 0 frames"),
    ],
)
def test_networks_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        RecurrentNetwork(**wrong)
