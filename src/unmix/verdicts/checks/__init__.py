"""The checks of an audit: small pure functions by subject, each with its proof or source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from unmix.verdicts.checks import (
    averages,
    bsseval,
    equations,
    facts,
    listening,
    marks,
    paired,
    weights,
)
from unmix.verdicts.checks.groups import Entry, Group

Check = Callable[[str, Entry], Iterator[Group]]
"""Takes a paper and an entry of its `audit.yaml`, and yields what belongs to one finding each."""

CHECKS: Mapping[str, Check] = {
    "bss_identity": bsseval.identity,
    "bss_bound": bsseval.bound,
    "mixture_sdr": bsseval.mixture_sdr,
    "mean": averages.mean,
    "total": averages.add_up,
    "arithmetic": equations.arithmetic,
    "same": marks.same,
    "best_in_bold": marks.best_in_bold,
    "multiple": listening.multiple,
    "shares": listening.shares,
    "sign_test": listening.sign_test,
    "paired": paired.paired,
    "weighting": weights.weighting,
    "counts": facts.dataset_counts,
    "side_lobes": facts.side_lobes,
}
