"""Training: it resumes to the bit, stops when it should, and keeps what was best."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unmix.errors import CheckpointError, SpecError, UnmixError
from unmix.models.recurrent import RecurrentNetwork
from unmix.runs.scene import scenes
from unmix.runs.spec import Mixing
from unmix.training import checkpoint, minibatch
from unmix.training.examples import SpectrumBank
from unmix.training.losses import Loss
from unmix.training.minibatch import SCHEDULES, Training, train

FRAMES = 30
SETTINGS = Training(epochs=7, patience=3, batch=3, rate=3e-3)


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def banks(small_tracks, small_stft):
    return tuple(
        SpectrumBank.of(scenes(tracks, Mixing()), small_stft, FRAMES, "cpu")
        for tracks in (small_tracks[:4], small_tracks[4:])
    )


@pytest.fixture
def network(small_stft):
    return fresh(small_stft)


def fresh(stft, seed=0, outputs=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentNetwork(units=10).build(stft.bins, outputs)


def stopping_after(epochs):
    def log(row):
        if row["epoch"] == epochs - 1:
            raise StoppedError

    return log


def without_times(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


# Interruptions.


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stops", [(1,), (5,), (2, 3, 6)])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    banks, small_stft, tmp_path, schedule, stops
):
    settings = dataclasses.replace(SETTINGS, schedule=schedule)
    whole = fresh(small_stft)
    wanted = train(whole, banks, settings, FRAMES, seed=5)
    assert len(wanted) == 7, "the stops lie within the training"
    for number, stop in enumerate(stops):
        # Only the first start may need the right weights; the others find them in the checkpoint.
        network = fresh(small_stft, seed=number)
        log = stopping_after(stop)
        with pytest.raises(StoppedError):
            train(network, banks, settings, FRAMES, seed=5, folder=tmp_path, identity="x", log=log)
    resumed = fresh(small_stft, seed=99)
    history = train(resumed, banks, settings, FRAMES, seed=5, folder=tmp_path, identity="x")
    assert without_times(history) == without_times(wanted)
    assert same_weights(resumed, whole)


def test_a_stop_in_the_middle_of_an_epoch_costs_that_epoch_alone(
    banks, small_stft, tmp_path, monkeypatch
):
    whole = fresh(small_stft)
    wanted = train(whole, banks, SETTINGS, FRAMES, seed=5)
    steps, loss = [], minibatch._loss

    def stopping(*args):
        steps.append(None)
        if len(steps) == 14:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(minibatch, "_loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(small_stft), banks, SETTINGS, FRAMES, seed=5, folder=tmp_path, identity="x")
    monkeypatch.undo()
    saved = checkpoint.load(tmp_path, "x")
    assert 0 < saved["progress"]["number"] < 7
    resumed = fresh(small_stft, seed=99)
    history = train(resumed, banks, SETTINGS, FRAMES, seed=5, folder=tmp_path, identity="x")
    assert without_times(history) == without_times(wanted)
    assert same_weights(resumed, whole)


def test_a_finished_training_is_not_trained_again(banks, small_stft, tmp_path):
    first, again = fresh(small_stft), fresh(small_stft, seed=99)
    kept = {"folder": tmp_path, "identity": "x"}
    wanted = train(first, banks, SETTINGS, FRAMES, seed=5, **kept)
    history = train(again, banks, SETTINGS, FRAMES, seed=5, log=pytest.fail, **kept)
    assert history == wanted
    assert same_weights(first, again)


# Seeds.


def test_one_seed_gives_one_result_and_another_another(banks, small_stft):
    networks = [fresh(small_stft) for _ in range(3)]
    histories = [
        train(network, banks, SETTINGS, FRAMES, seed=seed)
        for network, seed in zip(networks, (1, 1, 2), strict=True)
    ]
    assert without_times(histories[0]) == without_times(histories[1])
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


def test_training_leaves_the_global_random_state_alone(banks, network):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(network, banks, SETTINGS, FRAMES, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


# Checkpoints.


@pytest.fixture
def kept(banks, small_stft, tmp_path):
    """A folder with a checkpoint after two epochs."""
    with pytest.raises(StoppedError):
        train(
            fresh(small_stft),
            banks,
            SETTINGS,
            FRAMES,
            seed=5,
            folder=tmp_path,
            identity="these settings",
            log=stopping_after(2),
        )
    return tmp_path


def go_on(banks, stft, folder, identity="these settings"):
    return train(fresh(stft), banks, SETTINGS, FRAMES, seed=5, folder=folder, identity=identity)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_refused_and_can_be_deleted(banks, small_stft, kept, share):
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.safetensors: cannot be read.*delete it"
    ):
        go_on(banks, small_stft, kept)
    path.unlink()
    assert len(go_on(banks, small_stft, kept)) == 7


def test_a_checkpoint_of_other_settings_is_refused_and_kept(banks, small_stft, kept):
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    message = r"belongs to settings 'these settings'\. Expected: 'others'"
    with pytest.raises(CheckpointError, match=message):
        go_on(banks, small_stft, kept, identity="others")
    assert path.read_bytes() == whole


def test_what_is_no_checkpoint_is_refused(banks, small_stft, tmp_path):
    path = tmp_path / checkpoint.NAME
    path.write_text("notes")
    with pytest.raises(CheckpointError, match="Expected: a complete safetensors file"):
        go_on(banks, small_stft, tmp_path)
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"belongs to settings '\(none named\)'"):
        go_on(banks, small_stft, tmp_path)


def test_a_checkpoint_is_replaced_at_once(kept, monkeypatch):
    (path,) = kept.iterdir()
    whole = path.read_bytes()

    def full(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write_tensors(path, {"a": torch.zeros(1)}, {})
    assert path.read_bytes() == whole
    assert list(kept.iterdir()) == [path]


# When it stops, and what it keeps.


def scripted(monkeypatch, losses):
    """Let validation return `losses`, one an epoch."""
    waiting = iter(losses)
    monkeypatch.setattr(minibatch, "_validate", lambda *args: next(waiting))


def test_it_stops_when_patience_ends_and_keeps_the_best_epoch(banks, small_stft, monkeypatch):
    scripted(monkeypatch, [5.0, 4.0, 4.5, 3.0, 3.0, 3.1, 9.0, 1.0])
    network, states = fresh(small_stft), []
    history = train(
        network,
        banks,
        dataclasses.replace(SETTINGS, epochs=50),
        FRAMES,
        seed=5,
        log=lambda row: states.append(minibatch._copy(network)),
    )
    assert [row["valid_loss"] for row in history] == [5.0, 4.0, 4.5, 3.0, 3.0, 3.1, 9.0]
    assert all(torch.equal(network.state_dict()[name], states[3][name]) for name in states[3])
    assert not all(torch.equal(states[6][name], states[3][name]) for name in states[3])


@pytest.mark.parametrize("stop", [2, 4, 5, 6])
def test_patience_and_rate_go_on_counting_after_an_interruption(
    banks, small_stft, tmp_path, monkeypatch, stop
):
    losses = [5.0, 4.0, 4.5, 4.6, 3.0, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 1.0]
    settings = dataclasses.replace(SETTINGS, epochs=50, patience=6)
    scripted(monkeypatch, losses)
    whole = fresh(small_stft)
    wanted = train(whole, banks, settings, FRAMES, seed=5)
    assert len(wanted) == 11
    kept = {"folder": tmp_path, "identity": "x"}
    scripted(monkeypatch, losses)
    with pytest.raises(StoppedError):
        train(fresh(small_stft), banks, settings, FRAMES, seed=5, log=stopping_after(stop), **kept)
    scripted(monkeypatch, losses[stop:])
    resumed = fresh(small_stft, seed=99)
    history = train(resumed, banks, settings, FRAMES, seed=5, **kept)
    assert without_times(history) == without_times(wanted)
    assert same_weights(resumed, whole)


def test_it_stops_when_the_epochs_end(banks, network, monkeypatch):
    scripted(monkeypatch, [9.0 - number for number in range(9)])
    assert len(train(network, banks, SETTINGS, FRAMES, seed=5)) == 7


def test_the_plateau_halves_the_rate_after_a_third_of_the_patience(banks, network, monkeypatch):
    scripted(monkeypatch, [5.0, 6.0, 6.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    settings = dataclasses.replace(SETTINGS, epochs=20, patience=6, rate=0.8)
    rates = [row["rate"] for row in train(network, banks, settings, FRAMES, seed=5)]
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


def test_the_cosine_brings_the_rate_to_zero(banks, network):
    settings = dataclasses.replace(SETTINGS, schedule="cosine", epochs=5, patience=5)
    history = train(network, banks, settings, FRAMES, seed=5)
    wanted = [settings.rate * 0.5 * (1 + math.cos(math.pi * n / 5)) for n in range(5)]
    assert [row["rate"] for row in history] == pytest.approx(wanted, rel=1e-6)


def test_the_staircase_leaves_a_fifth_of_the_rate_for_the_last_fifth(banks, network):
    settings = dataclasses.replace(SETTINGS, schedule="staircase", epochs=10, patience=10, rate=0.5)
    rates = [row["rate"] for row in train(network, banks, settings, FRAMES, seed=5)]
    assert rates == pytest.approx([0.5] * 8 + [0.1] * 2)


def test_a_second_stage_has_twice_the_batch_at_a_tenth_of_the_rate(banks, network, monkeypatch):
    scripted(monkeypatch, [5.0, 6.0, 6.0, 4.5, 6.0, 6.0, 3.0, 6.0, 6.0, 6.0])
    sizes = []
    epoch = minibatch.epoch

    def counted(bank, frames, batch, **settings):
        sizes.append(batch)
        return epoch(bank, frames, batch, **settings)

    monkeypatch.setattr(minibatch, "epoch", counted)
    settings = dataclasses.replace(SETTINGS, schedule="stages", epochs=20, patience=2, rate=0.5)
    rates = [row["rate"] for row in train(network, banks, settings, FRAMES, seed=5)]
    # Patience ends after the third epoch, and in the second stage after the sixth.
    assert rates == pytest.approx([0.5] * 3 + [0.05] * 3)
    assert sizes == [3] * 3 + [6] * 3


def test_the_rate_of_the_history_is_the_one_in_use(banks, small_stft):
    still, moved = fresh(small_stft), fresh(small_stft)
    train(still, banks, dataclasses.replace(SETTINGS, rate=1e-12), FRAMES, seed=5)
    train(moved, banks, SETTINGS, FRAMES, seed=5)
    start = fresh(small_stft).head.weight
    assert torch.allclose(still.head.weight, start, atol=1e-9)
    assert (moved.head.weight - start).abs().max() > SETTINGS.rate


def test_losses_are_means_over_chunks_and_frames_are_counted(banks, network):
    settings = dataclasses.replace(SETTINGS, epochs=1, augmentation=False, rate=1e-12)
    (row,) = train(network, banks, settings, FRAMES, seed=5)
    for bank, name in zip(banks, ("train_loss", "valid_loss"), strict=True):
        chunks = bank.chunks(FRAMES)
        with torch.no_grad():
            losses = [
                float(settings.loss(network(mixture), mixture, voice, other))
                for mixture, voice, other in (
                    bank.batch([chunks[[i]]] * 2, FRAMES) for i in range(len(chunks))
                )
            ]
        assert row[name] == pytest.approx(np.mean(losses), rel=1e-5)
    assert row["frames"] == FRAMES * len(banks[0].chunks(FRAMES))


@pytest.mark.parametrize("loss", [Loss("kl"), Loss("kl-power", "voice", "before")], ids=str)
def test_training_lowers_the_loss(banks, small_stft, loss):
    settings = dataclasses.replace(SETTINGS, epochs=25, patience=25, rate=5e-3, loss=loss)
    history = train(fresh(small_stft, outputs=loss.outputs), banks, settings, FRAMES, seed=5)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]


def test_bfloat16_trains_much_like_float32(banks, small_stft):
    losses = {}
    for precision in ("float32", "bfloat16"):
        settings = dataclasses.replace(SETTINGS, precision=precision, patience=7)
        history = train(fresh(small_stft), banks, settings, FRAMES, seed=5)
        losses[precision] = np.array([row["valid_loss"] for row in history])
    assert (losses["float32"] != losses["bfloat16"]).all()
    # The mask's slope is steep where both outputs are near zero, so rounding grows on the way.
    assert losses["bfloat16"][0] == pytest.approx(losses["float32"][0], rel=0.03)
    assert losses["bfloat16"][-1] < 0.7 * losses["bfloat16"][0]


def test_a_loss_that_is_no_number_stops_the_training(banks, network, tmp_path):
    settings = dataclasses.replace(SETTINGS, rate=1e30, loss=Loss(position="before"))
    with pytest.raises(
        UnmixError, match=r"the loss of epoch 0 is (inf|nan).*lower the learning rate"
    ):
        train(network, banks, settings, FRAMES, seed=5, folder=tmp_path, identity="x")
    assert not list(tmp_path.iterdir()), "no checkpoint of a spoilt network"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "cosin"}, r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"epochs": 0}, "training with 0 epochs.*Expected: positive numbers"),
        ({"patience": 0}, "patience 0"),
        ({"batch": 0}, "batch 0"),
        ({"chunk": 0.0}, "chunks of 0.0 s"),
        ({"rate": -1e-3}, "rate -0.001"),
    ],
)
def test_trainings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        Training(**wrong)
