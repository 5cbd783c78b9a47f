"""museval, asked for the same scores: the referee of tests, benchmarks and doubting readers."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from unmix.errors import UnmixError
from unmix.metrics.bsseval import V4_WINDOW, Scores


@cache
def museval_metrics() -> ModuleType:
    """Return museval's module of metrics alone: importing the package asks for ffmpeg.

    Raises:
        UnmixError: museval is not installed.
    """
    package = importlib.util.find_spec("museval")
    if package is None or not package.submodule_search_locations:
        raise UnmixError("museval is not installed", do="pip install museval, or --backend unmix")
    path = Path(package.submodule_search_locations[0]) / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def museval_scores(
    references: Tensor,
    estimates: Tensor,
    metric: str = "sdr-v3",
    *,
    taps: int = 512,
    window: int | None = None,
    hop: int | None = None,
    permute: bool = False,
) -> Scores:
    """Score one system with museval; arguments and shapes as in `unmix.metrics.bsseval.bss_eval`.

    museval adds an epsilon to energies (very quiet sounds get wrong scores), does not accept
    silence throughout, and takes antiphase stereo for silence.

    Args:
        references: `(sources, channels, samples)`.
        estimates: `(1, sources, channels, samples)`.
        metric: one of `unmix.metrics.bsseval.METRICS`.
        taps: length of the distortion filters.
        window: length of a frame in samples; None: the whole, for `v4` `V4_WINDOW`.
        hop: samples from frame to frame; None: the window.
        permute: whether to find the best order of the estimates.

    Raises:
        UnmixError: museval does not accept the sounds.
    """
    if metric == "v4" and window is None:
        window = V4_WINDOW
    length = np.inf if window is None else window
    try:
        sdr, isr, sir, sar, order = museval_metrics().bss_eval(
            references.double().transpose(1, 2).numpy(),
            estimates[0].double().transpose(1, 2).numpy(),
            window=length,
            hop=length if hop is None else hop,
            compute_permutation=permute,
            filters_len=taps,
            framewise_filters=metric != "v4",
            bsseval_sources_version=metric == "sdr-v3",
        )
    except ValueError as error:
        raise UnmixError(f"museval does not score this: {error}") from error
    if metric == "sdr-v3":
        isr = np.full_like(sdr, np.nan)
    best = np.broadcast_to(order, sdr.shape)
    return Scores(*(torch.from_numpy(each.copy())[None] for each in (sdr, isr, sir, sar, best)))
