"""The chapter on scores: what it shows is what the scores are."""

import numpy as np
import pytest
import torch

from unmix.metrics.bsseval import bss_eval
from unmix.report import anatomy

pytestmark = pytest.mark.usefixtures("standin_cache", "home")


@pytest.fixture(scope="module")
def taken(standin_cache, home):
    return anatomy.specimen()


def test_the_specimen_is_a_stand_in_in_stereo_unless_there_is_real_data(taken):
    assert taken.references.shape == taken.estimates.shape
    assert taken.references.shape[:2] == (2, 2)
    assert "stand-in" in taken.clip
    assert torch.allclose(taken.estimates.sum(0), taken.mixture, atol=1e-5), "masks share it out"


def test_real_data_are_taken_where_they_are(real_data):
    assert "davidson_3_11" in anatomy.specimen(real_data).clip


def test_scores_from_the_parts_are_the_scores(taken):
    table = anatomy.from_parts(taken)
    assert np.allclose(table["from the parts"], table["bss_eval"], atol=1e-6)


def test_the_identity_holds_for_the_scores_of_sources(taken):
    found = bss_eval(taken.references, taken.estimates[None], taps=64)
    wanted = anatomy.identity(found.sir[0, :, 0].numpy(), found.sar[0, :, 0].numpy())
    assert np.allclose(found.sdr[0, :, 0].numpy(), wanted, atol=1e-9)


def test_versions_differ_on_the_same_estimate_and_break_in_a_small_room(taken):
    table = anatomy.versions(taken).set_index(["version", "over"])
    assert len(table) == 7
    assert table["SDR"].nunique() == 7
    distance = anatomy.apart(table).set_index("score")["dB"]
    assert distance["SDR"] == table["SDR"].max() - table["SDR"].min()
    assert (table["SIR"] > 5).all()
    small = anatomy.versions(anatomy.specimen(decay=anatomy.SHORT)).set_index(["version", "over"])
    four = "4, frames of 1 s"
    assert (small.loc[four, "SAR"] < 3).all(), "filters of the whole do not fit its frames"
    assert (small.drop(index=four, level=0)["SAR"] > 5).all()
    assert (small.loc[four, "SDR"] > 5).all(), "SDR needs no filters"


def test_figures_tables_and_players_are_made(taken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for figure in (
        anatomy.draw_parts(taken),
        anatomy.draw_identity(taken),
        anatomy.draw_taps(taken, taps=(1, 4)),
    ):
        labelled = [axis for axis in figure.axes if axis.get_xlabel() or axis.get_ylabel()]
        assert labelled
    heard = anatomy.listen_to_parts(taken)._repr_html_()
    assert heard.count("<audio") == 6
    assert len(list((tmp_path / "media").iterdir())) == 6
    shown = anatomy.shown(anatomy.from_parts(taken), "a caption")._repr_html_()
    assert "a caption" in shown
    assert shown.count("<tr>") == 6
