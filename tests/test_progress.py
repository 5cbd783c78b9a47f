"""What is told of long work where there is no terminal."""

import pytest

from unmix.report.progress import watcher
from unmix.runs.watching import Event

LOSSES = {"train_loss": 0.25, "valid_loss": 0.5, "frames": 300, "seconds": 2.0}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"epoch": 2},
            "x: epoch 3, training loss 0.25000, validation loss 0.50000, 150 frames/s",
        ),
        (
            {"epoch": 0, "round": 4},
            "x: round 4, epoch 1, training loss 0.25000, validation loss 0.50000, 150 frames/s",
        ),
        (
            {"epoch": 9, "network": "horn", "stage": "2nd layer", "iteration": 5},
            "x: horn, 2nd layer, iteration 5, training J 0.25000, validation J 0.50000, "
            "150 vectors/s",
        ),
    ],
)
def test_a_line_says_where_a_training_stands(capsys, row, told):
    with watcher() as watch:
        watch(Event("x", {**LOSSES, **row}, 0, 2))
        watch(Event("x", None, 1, 2))
    assert capsys.readouterr().out.splitlines() == [told, "[1/2] done: x"]
