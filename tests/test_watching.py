"""What the watcher tells of epochs: all of them, each once, whatever their file looks like."""

import json

import pytest

from unmix.runs import cluster
from unmix.runs.cluster import complete
from unmix.runs.execute import key
from unmix.runs.store import Store
from unmix.runs.watching import Watcher, epochs_file
from unmix.training import checkpoint


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


def epochs(told):
    return [event.row and event.row["epoch"] for event in told]


def test_the_last_epochs_are_told_before_the_end(small_spec, tiny, tmp_path):
    """The watcher that never looked tells all; one that saw some tells the others, each once."""
    (run,), told = complete([small_spec], Store(tmp_path), workers=1, device="cpu"), []
    watcher = Watcher(Store(tmp_path), {run.key: "a"}, [run.key], told.append)
    watcher.last[run.key] = 1
    watcher.finished(run.key)
    assert epochs(told) == [2, 3, None]
    assert set(told[0].row) == {"epoch", "rate", "train_loss", "frames", "valid_loss", "seconds"}
    watcher._pass_on(run.key)
    assert len(told) == 3, "nothing comes after the end"


def test_an_epoch_that_is_written_twice_is_told_once(tmp_path):
    told, path = [], epochs_file(tmp_path, "k")
    path.parent.mkdir(parents=True)
    path.write_text('{"epoch": 0}\n')
    watcher = Watcher(Store(tmp_path), {"k": "a"}, ["k"], told.append)
    path.write_text("".join(f'{{"epoch": {number}}}\n' for number in (0, 1, 1, 2)))
    watcher._pass_on("k")
    assert epochs(told) == [1, 2]


@pytest.mark.parametrize(
    "line", ['{"epoch": 1, "tr{"epoch": 1}', "", "[1]", "null", '{"epoch": "1"}', '{"epok": 1}']
)
def test_a_line_that_tells_no_epoch_is_passed_over(tmp_path, line):
    told, path = [], epochs_file(tmp_path, "k")
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"epoch": 0}}\n{line}\n')
    watcher = Watcher(Store(tmp_path), {"k": "a"}, ["k"], told.append)
    path.write_text(f'{path.read_text()}{line}\n{{"epoch": 2}}\n{{"epoch": 3')
    watcher._pass_on("k")
    assert epochs(told) == [2]


def test_a_training_goes_on_after_a_line_that_was_cut_short(
    small_spec, tiny, tmp_path, monkeypatch
):
    """As a process leaves it that dies, or finds the disk full, while it writes an epoch down."""
    wanted = complete([small_spec], Store(tmp_path / "undisturbed"), workers=1, device="cpu")[0]
    store, path = Store(tmp_path / "runs"), epochs_file(tmp_path / "runs", key(small_spec, tiny))
    save, saved = checkpoint.save, []

    def interrupted(*words):
        save(*words)
        saved.append(None)
        if len(saved) == 3:
            with path.open("a") as file:
                file.write(json.dumps({"epoch": 2, "rate": 0.001})[:16])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            complete([small_spec], store, workers=1, device="cpu")
    assert len(path.read_text().splitlines()) == 3
    told = []
    (run,) = complete([small_spec], store, workers=1, device="cpu", watch=told.append)
    assert epochs(told) == [2, 3, None]
    assert (run.folder / "scores.csv").read_bytes() == (wanted.folder / "scores.csv").read_bytes()
