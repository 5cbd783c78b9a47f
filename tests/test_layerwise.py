"""Layer-wise training: the objective, L-BFGS in turns, stages, checkpoints."""

import dataclasses
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from aids import noise
from unmix.errors import CheckpointError, SpecError, UnmixError
from unmix.training import layerwise
from unmix.training.checkpoint import NAME, Keeping
from unmix.training.descent import Adam, Lbfgs, Objective
from unmix.training.generator import Examples, Generator, Solo
from unmix.training.layerwise import Course, Layerwise, flat, started

WINDOW, CONTEXT = 16, 1
SMALL = Layerwise(layers=2, iterations=4, fine=3)


def coloured(kind):
    """Noise of two colours, little apart: from the identity no unit falls silent for good."""
    return np.convolve(noise(4000, kind)[0], (1.0, (0.1, -0.1)[kind]), "valid")


def examples(count=600, stream=0, target=0, memory=1e9, seed=0):
    solos = tuple(Solo.of([coloured(kind)], 3 * WINDOW, "x") for kind in range(2))
    return Examples(Generator(solos, WINDOW, CONTEXT, seed, stream), target, count, memory)


def both(name, count=600, **more):
    """What a course of two networks is trained with and watched on."""
    target = ("low", "high").index(name)
    return examples(count, 0, target, **more), examples(200, 1, target, **more)


def course(settings=SMALL, folder=None, identity="a", seed=0, log=lambda row: None, **more):
    found = Course(("low", "high"), settings, seed, Keeping(folder, identity, log=log))
    found.run(partial(both, **more))
    return found


def rows(found, **where):
    return [row for row in found.standing.history if all(row[key] == where[key] for key in where)]


def timeless(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def same(found, wanted):
    """The weights of all stages are the same to the bit."""
    assert found.learnt.keys() == wanted.learnt.keys()
    for name, stages in wanted.learnt.items():
        assert found.learnt[name].keys() == stages.keys()
        for stage, layers in stages.items():
            assert torch.equal(flat(found.learnt[name][stage]), flat(layers)), (name, stage)


# The objective


def test_j_and_its_gradient_are_those_of_autograd():
    made = examples(1500)
    objective = Objective(made)
    torch.manual_seed(0)
    layers = tuple((0.3 * torch.randn(9, width), 0.1 * torch.randn(9)) for width in (27, 9, 9))
    weights = flat(layers)
    value, gradient = objective.gradient(weights)
    inputs, targets = (each.double() for each in made.rows(0, 1500))
    exact = weights.double().requires_grad_()
    output = inputs
    for weight, bias in objective.layers(exact):
        output = torch.relu(output @ weight.T + bias)
    identity = (inputs[:, 9:18] - targets).square().sum()
    j = (output - targets).square().sum() / identity
    j.backward()
    assert value == pytest.approx(j.item(), rel=1e-6)
    assert objective.value(layers) == value
    assert torch.allclose(gradient.double(), exact.grad, rtol=1e-4, atol=1e-6)
    assert objective.seen == 2 * 1500


def test_the_identity_has_a_j_of_one():
    objective = Objective(examples())
    layers = ()
    for _ in range(3):
        layers = (*layers, started(objective, layers, Layerwise(start="identity"), None)[0])
        assert objective.value(layers) == pytest.approx(1.0, rel=1e-6)


# L-BFGS


def least_squares_start(count=600, layers=1):
    objective, found = Objective(examples(count)), ()
    for _ in range(layers):
        found = (*found, started(objective, found, Layerwise(), None)[0])
    return objective, flat(found)


def test_turns_end_where_one_long_call_ends():
    objective, weights = least_squares_start(layers=2)
    at_once = weights.clone()
    whole = torch.optim.LBFGS(
        [at_once], max_iter=12, max_eval=10**6, history_size=5, line_search_fn="strong_wolfe",
        tolerance_grad=0, tolerance_change=0,
    )  # fmt: skip

    def closure():
        value, at_once.grad = objective.gradient(at_once)
        return value

    whole.step(closure)
    evaluations, objective.seen = objective.seen, 0
    turns = Lbfgs(objective, weights, 5)
    values = [turns.turn()[0] for _ in range(12)]
    assert torch.equal(weights, at_once)
    assert objective.seen <= evaluations, "no point is evaluated twice"
    assert all(later < sooner for sooner, later in pairwise(values))
    assert values[-1] == objective.gradient(weights)[0]


def test_at_the_optimum_turns_say_that_nothing_moves():
    objective, weights = least_squares_start(100)
    turns = Lbfgs(objective, weights, 10)
    assert turns.turn()[1]
    assert any(not turns.turn()[1] for _ in range(600))
    value = objective.gradient(weights)[0]
    assert turns.turn() == (value, False)


@pytest.mark.parametrize("kind", [Lbfgs, Adam])
def test_an_optimiser_that_is_put_back_goes_on_to_the_bit(kind):
    objective, weights = least_squares_start(2500)
    first = kind(objective, weights, 4, (0, 1))
    for _ in range(6):
        first.turn()
    kept = weights.clone()
    second = kind(objective, kept, 4, (0, 1))
    tensors, plain = first.state()
    second.load({name: value.clone() for name, value in tensors.items()}, plain)
    seen = []
    for each in (first, second):
        objective.seen = 0
        seen.append(([each.turn() for _ in range(5)], objective.seen))
    assert seen[0] == seen[1]
    assert torch.equal(weights, kept)


# Stages


def test_each_stage_begins_where_the_one_before_ended():
    found = course()
    assert SMALL.stages == ("1st layer", "2nd layer", "fine tuning")
    for name in ("low", "high"):
        assert tuple(found.learnt[name]) == SMALL.stages
        assert [len(each) for each in found.learnt[name].values()] == [1, 2, 2]
        for stage, count in zip(SMALL.stages, (4, 4, 3), strict=True):
            its = rows(found, network=name, stage=stage)
            assert [row["iteration"] for row in its] == list(range(count + 1))
            train, valid = (Objective(each) for each in both(name))
            layers = found.learnt[name][stage]
            assert its[-1]["train_loss"] == pytest.approx(train.value(layers), rel=1e-6)
            assert its[-1]["valid_loss"] == pytest.approx(valid.value(layers), rel=1e-6)
            losses = [row["train_loss"] for row in its]
            assert losses == sorted(losses, reverse=True)
            assert losses[-1] < losses[0]
        ends = {stage: rows(found, network=name, stage=stage) for stage in SMALL.stages}
        first, second, fine = ends.values()
        # The jump of Figure 2; the fine tuning starts where the last layer ended.
        assert second[0]["train_loss"] < first[-1]["train_loss"]
        assert fine[0]["train_loss"] == pytest.approx(second[-1]["train_loss"], rel=1e-6)
        assert first[0]["train_loss"] < 1.0, "better than the identity"
    epochs = [row["epoch"] for row in found.standing.history]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 2 * (4 + 4 + 3)


def test_the_start_of_the_first_layer_is_the_least_squares_solution():
    found = course(dataclasses.replace(SMALL, layers=1, iterations=0, fine=0, ridge=0.0))
    inputs, targets = both("low")[0].rows(0, 600)
    ((weight, bias),) = found.learnt["low"]["1st layer"]
    augmented = np.c_[inputs.double().numpy(), np.ones(600)]
    wanted = np.linalg.lstsq(augmented, targets.double().numpy(), rcond=None)[0]
    assert np.allclose(weight.numpy(), wanted[:-1].T, atol=1e-4)
    assert np.allclose(bias.numpy(), wanted[-1], atol=1e-4)
    (row,) = rows(found, network="low")
    assert row["ridge"] == 0.0
    assert row["frames"] == 2 * 600
    assert found.standing.findings["low"]["J"] == row["train_loss"]


def test_the_history_thins_out(monkeypatch):
    monkeypatch.setattr(layerwise, "ROWS", 3)
    told = []
    found = course(dataclasses.replace(SMALL, layers=1, iterations=8, fine=0), log=told.append)
    assert told == found.standing.history
    assert [row["iteration"] for row in rows(found, network="low")] == [0, 1, 2, 3, 6, 8]
    evaluations = sum(row["frames"] for row in rows(found, network="low")) / 600
    assert evaluations >= 2 + 8, "those between are counted, too"


def test_the_identity_start_says_when_it_reached_least_squares():
    settings = dataclasses.replace(SMALL, layers=1, iterations=120, fine=0, start="identity")
    found = course(settings)
    wanted = course(dataclasses.replace(settings, iterations=0, start="least squares"))
    for name in ("low", "high"):
        findings = found.standing.findings[name]
        goal = wanted.standing.findings[name]["J"]
        assert findings["J"] == pytest.approx(1.0, rel=1e-6)
        assert findings["J by least squares"] == goal
        below = [row["iteration"] for row in rows(found, network=name) if row["train_loss"] <= goal]
        assert 10 < findings["iterations"] <= below[0] < 120
    early = course(dataclasses.replace(settings, iterations=3))
    assert "iterations" not in early.standing.findings["low"], "it was never reached"
    # With a fine tuning the count goes on.
    split = course(dataclasses.replace(settings, iterations=5, fine=115))
    assert 10 < split.standing.findings["low"]["iterations"] < 120


def test_random_starts_differ_by_seed_and_layer():
    settings = dataclasses.replace(SMALL, start="random", iterations=0, fine=0)
    found = course(settings)
    first, second = found.learnt["low"]["2nd layer"]
    assert float(first[0].std()) == pytest.approx((2 / 27) ** 0.5, rel=0.2)
    assert float(second[0].std()) == pytest.approx((2 / 9) ** 0.5, rel=0.4)
    same(course(settings), found)
    other = course(settings, seed=1).learnt["low"]["2nd layer"]
    assert not torch.equal(other[0][0], first[0])
    assert not torch.equal(found.learnt["high"]["1st layer"][0][0], first[0])


def test_adam_learns_too():
    found = course(dataclasses.replace(SMALL, optimiser="adam", start="random"), memory=0.0)
    for name in ("low", "high"):
        losses = [row["train_loss"] for row in rows(found, network=name)]
        assert losses[-1] < losses[0]


def test_time_ends_a_stage_at_its_share():
    settings = dataclasses.replace(SMALL, iterations=10**6, fine=2 * 10**6, minutes=0.02)
    found = course(settings)
    spent = {
        stage: sum(row["seconds"] for row in rows(found, network="low", stage=stage))
        for stage in settings.stages
    }
    assert all(0 < row["iteration"] < 10**6 for row in found.standing.history if row["iteration"])
    assert [settings.deadline(stage) for stage in range(3)] == pytest.approx([0.3, 0.6, 1.2])
    assert all(spent.values())
    assert len(found.learnt["low"]) == 3


def test_memory_changes_no_weight():
    same(course(memory=0.0), course())


# Checkpoints


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("after", [3, 7, 13, 20])
def test_an_interrupted_training_goes_on_to_the_bit(tmp_path, monkeypatch, after, optimiser):
    monkeypatch.setattr(layerwise, "SAVE_S", 0.0)
    settings = dataclasses.replace(SMALL, optimiser=optimiser)
    wanted = course(settings)
    told = []

    def stop(row):
        told.append(row)
        if len(told) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        course(settings, tmp_path, log=stop)
    assert (tmp_path / NAME).exists()
    found = course(settings, tmp_path)
    same(found, wanted)
    assert timeless(found.standing.history) == timeless(wanted.standing.history)
    assert found.standing.findings == wanted.standing.findings
    again = course(settings, tmp_path, log=stop)
    same(again, wanted)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    course(folder=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to settings 'a'"):
        course(folder=tmp_path, identity="b")


# Settings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": "least square"}, "unknown start.*did you mean 'least squares'"),
        ({"optimiser": "sgd"}, "unknown optimiser 'sgd'"),
        ({"layers": 0}, "0 layers.*at least one layer"),
        ({"history": 0}, "a history of 0"),
        ({"iterations": -1}, "-1 iterations"),
        ({"fine": -1}, "-1 of fine tuning"),
        ({"minutes": -1.0}, "-1.0 minutes"),
    ],
)
def test_settings_that_make_no_training_are_refused(change, said):
    with pytest.raises(SpecError, match=said):
        Layerwise(**change)


def test_stages_are_called_as_in_the_paper():
    assert Layerwise().stages == (
        "1st layer", "2nd layer", "3rd layer", "4th layer", "5th layer", "fine tuning",
    )  # fmt: skip
    assert Layerwise(fine=0).stages[-1] == "5th layer"
    assert [layerwise.ordinal(number) for number in (11, 12, 13, 21, 22)] == [
        "11th", "12th", "13th", "21st", "22nd",
    ]  # fmt: skip


def test_an_error_that_is_not_finite_ends_the_training(monkeypatch):
    monkeypatch.setattr(Lbfgs, "turn", lambda self: (float("nan"), True))
    with pytest.raises(UnmixError, match=r"J of the network for the low is nan after 1 iterations"):
        course()
