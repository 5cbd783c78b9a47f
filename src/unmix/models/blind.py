"""Blind separation by NMF: components of a mixture, clustered into sources (uhlich, Table 3).

The mixture's magnitudes are factorised into `rank` components, each a basis over the bins and
activations over the frames (generalised Kullback-Leibler divergence). No component says whose it
is, and the three methods differ in nothing but how they put components together:

- `mfcc` (Spiertz and Gnann 2009): k-means of the mel-frequency cepstra of the bases;
- `mel` (the same): a second NMF of the bases on a logarithmic mel scale, as many components as
  there are sources, takes the place of cosine transform and k-means;
- `shifted` (Jaiswal et al. 2011): on a constant-Q scale a higher note of an instrument is a lower
  one moved up, so shifted NMF explains all bases by one template a source and its translations.

A component goes to the source that explains most of it. Soft masks of the sources' parts then share
the mixture out.

**Which cluster is which instrument** these methods cannot know, and the paper does not say who
told. Here the true sources do, as for an oracle: of all permutations the one with the highest sum
of scale-invariant SDR (see `matched`). Scores are an upper bound in that respect.

What uhlich and its sources leave open is a setting here; reasons stand at each. Where the spec's
transform comes in, `ANALYSIS` is meant.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unmix.datasets.track import VOICE, Scene
from unmix.errors import AudioError, SpecError, one_of
from unmix.models.blocks import check_mono, loudness
from unmix.models.nmf import SMALL, factorise, shared_out
from unmix.models.shifting import shift_factorise, shifted_model, translated
from unmix.stft import STFT

METHODS = ("mfcc", "mel", "shifted")

ANALYSIS = STFT(rate=32000, window=4096, hop=1024, shape="hann")
"""The transform that specs of these methods should name. Bases are told apart by their partials:
128 ms of a Hann window resolve semitones from about 250 Hz on, while the network's own transform,
32 ms without a taper, smears every partial over the whole spectrum."""

LIMIT_DB = 100.0
"""Bounds of the SDR that decides on permutations, so that no single source outweighs all others."""


@dataclass(frozen=True)
class BlindNmf:
    """Settings of the factorisation and of the clustering.

    Attributes:
        method: one of `METHODS`.
        rank: number of components of a mixture; about ten notes for each source of a trio.
        iterations: updates of the first factorisation; the divergence hardly falls any more.
        bands: of the mel filter bank (uhlich: 30).
        cepstra: coefficients that are clustered, from the zeroth; 13 are usual.
        range_db: what lies further below a basis's loudest band does not count: a logarithm needs
            a floor, the second NMF a scale that begins at zero. 80 is a factor of 10,000; sounds
            without noise want less, lest clusters form by what the window leaks.
        lowest: centre of the first constant-Q bin in Hz (uhlich: 55).
        per_octave: constant-Q bins in an octave (uhlich: 24).
        shifts: places that a template can stand at, the first included (uhlich: at most 24).
        updates: at most so many in clustering; for `shifted` exactly so many.
        restarts: random starts of the clustering, of which the one with the least cost counts:
            clustering is fast, and its local minima are many.
        exponent: of the parts in the masks; 2 makes Wiener-like ratios of powers, which part
            sources better than ratios of magnitudes.
    """

    needs_references: ClassVar[bool] = True
    method: str = "mfcc"
    rank: int = 30
    iterations: int = 200
    bands: int = 30
    cepstra: int = 13
    range_db: float = 80.0
    lowest: float = 55.0
    per_octave: int = 24
    shifts: int = 24
    updates: int = 300
    restarts: int = 10
    exponent: float = 2.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SpecError(
                one_of("blind method", self.method, METHODS), expected=", ".join(METHODS)
            )
        numbers = {name: value for name, value in vars(self).items() if name != "method"}
        wrong = [f"{name}={value}" for name, value in numbers.items() if not value > 0]
        if wrong:
            raise SpecError(f"blind NMF with {', '.join(wrong)}", expected="positive numbers")
        if self.cepstra > self.bands:
            raise SpecError(
                f"{self.cepstra} cepstral coefficients of {self.bands} bands",
                expected="at most as many coefficients as bands",
            )

    def fit(
        self, scenes: Iterable[Scene], stft: STFT, seed: int, sources: Sequence[str] = VOICE
    ) -> BlindSeparator:
        """Return the separator; nothing is learnt from the training part.

        Raises:
            SpecError: there are fewer components than sources.
        """
        if self.rank < len(sources):
            raise SpecError(
                f"rank {self.rank} for {len(sources)} sources ({', '.join(sources)})",
                expected="at least one component for each source",
            )
        return BlindSeparator(self, stft, seed, sources)


class BlindSeparator:
    """Factorises each mixture anew, always from the same seed."""

    def __init__(self, settings: BlindNmf, stft: STFT, seed: int, sources: Sequence[str]) -> None:
        self.settings, self.stft, self.seed, self.sources = settings, stft, seed, tuple(sources)

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: nothing was learnt."""
        return {}

    @torch.no_grad()
    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimate of each source, `(1, samples)`; they add up to the mixture.

        Args:
            mixture: `(1, samples)`.
            references: the true sources, which decide no more than whose a cluster is.

        Raises:
            SpecError: there are no references, as for a file from outside a dataset.
            AudioError: the mixture is silent, or shorter than a window.
        """
        if references is None:
            raise SpecError(
                f"blind NMF ('{self.settings.method}') was asked to separate a mixture without "
                "references",
                expected="the true sources, to know which cluster is which instrument",
                do="choose a trained system",
            )
        check_mono(mixture)
        loudness(mixture)
        if mixture.shape[1] < self.stft.window:
            raise AudioError(
                f"the mixture has {mixture.shape[1]} samples",
                expected=f"at least one window of {self.stft.window} samples",
            )
        return matched(self.clusters(mixture), {name: references[name] for name in self.sources})

    def clusters(self, mixture: np.ndarray) -> list[np.ndarray]:
        """Return the sound of each cluster, `(1, samples)`, in no particular order."""
        spectrum = self.stft.forward(torch.from_numpy(mixture))
        magnitudes = spectrum[0].abs()
        # Of mean one: scikit-learn's floors, and the masks', are absolute.
        bases, activations = components(
            magnitudes / magnitudes.mean(), self.settings.rank, self.settings.iterations, self.seed
        )
        member = self._membership(mixture, bases, activations)
        labels = torch.from_numpy(labelled(member))
        parts = {
            str(one): (bases[:, labels == one] @ activations[labels == one])
            ** self.settings.exponent
            for one in range(len(self.sources))
        }
        return list(shared_out(parts, spectrum, mixture, self.stft).values())

    def _membership(self, mixture: np.ndarray, bases: Tensor, activations: Tensor) -> np.ndarray:
        """Return how well each source explains each component, `(sources, rank)`."""
        count, settings = len(self.sources), self.settings
        if settings.method == "shifted":
            notes = constant_q(mixture, activations, self.stft, settings)
            return by_templates(notes, count, settings, self.seed)
        loud = mel_bands(bases.numpy(), self.stft, settings)
        cluster = by_cepstra if settings.method == "mfcc" else by_bands
        return cluster(loud, count, settings, self.seed)


def components(spectrum: Tensor, rank: int, iterations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return bases `(bins, rank)` of unit sum and activations `(rank, frames)` of magnitudes."""
    activations, bases = _factorised(
        spectrum.T.numpy(), rank, iterations, seed, "kullback-leibler"
    )[:2]
    scale = bases.sum(1, keepdims=True) + SMALL
    return torch.from_numpy((bases / scale).T), torch.from_numpy((activations * scale.T).T)


def _factorised(
    matrix: np.ndarray, rank: int, iterations: int, seed: int | np.random.RandomState, loss: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return scikit-learn's NMF of `(rows, columns)`: both factors, and the cost.

    In one thread, so that sums are formed in one order whatever the number of cores, and without a
    criterion to stop at.
    """
    from sklearn.decomposition import NMF
    from threadpoolctl import threadpool_limits

    model = NMF(
        rank,
        init="random",
        solver="mu",
        beta_loss=loss,
        tol=0.0,
        max_iter=iterations,
        random_state=seed,
    )
    with threadpool_limits(1):
        left = model.fit_transform(matrix)
    return left, model.components_, float(model.reconstruction_err_)


def labelled(membership: np.ndarray) -> np.ndarray:
    """Return the source of each component, `(rank,)`, of a membership `(sources, rank)`.

    It is the one that explains most of it. A source that gets none takes, of all components that
    are not the only one of theirs, the one that it explains best: there are as many sources as the
    methods are told, and a silent estimate has no score.
    """
    labels = membership.argmax(0)
    for source in range(len(membership)):
        if not (labels == source).any():
            free = np.bincount(labels, minlength=len(membership))[labels] > 1
            labels[np.where(free, membership[source], -np.inf).argmax()] = source
    return labels


def mel_bands(bases: np.ndarray, stft: STFT, settings: BlindNmf) -> np.ndarray:
    """Return the bases on a logarithmic mel scale, `(bands, rank)`, from 0 to 1.

    Triangles of equal height between frequencies equally far on O'Shaughnessy's mel scale, as in
    Zheng et al. 2001, from which the paper has its filter bank; cepstra would differ by a constant
    with triangles of equal area. As its scale is arbitrary, each basis is measured from its own
    loudest band; `range_db` below that is 0.
    """
    from librosa.filters import mel

    with warnings.catch_warnings():
        # A narrow band between two bins is empty for all bases and changes nothing.
        warnings.filterwarnings("ignore", message="Empty filters")
        bank = mel(sr=stft.rate, n_fft=stft.window, n_mels=settings.bands, htk=True, norm=None)
    loud = bank @ bases
    top = 10.0 ** (settings.range_db / 20.0)
    return np.log1p(top * loud / (loud.max(0) + SMALL)) / np.log1p(top)


def by_cepstra(loud: np.ndarray, sources: int, settings: BlindNmf, seed: int) -> np.ndarray:
    """Cluster the cepstra of bases on the mel scale `(bands, rank)` by k-means.

    Returns:
        membership `(sources, rank)`: minus the distance to the centre of a cluster.
    """
    from scipy.fft import dct
    from sklearn.cluster import KMeans

    cepstra = dct(loud, axis=0, norm="ortho")[: settings.cepstra].T
    means = KMeans(sources, n_init=settings.restarts, max_iter=settings.updates, random_state=seed)
    with warnings.catch_warnings():
        # Fewer different cepstra than sources leave clusters empty, which `labelled` mends.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        return -means.fit(cepstra).transform(cepstra).T


def by_bands(loud: np.ndarray, sources: int, settings: BlindNmf, seed: int) -> np.ndarray:
    """Cluster bases on the mel scale `(bands, rank)` by a second NMF.

    Of the two costs that Spiertz and Gnann compare, the squared error: logarithms are no energies,
    and it is the one that they recommend for sources that are equally loud.

    Returns:
        membership `(sources, rank)`: what a source's basis contributes to a component.
    """
    starts = np.random.RandomState(seed)
    found = [
        _factorised(loud.T, sources, settings.updates, starts, "frobenius")
        for _ in range(settings.restarts)
    ]
    weights, shapes, _ = min(found, key=lambda each: each[2])
    return (weights * shapes.sum(1)).T


def constant_q(mixture: np.ndarray, activations: Tensor, stft: STFT, settings: BlindNmf) -> Tensor:
    """Return the constant-Q spectra of components, `(bins, rank)`, each of unit sum.

    Jaiswal et al. multiply the bases by a constant-Q matrix. A transform with windows of 128 ms
    does not resolve quarter tones below about 1 kHz, so that no matrix could tell them. Instead
    the mixture itself is transformed (librosa), and the spectra are those that, with the
    components' own activations, come nearest to it: half of an NMF, convex.

    Args:
        mixture: `(1, samples)`.
        activations: `(rank, frames)` of the components.
        stft: the transform that they were found with.
        settings: of the constant-Q transform.

    Raises:
        SpecError: not even the shifts of a template fit between `lowest` and half the rate.
    """
    from librosa import cqt

    octaves = np.log2(stft.rate / 2.0 / settings.lowest)
    bins = int(settings.per_octave * octaves)
    if bins <= settings.shifts:
        raise SpecError(
            f"{max(bins, 0)} constant-Q bins between {settings.lowest} Hz and half the rate of "
            f"{stft.rate} Hz",
            expected=f"more than the {settings.shifts} shifts",
        )
    with warnings.catch_warnings():
        # The longest filter outlasts a short mixture; around that there is silence.
        warnings.filterwarnings("ignore", message="n_fft=.* is too large")
        spectrum = cqt(
            mixture[0],
            sr=stft.rate,
            hop_length=stft.hop,
            fmin=settings.lowest,
            n_bins=bins,
            bins_per_octave=settings.per_octave,
        )
    heard = torch.from_numpy(np.abs(spectrum).astype(np.float32))
    frames = min(heard.shape[1], activations.shape[1])
    heard, known = heard[:, :frames] / heard.mean(), activations[:, :frames]
    # Transposed, what is held are the bases and what is found the activations.
    start = torch.ones(len(known), bins)
    held = known.T / (known.sum(1) + SMALL)
    _, found = factorise(heard.T, held[None], start, settings.updates, learn=False)
    return (found / (found.sum(1, keepdim=True) + SMALL)).T


def by_templates(notes: Tensor, sources: int, settings: BlindNmf, seed: int) -> np.ndarray:
    """Cluster constant-Q spectra `(bins, rank)` by shifted NMF.

    Returns:
        membership `(sources, rank)`: what a source's template contributes to a component.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = settings.restarts, sources
    templates = torch.rand(*shape, len(notes), generator=generator) + 0.1
    weights = torch.rand(*shape, settings.shifts, notes.shape[1], generator=generator) + 0.1
    templates, weights = shift_factorise(notes, templates, weights, settings.updates)
    model = shifted_model(templates, weights)
    best = int((model - notes * (model + SMALL).log()).sum((1, 2)).argmin())
    reached = translated(templates[best], settings.shifts).sum(2)
    return torch.einsum("sz,szr->sr", reached, weights[best]).numpy()


def matched(
    sounds: Sequence[np.ndarray], references: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Give each reference one sound: the permutation with the highest sum of `gain_sdr`.

    Args:
        sounds: as many as references, each `(1, samples)`.
        references: by name, each `(1, samples)`.
    """
    values = gain_sdr(np.stack(list(references.values()))[:, 0], np.stack(list(sounds))[:, 0])
    _, columns = linear_sum_assignment(values, maximize=True)
    return {name: sounds[column] for name, column in zip(references, columns, strict=True)}


def gain_sdr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Return the scale-invariant SDR in dB of each pair, `(references, estimates)`.

    It is BSS Eval's SDR with filters of a single tap, which takes but the products of the sounds,
    where 512 taps would take as long as the scores themselves. Of silence it is -100 dB.

    Args:
        references: `(references, samples)`.
        estimates: `(estimates, samples)`.
    """
    true, found = references.astype(np.float64), estimates.astype(np.float64)
    whole = np.outer(np.square(true).sum(1), np.square(found).sum(1))
    shared = np.square(true @ found.T) / np.where(whole > 0.0, whole, 1.0)
    least = 10.0 ** (-LIMIT_DB / 10.0)
    return 10.0 * np.log10(np.maximum(shared, least) / np.maximum(1.0 - shared, least))
