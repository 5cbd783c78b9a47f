"""The least squares start of a layer: against lstsq, singular matrices, the paper's argument."""

import numpy as np
import pytest
import torch

from unmix.errors import UnmixError
from unmix.training.leastsquares import Moments, least_squares


def blocks(features, targets, size=37):
    return zip(
        torch.as_tensor(features).split(size), torch.as_tensor(targets).split(size), strict=True
    )


def squares(layer, features, targets, relu=False):
    """The squared error of a layer, in float64."""
    output = features @ layer[0].numpy().astype(float).T + layer[1].numpy()
    return float((((np.maximum(output, 0.0) if relu else output) - targets) ** 2).sum())


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_the_closed_form_is_what_lstsq_finds(mean):
    """On columns whose sizes span six orders, and far from zero: centring loses no digits."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 12)) @ rng.standard_normal((12, 12))
    features = features * 10.0 ** np.linspace(-3, 3, 12) + mean * 10.0 ** np.linspace(-3, 3, 12)
    targets = features @ rng.standard_normal((12, 3)) + rng.standard_normal((500, 3)) + mean
    moments = Moments()
    for pair in blocks(features, targets):
        moments.add(*pair)
    (weight, bias), ridge = moments.solved()
    centred = features - features.mean(0)
    wanted = np.linalg.lstsq(centred, targets - targets.mean(0), rcond=None)[0].T
    assert ridge == 0.0
    assert np.allclose(weight.numpy(), wanted, rtol=1e-5, atol=0)
    assert np.allclose(bias.numpy(), targets.mean(0) - wanted @ features.mean(0), rtol=1e-5)


def test_ill_conditioned_features_lose_no_accuracy():
    """C_xx of condition 1e10: the error is that of lstsq to six digits, and no ridge is needed."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    features = (rng.standard_normal((2000, 30)) * np.logspace(0, -5, 30)) @ basis + 3.0
    targets = rng.standard_normal((2000, 4)) + features[:, :4]
    moments = Moments()
    for pair in blocks(features, targets):
        moments.add(*pair)
    layer, ridge = moments.solved()
    augmented = np.c_[features, np.ones(2000)]
    best = targets - augmented @ np.linalg.lstsq(augmented, targets, rcond=None)[0]
    assert ridge == 0.0
    assert squares(layer, features, targets) == pytest.approx((best**2).sum(), rel=1e-6)


@pytest.mark.parametrize("kind", ["copied", "constant", "all constant", "fewer than features"])
def test_a_ridge_comes_in_where_the_matrix_is_singular_and_only_there(kind):
    rng = np.random.default_rng(2)
    features, targets = rng.random((300, 8)), rng.random((300, 2))
    if kind == "copied":
        features[:, 5] = features[:, 1] + features[:, 2]
    elif kind == "constant":
        features[:, 5] = 0.0
    elif kind == "all constant":
        features[:] = 0.25
    else:
        features, targets = features[:5], targets[:5]
    layer, ridge = least_squares(blocks(features, targets))
    assert 0.0 < ridge < 1e-7
    augmented = np.c_[features, np.ones(len(features))]
    best = targets - augmented @ np.linalg.lstsq(augmented, targets, rcond=None)[0]
    assert squares(layer, features, targets) == pytest.approx((best**2).sum(), rel=1e-5, abs=1e-6)
    features[:, 5] = rng.random(len(features))
    if kind in ("copied", "constant"):
        assert least_squares(blocks(features, targets))[1] == 0.0


def test_rounding_of_features_is_no_signal():
    """In float32 a sum of two columns is a third one's copy up to rounding; in float64 it tells."""
    rng = np.random.default_rng(3)
    features = rng.random((400, 6)).astype(np.float32)
    features[:, 5] = features[:, 1] + features[:, 2]
    targets = rng.random((400, 2)).astype(np.float32)
    layer, ridge = least_squares(blocks(features, targets))
    assert ridge > 0.0
    assert float(layer[0].abs().max()) < 1.0
    told = features.astype(float)
    told[:, 5] += 1e-7 * rng.standard_normal(400)
    assert least_squares(blocks(told, targets.astype(float)))[1] == 0.0


def test_features_that_are_not_finite_have_no_solution():
    features = np.random.default_rng(0).random((50, 4))
    features[7, 2] = np.nan
    with pytest.raises(UnmixError, match=r"least squares problem of a layer.*are finite"):
        least_squares(blocks(features, features[:, :1].copy()))


@pytest.mark.parametrize("seed", range(5))
def test_each_layer_is_optimal_and_neither_relu_nor_another_layer_raises_the_error(seed):
    """The paper's argument (Sec. 2.3), on random non-negative targets and three layers."""
    rng = np.random.default_rng(seed)
    targets = np.maximum(rng.standard_normal((400, 6)), 0.0)
    features = np.abs(targets @ rng.standard_normal((6, 20)) + rng.standard_normal((400, 20)))
    before = None
    for _ in range(3):
        layer, _ = least_squares(blocks(features, targets))
        linear = squares(layer, features, targets)
        outputs = features @ layer[0].numpy().T.astype(float) + layer[1].numpy()
        left = outputs - targets
        # Optimal: what is left is orthogonal to all features and to the constant.
        assert np.abs(left.T @ np.c_[features, np.ones(400)]).max() < 1e-3
        for _ in range(20):
            step = 1e-3 * rng.standard_normal(layer[0].shape)
            moved = (layer[0] + torch.from_numpy(step).float(), layer[1])
            assert squares(moved, features, targets) > linear
        if before is not None:
            assert linear <= before * (1 + 1e-6), "the new layer could be the identity"
        rectified = squares(layer, features, targets, relu=True)
        assert rectified < linear, "no target is negative"
        before, features = rectified, np.maximum(outputs, 0.0)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1.0, 1e3])
def test_a_ridge_around_what_is_there_never_raises_the_error(ridge):
    """Drawn to zero, the same ridge does."""
    rng = np.random.default_rng(7)
    targets = np.maximum(rng.standard_normal((400, 6)), 0.0)
    features = targets + 0.3 * np.abs(rng.standard_normal((400, 6)))
    there = torch.eye(6, dtype=torch.float64)
    before = ((features - targets) ** 2).sum()
    layer, used = least_squares(blocks(features, targets), ridge, there)
    after = squares(layer, features, targets)
    assert used == ridge
    assert squares(least_squares(blocks(features, targets))[0], features, targets) <= after < before
    if ridge == 1e3:
        to_zero, _ = least_squares(blocks(features, targets), ridge)
        assert squares(to_zero, features, targets) > before
        assert torch.allclose(layer[0].double(), there, atol=1e-2)


def test_a_ridge_keeps_weights_small_where_features_nearly_repeat_each_other():
    rng = np.random.default_rng(8)
    features = rng.random((400, 8))
    features[:, 5] = features[:, 1] + 1e-5 * rng.standard_normal(400)
    targets = rng.random((400, 3))
    exact, _ = least_squares(blocks(features, targets))
    small, _ = least_squares(blocks(features, targets), 1e-3, torch.zeros(3, 8))
    assert float(exact[0].abs().max()) > 100.0
    assert float(small[0].abs().max()) < 1.0
    cost = squares(small, features, targets) / squares(exact, features, targets)
    assert 1.0 <= cost < 1.05
