"""Frames with context, standardised and reduced: closed forms, and scikit-learn step by step."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from unmix.errors import AudioError, SpecError
from unmix.models.supervectors import Reduction, Standard, supervectors


def magnitudes(frames, bins, seed=0):
    return torch.rand(frames, bins, generator=torch.Generator().manual_seed(seed))


def test_a_supervector_is_the_frame_between_its_neighbours_differences():
    heard = magnitudes(9, 3)
    found = supervectors(heard, 2).unflatten(1, (5, 3))
    assert torch.equal(found[:, 2], heard)
    for place, offset in enumerate((-4, -2, 0, 2, 4)):
        if offset:
            for frame in range(9):
                other = frame + offset
                neighbour = heard[other] if 0 <= other < 9 else torch.zeros(3)
                assert torch.equal(found[frame, place], neighbour - heard[frame])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_songs_shorter_than_a_supervector_have_silence_around_them(frames):
    assert supervectors(magnitudes(frames, 4), 2).shape == (frames, 20)
    assert torch.equal(supervectors(magnitudes(frames, 4), 0), magnitudes(frames, 4))


def test_channels_stand_beside_each_other():
    left, right = magnitudes(6, 4), magnitudes(6, 4, seed=1)
    both = supervectors(torch.stack([left, right]), 1)
    assert torch.equal(both, torch.cat([supervectors(left, 1), supervectors(right, 1)], 1))


def blocks_of(vectors, size=17):
    return lambda: iter(vectors.split(size))


def test_standardised_values_have_no_mean_and_unit_variance():
    vectors = 5.0 + 3.0 * torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    vectors[:, 2] = 7.0
    found = Standard.of(blocks_of(vectors))
    inner = found(vectors)
    assert torch.allclose(inner.mean(0), torch.zeros(6), atol=1e-5)
    spread = inner.std(0, unbiased=False)
    assert torch.allclose(spread, torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]), atol=1e-5)
    with pytest.raises(AudioError, match="no frames to learn from"):
        Standard.of(lambda: iter(()))


def test_reduction_is_two_standardisations_around_a_pca():
    mixing = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    vectors = magnitudes(500, 3) @ mixing + 0.05 * magnitudes(500, 8, seed=2) + 4.0
    found = Reduction.of(blocks_of(vectors), 4, 10_000, seed=0)
    x = vectors.double().numpy()
    x = (x - x.mean(0)) / x.std(0)
    wanted = PCA(4).fit_transform(x)
    wanted /= wanted.std(0)
    inputs = found(vectors).numpy()
    assert inputs.shape == (500, 4)
    for column in range(4):
        same = np.corrcoef(inputs[:, column], wanted[:, column])[0, 1]
        assert abs(same) == pytest.approx(1.0, abs=1e-3)
    assert np.allclose(inputs.mean(0), 0.0, atol=1e-4)
    assert np.allclose(inputs.std(0), 1.0, atol=1e-3)
    assert found.kept == pytest.approx(PCA(4).fit(x).explained_variance_ratio_.sum(), abs=1e-3)


def test_pca_may_look_at_a_part_of_the_frames():
    vectors = magnitudes(3000, 5) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    one, other = (Reduction.of(blocks_of(vectors), 5, 500, seed=seed) for seed in (0, 0))
    assert torch.equal(one.weight, other.weight)
    assert one(vectors).shape == (3000, 5)
    assert one.kept == pytest.approx(1.0, abs=1e-5)


def test_fewer_frames_than_components_are_one_clear_error():
    with pytest.raises(SpecError, match="3 frames for 4 principal components"):
        Reduction.of(blocks_of(magnitudes(3, 8)), 4, 100, seed=0)
