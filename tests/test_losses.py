"""Losses: the derivatives by hand against automatic ones, and what the losses mean."""

from itertools import product

import pytest
import torch

from unmix.errors import SpecError
from unmix.masks import TINY
from unmix.training.losses import DIVERGENCES, FLOOR, Loss

BINS = 5


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def truth():
    """Mixture, voice and accompaniment magnitudes `(batch, frames, bins)`; a mixture adds up to
    less than its sources, and some bins are silent."""
    voice, other = draw(2, 4, BINS, seed=1).abs(), draw(2, 4, BINS, seed=2).abs()
    voice[0, 0], other[0, :2] = 0.0, 0.0
    return 0.8 * (voice + other), voice, other


def plain_divergence(name, e, r):
    kind, _, floor = name.rpartition("-0.")
    floor = float(f"0.{floor}") if kind else FLOOR
    e_, r_ = e + floor, r + floor
    return {
        "mse": lambda: (e - r) ** 2,
        "kl": lambda: r_ * torch.log(r_ / e_) - r_ + e_,
        "kl-reverse": lambda: e_ * torch.log(e_ / r_) - e_ + r_,
        "kl-power": lambda: r_**2 * torch.log(r_**2 / e_**2) - r_**2 + e_**2,
    }[kind or name]()


def plain_loss(loss, output, mixture, voice, other):
    """The same loss as its equations stand, one operation after the other."""
    estimates = output.abs().chunk(loss.outputs, dim=-1)
    wanted = {"both": [voice, other], "voice": [voice], "accompaniment": [other]}[loss.target]
    if loss.position == "after":
        a, b = (estimate + TINY for estimate in estimates)
        estimates = [a / (a + b) * mixture, b / (a + b) * mixture]
    pairs = list(zip(estimates, wanted, strict=True))
    total = sum(plain_divergence(loss.divergence, e, r).mean() for e, r in pairs)
    for e, r in zip(estimates, reversed(wanted), strict=True):
        if loss.discriminative:
            total -= loss.discriminative * plain_divergence(loss.divergence, e, r).mean()
    return total / len(wanted)


LOSSES = [
    *(
        Loss(divergence, "both", position, gamma)
        for divergence, position, gamma in product(DIVERGENCES, ("after", "before"), (0.0, 0.1))
    ),
    *(
        Loss(divergence, target, "before")
        for divergence, target in product(DIVERGENCES, ("voice", "accompaniment"))
    ),
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_value_and_gradient_are_those_of_the_equations(loss, truth):
    output = draw(2, 4, loss.outputs * BINS, seed=3)
    by_hand, automatic = output.clone().requires_grad_(), output.clone().requires_grad_()
    value, wanted = loss(by_hand, *truth), plain_loss(loss, automatic, *truth)
    assert value.shape == ()
    assert value.item() == pytest.approx(wanted.item(), rel=1e-12)
    # A factor from outside must reach the derivative.
    (3.0 * value).backward()
    (3.0 * wanted).backward()
    assert torch.allclose(by_hand.grad, automatic.grad, rtol=1e-10, atol=1e-14)
    assert float(automatic.grad.abs().max()) > 1e-4


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_what_a_loss_is_given_stays_as_it_was(loss, truth):
    output = draw(2, 4, loss.outputs * BINS, seed=3)
    before = [tensor.clone() for tensor in (output, *truth)]
    loss(output.clone().requires_grad_(), *truth).backward()
    loss(output, *truth)
    for tensor, kept in zip((output, *truth), before, strict=True):
        assert torch.equal(tensor, kept)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not loss.discriminative], ids=str)
def test_the_truth_alone_has_no_loss_and_no_slope(loss, truth):
    _, voice, other = truth
    voice, other = voice + 0.1, other + 0.1
    mixture = voice + other
    parts = {"both": [voice, -other], "voice": [voice], "accompaniment": [-other]}[loss.target]
    right = torch.cat(parts, dim=-1).requires_grad_()
    value = loss(right, mixture, voice, other)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-9)
    assert float(right.grad.abs().max()) < 1e-7
    for seed in range(5):
        near = right.detach() + 0.05 * draw(*right.shape, seed=seed)
        assert float(loss(near, mixture, voice, other)) > 1e-6


def test_the_discriminative_term_rewards_distance_from_the_other_source(truth):
    mixture, voice, other = truth
    right, swapped = torch.cat([voice, other], -1), torch.cat([other, voice], -1)

    def gain(gamma):
        loss = Loss(discriminative=gamma)
        values = loss(swapped, mixture, voice, other) - loss(right, mixture, voice, other)
        return float(values)

    assert gain(0.1) > gain(0.05) > gain(0.0) > 0


def test_a_single_target_looks_at_one_source_only(truth):
    mixture, voice, other = truth
    output = draw(2, 4, BINS, seed=3)
    loss = Loss(target="voice", position="before")
    assert loss(output, mixture, voice, other) == loss(output, 2 * mixture, voice, 5 * other)
    assert loss(output, mixture, voice, other) != loss(output, mixture, 2 * voice, other)


def test_batches_of_one_size_average():
    loss, output = Loss("kl"), draw(6, 3, 2 * BINS, seed=0)
    voice, other = draw(6, 3, BINS, seed=1).abs(), draw(6, 3, BINS, seed=2).abs()
    whole = loss(output, voice + other, voice, other)
    halves = [
        loss(output[s], (voice + other)[s], voice[s], other[s]) for s in (slice(0, 3), slice(3, 6))
    ]
    assert float(whole) == pytest.approx(float(sum(halves)) / 2, rel=1e-12)


@pytest.mark.parametrize("loss", [Loss(), Loss("kl"), Loss("kl-power", position="before")], ids=str)
def test_float32_is_float64_rounded(loss, truth):
    output = draw(2, 4, 2 * BINS, seed=3)
    gradients = []
    for kind in (torch.float64, torch.float32):
        given = output.to(kind, copy=True).requires_grad_()
        loss(given, *(tensor.to(kind) for tensor in truth)).backward()
        gradients.append(given.grad.double())
    scale = float(gradients[0].abs().max())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"divergence": "mes"}, r"unknown divergence 'mes' \(did you mean 'mse'\?\)"),
        ({"target": "music"}, "unknown loss target 'music'.*Expected: both, voice, accompaniment"),
        ({"position": "behind"}, "unknown loss position 'behind'"),
        ({"target": "voice"}, "a loss on voice alone, after the mask.*needs two outputs"),
        (
            {"target": "voice", "position": "before", "discriminative": 0.1},
            "with discriminative weight 0.1",
        ),
    ],
)
def test_losses_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        Loss(**wrong)
