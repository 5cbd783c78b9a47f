"""Correlations at short lags of long sounds, over spans of time, block by block.

BSS Eval needs the products of references with references and with estimates at lags of 0 to
`taps - 1` samples: some hundred numbers out of sounds of millions of samples. They come from short
FFTs of blocks (overlap-save), whose cross-spectra are summed as one batch of matrix products, so
that the work grows with the length of the sound, not with its logarithm, and the memory does not
grow at all.

Everywhere, entry [..., i, q, l] of lags sums first_i[n] second_q[n + l].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BUDGET = 1 << 23
"""Bytes that the blocks in work take, about: few enough to stay near the processor."""

COLUMNS, GROUP = 16, 32
"""Columns, and borders, that are correlated at once."""


def lags_of_spans(
    first: Tensor, second: Tensor, taps: int, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Correlate within spans of time: what lies outside a span counts as silence.

    Args:
        first: `(rows, spans, samples)`, any floating type.
        second: `(columns, spans, samples)`.
        taps: number of lags.
        dtype: in which the spectra are computed.

    Returns:
        lags `(spans, rows, columns, taps)`, float64.
    """
    if len(second) > COLUMNS:
        parts = [lags_of_spans(first, some, taps, dtype) for some in second.split(COLUMNS)]
        return torch.cat(parts, dim=2)
    length, block = _layout(taps)
    spans, samples = first.shape[1:]
    # A block's spectra, and their copies in the order of the matrix products.
    signals = len(first) + len(second)
    blocks_at_once = max(1, BUDGET // (2 * signals * (length + 2) * dtype.itemsize))
    if samples > blocks_at_once * block:
        return _lags_of_long_spans(first, second, taps, dtype, blocks_at_once * block)
    spans_at_once = max(1, blocks_at_once // -(-samples // block))
    parts = [
        _lags(
            torch.nn.functional.pad(first[:, at : at + spans_at_once], (taps - 1, 0)),
            second[:, at : at + spans_at_once],
            taps,
            dtype,
        )
        for at in range(0, spans, spans_at_once)
    ]
    return torch.cat(parts)


def _lags_of_long_spans(
    first: Tensor, second: Tensor, taps: int, dtype: torch.dtype, size: int
) -> Tensor:
    """Sum the lags of pieces of `size` samples; those of `first` reach back over the borders."""
    spans, samples = first.shape[1:]
    total = first.new_zeros(spans, len(first), len(second), taps, dtype=torch.float64)
    for at in range(0, samples, size):
        start = max(0, at - (taps - 1))
        for number in range(spans):
            some = first[:, number : number + 1, start : at + size]
            if at - start < taps - 1:
                some = torch.nn.functional.pad(some, (taps - 1 - (at - start), 0))
            total[number] += _lags(
                some, second[:, number : number + 1, at : at + size], taps, dtype
            )[0]
    return total


def lags_across(
    first: Tensor,
    second: Tensor,
    borders: Sequence[int],
    taps: int,
    dtype: torch.dtype = torch.float64,
    *,
    together: bool = False,
) -> Tensor:
    """Return what lags over borders contribute: `first` before each, `second` after it.

    Args:
        first: `(rows, samples)`.
        second: `(columns, samples)`.
        borders: numbers of the first samples after the borders.
        taps: number of lags.
        dtype: in which the spectra are computed.
        together: whether to sum over the borders.

    Returns:
        lags `(borders, rows, columns, taps)`, or `(1, rows, columns, taps)`; float64.
    """
    reach, length = taps - 1, 1 << (2 * taps - 1).bit_length()
    block = length - reach
    empty = first.new_zeros(int(together), len(first), len(second), taps, dtype=torch.float64)
    parts = [empty]
    for at in range(0, len(borders), GROUP):
        some = borders[at : at + GROUP]
        before = first.new_zeros(len(some), len(first), length, dtype=dtype)
        after = second.new_zeros(len(some), len(second), length, dtype=dtype)
        for number, border in enumerate(some):
            past, future = first[:, max(0, border - reach) : border], second[:, border:][:, :reach]
            before[number, :, reach - past.shape[1] : reach] = past
            after[number, :, block - future.shape[1] : block] = future.flip(-1)
        if together:
            parts.append(_products(before[None], after.transpose(0, 1)[None], taps, block))
        else:
            parts.append(_products(before[:, None], after[:, :, None], taps, block))
    found = torch.cat(parts)
    return found.sum(0, keepdim=True) if together else found


def _layout(taps: int) -> tuple[int, int]:
    """Return the length of the transforms, and how many new samples each of them takes."""
    length = max(1024, 4 << (taps - 1).bit_length())
    return length, length - taps + 1


def _lags(first: Tensor, second: Tensor, taps: int, dtype: torch.dtype) -> Tensor:
    """Correlate spans; those of `first` begin `taps - 1` samples earlier than those of `second`."""
    length, block = _layout(taps)
    count = -(-second.shape[2] // block)
    # Blocks of the second sound stand alone; those of the first reach back by all lags.
    before = torch.nn.functional.pad(
        first.transpose(0, 1).to(dtype), (0, count * block - second.shape[2])
    )
    before = before.unfold(-1, length, block).transpose(1, 2)
    after = _reversed_blocks(second.transpose(0, 1), count, block, length, dtype)
    return _products(before, after, taps, block)


def _products(before: Tensor, after: Tensor, taps: int, block: int) -> Tensor:
    """Return lags of blocks, summed over the blocks of a span.

    The time goes into memory, hence the form: bins come first by plain transpositions, and one
    batch of small matrix products does the rest.

    Args:
        before: `(spans, blocks, rows, length)`: blocks of `block` samples and the `taps - 1`
            samples before them.
        after: `(spans, columns, blocks, length)`: blocks backwards, then zeros.
        taps: number of lags.
        block: length of a block.

    Returns:
        `(spans, rows, columns, taps)`, float64.
    """
    spans, count, rows, length = before.shape
    columns, bins = after.shape[1], length // 2 + 1
    right = _transposed(torch.fft.rfft(before, length).reshape(-1, bins))
    left = _transposed(torch.fft.rfft(after, length).reshape(-1, bins))
    products = torch.bmm(
        left.reshape(bins * spans, columns, count), right.reshape(bins * spans, count, rows)
    )
    summed = _transposed(products.reshape(bins, -1)).reshape(spans, columns, rows, bins)
    lags = torch.fft.irfft(summed, length)[..., block - 1 : block - 1 + taps]
    return lags.flip(-1).transpose(1, 2).to(torch.float64)


def _reversed_blocks(
    sounds: Tensor, count: int, block: int, length: int, dtype: torch.dtype
) -> Tensor:
    """Cut `(spans, columns, samples)` into blocks, each backwards and with zeros up to `length`.

    Backwards, because a convolution with it is a correlation, and needs no conjugate spectra.
    """
    blocks = sounds.new_empty(*sounds.shape[:2], count, length, dtype=dtype)
    blocks[..., block:] = 0
    full = sounds.shape[2] // block
    whole = sounds[..., : full * block].unflatten(-1, (full, block))
    blocks[:, :, :full, :block] = whole.flip(-1)
    if full < count:
        rest = sounds.shape[2] - full * block
        blocks[:, :, full, : block - rest] = 0
        blocks[:, :, full, block - rest : block] = sounds[..., full * block :].flip(-1)
    return blocks


def _transposed(matrix: Tensor) -> Tensor:
    return matrix.t().contiguous()


def lags_of_frames(
    first: Tensor,
    second: Tensor,
    window: int,
    hop: int,
    taps: int,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Correlate within frames that may overlap, and over the whole, in one pass where it can be.

    Frames and the whole are sums over the pieces that both are made of, and over the pieces'
    borders.

    Args:
        first: `(rows, samples)`.
        second: `(columns, samples)`.
        window: length of a frame in samples, at most `samples`.
        hop: samples from frame to frame. A last frame that is not complete is left out.
        taps: number of lags.
        dtype: in which the spectra are computed.

    Returns:
        lags of the frames, `(frames, rows, columns, taps)`, and of the whole sound,
        `(1, rows, columns, taps)`.
    """
    samples = first.shape[1]
    frames = (samples - window) // hop + 1
    unit = math.gcd(window, hop)
    if unit < max(taps, window // 8):  # many short pieces make more work than they save
        inside = lags_of_spans(
            first.unfold(-1, window, hop), second.unfold(-1, window, hop), taps, dtype
        )
        return inside, lags_of_spans(first[:, None], second[:, None], taps, dtype)
    pieces = samples // unit
    inside = lags_of_spans(first.unfold(-1, unit, unit), second.unfold(-1, unit, unit), taps, dtype)
    wide, step = window // unit, hop // unit
    across = lags_across(first, second, range(unit, samples, unit), taps, dtype, together=wide == 1)
    whole = inside.sum(0) + across.sum(0)
    if samples > pieces * unit:
        rest = lags_of_spans(
            first[:, None, pieces * unit :], second[:, None, pieces * unit :], taps, dtype
        )
        whole += rest[0]
    if wide == 1:
        return inside[: (frames - 1) * step + 1 : step], whole[None]
    starts = range(0, frames * step, step)
    summed = [inside[at : at + wide].sum(0) + across[at : at + wide - 1].sum(0) for at in starts]
    return torch.stack(summed), whole[None]
