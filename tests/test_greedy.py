"""Greedy layer-wise training whose rate follows the validation error (nugraha 2.2.3)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unmix.errors import SpecError, UnmixError
from unmix.training import greedy
from unmix.training.checkpoint import Keeping
from unmix.training.greedy import Apprentices, Frames, Greedy, Standing, answer, begun, misfit

SMALL = Greedy(hidden=3, units=12, batch=20, rate=0.05, iterations=12)


def frames(count, seed=0, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 6, generator=generator)
    targets = torch.stack([inputs[:, 0].abs(), inputs[:, 1] - inputs[:, 2].relu()], dim=1)
    return Frames(inputs, targets + noise * torch.randn(count, 2, generator=generator))


@pytest.fixture(scope="module")
def parts():
    return frames(300), frames(100, seed=1)


def without_times(rows):
    return [{key: row[key] for key in row if key != "seconds"} for row in rows]


def test_it_learns_at_every_depth(parts):
    settings = replace(SMALL, iterations=60)
    learner = Apprentices(settings, 0, Keeping())
    layers = learner.train("a", lambda: parts)
    assert [tuple(weight.shape) for weight, _ in layers] == [(12, 6), (12, 12), (12, 12), (2, 12)]
    rows = learner.standing.history
    assert {row["stage"] for row in rows} == {"1 hidden", "2 hidden", "3 hidden"}
    best = [
        min(row["valid_loss"] for row in rows if row["stage"].startswith(str(depth)))
        for depth in (1, 2, 3)
    ]
    nothing = float(parts[1].targets.square().mean() / 2)
    assert max(best) < 0.01 * nothing
    assert misfit(layers, parts[1]) == pytest.approx(best[2], rel=1e-6)


def test_a_new_depth_keeps_the_hidden_layers_and_draws_the_others():
    rng = np.random.default_rng(0)
    settings = replace(SMALL, units=400)
    first = begun([], 100, 50, settings, rng)
    second = begun(first, 100, 50, settings, rng)
    assert len(second) == 3
    assert second[0][0] is first[0][0]
    assert not any(bias.any() for _, bias in second)
    for weight, spread in (
        (first[0][0], (2 / 100) ** 0.5),
        (second[1][0], (2 / 400) ** 0.5),
        (second[2][0], 0.01),
    ):
        assert float(weight.std()) == pytest.approx(spread, rel=0.05)
        assert abs(float(weight.mean())) < 0.05 * spread


def test_the_rate_rises_while_the_error_falls_and_falls_when_it_rises():
    standing, settings = Standing(), Greedy()
    standing.deepen(1.0)
    seen = []
    for error in (5.0, 4.0, 6.0, 5.0, 5.0):
        better = standing.note(error, settings)
        seen.append((better, round(standing.rate, 6), standing.waited))
    up = 1.1
    assert seen == [
        (True, up, 0),
        (True, round(up**2, 6), 0),
        (False, round(up**2 * 0.7, 6), 1),
        (False, round(up**3 * 0.7, 6), 2),
        (False, round(up**4 * 0.7, 6), 3),
    ]


def test_nothing_to_learn_ends_by_patience_with_the_best_weights():
    train, valid = frames(40, noise=3.0), frames(200, seed=5)
    settings = replace(SMALL, units=60, rate=0.2, iterations=200, reversion=2, patience=2)
    learner = Apprentices(settings, 0, Keeping())
    layers = learner.train("a", lambda: (train, valid))
    rows = [row for row in learner.standing.history if row["stage"] == "3 hidden"]
    assert len(rows) < 200
    errors = [row["valid_loss"] for row in rows]
    assert misfit(layers, valid) == pytest.approx(min(errors), rel=1e-6)
    assert len(errors) - 1 - int(np.argmin(errors)) <= settings.reversion * settings.patience


def test_squared_weights_count_and_biases_do_not(parts):
    light, heavy = (
        Apprentices(replace(SMALL, hidden=1, decay=decay), 0, Keeping()).train("a", lambda: parts)
        for decay in (0.0, 0.5)
    )
    assert float(heavy[0][0].norm()) < 0.2 * float(light[0][0].norm())
    with torch.no_grad():
        off = (answer(heavy, parts[0].inputs).mean(0) - parts[0].targets.mean(0)).abs()
    assert float(off.max()) < 0.1, "the biases are free to carry the mean"


class StopError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 5, 12, 13, 30, 36, 40])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    parts, tmp_path, monkeypatch, after
):
    monkeypatch.setattr(greedy, "SAVE_S", 0.0)

    def trained(keeping):
        learner = Apprentices(SMALL, 3, keeping)
        known = learner.keep("mean", lambda: parts[0].inputs.mean(0))
        layers = [learner.train(name, lambda: parts) for name in ("a", "b")]
        return known, layers, learner.standing.history

    whole = trained(Keeping())

    def stop(row):
        if row["epoch"] == after:
            raise StopError

    with pytest.raises(StopError):
        trained(Keeping(tmp_path, "x", log=stop))
    resumed = trained(Keeping(tmp_path, "x"))
    assert torch.equal(whole[0], resumed[0])
    assert without_times(whole[2]) == without_times(resumed[2])
    for one, other in zip(whole[1], resumed[1], strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a[0], b[0])
            assert torch.equal(a[1], b[1])


def test_what_is_learnt_is_not_learnt_again(parts):
    learner = Apprentices(replace(SMALL, iterations=1), 0, Keeping())
    first = learner.train("a", lambda: parts)
    assert learner.train("a", lambda: 1 / 0) is first
    assert learner.keep("known", lambda: torch.ones(1)) is learner.keep("known", lambda: 1 / 0)


def test_a_training_that_explodes_is_one_clear_error(parts):
    with pytest.raises(UnmixError, match=r"network for a is (nan|inf) after \d+ iterations at"):
        Apprentices(replace(SMALL, rate=1e6), 0, Keeping()).train("a", lambda: parts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden": 0}, "0 hidden layers"),
        ({"patience": 0}, "a patience of 0"),
        ({"rate": 0.0}, "a rate of 0"),
        ({"down": 1.1}, "goes down by 1.1"),
        ({"up": 0.9}, "up by 0.9"),
        ({"momentum": 1.0}, "a momentum of 1"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_error(changes, said):
    with pytest.raises(SpecError, match=said):
        replace(SMALL, **changes)
