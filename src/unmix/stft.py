"""The short-time Fourier transform: its settings, there and back, and context frames.

A spectrogram has the shape `(..., bins, frames)`; a network's input `(batch, frames, features)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.signal import get_window
from torch import Tensor

from unmix.errors import SpecError, one_of

SHAPES = ("hann", "hamming", "blackmanharris", "boxcar", "cosine")


@dataclass(frozen=True)
class STFT:
    """Settings of a transform.

    Attributes:
        rate: sampling rate in Hz.
        window: length of window and Fourier transform, in samples.
        hop: step from frame to frame, in samples.
        shape: name of the window, one of `SHAPES` (`cosine` is the sine window).
    """

    rate: int = 8000
    window: int = 1024
    hop: int = 256
    shape: str = "hann"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise SpecError(one_of("window shape", self.shape, SHAPES), expected=", ".join(SHAPES))
        if not 0 < self.hop <= self.window or self.window < 2 or self.rate < 1:
            raise SpecError(
                f"an STFT with window {self.window}, hop {self.hop} and rate {self.rate} Hz",
                expected="0 < hop <= window, both in samples, and a positive rate",
            )
        if self.shape not in ("boxcar", "hamming") and self.hop == self.window:
            raise SpecError(
                f"an STFT with hop {self.hop} as long as its {self.shape} window",
                expected="a smaller hop, since the window is zero at its edge",
            )

    @property
    def bins(self) -> int:
        """Number of bins from zero to the Nyquist frequency."""
        return self.window // 2 + 1

    def taps(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the periodic window, shape `(window,)`, float32."""
        taps = get_window(self.shape, self.window, fftbins=True)
        return torch.as_tensor(taps, dtype=torch.float32, device=device)

    def forward(self, sound: Tensor) -> Tensor:
        """Transform `(..., samples)` to a complex spectrogram `(..., bins, frames)`.

        Frame t is centred on sample `t * hop`; outside the sound there is silence, so that any
        length is legal and `frames == 1 + samples // hop`.
        """
        return self._transformed(sound, center=True)

    def within(self, sound: Tensor) -> Tensor:
        """Transform `(..., samples)` to the frames that lie in it whole, `(..., bins, frames)`.

        Frame t begins at sample `t * hop`.
        """
        return self._transformed(sound, center=False)

    def _transformed(self, sound: Tensor, center: bool) -> Tensor:
        flat = sound.reshape(-1, sound.shape[-1])
        spectrum = torch.stft(
            flat,
            self.window,
            self.hop,
            window=self.taps(sound.device),
            center=center,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum.reshape(*sound.shape[:-1], *spectrum.shape[-2:])

    def inverse(self, spectrum: Tensor, samples: int) -> Tensor:
        """Transform `(..., bins, frames)` back to `(..., samples)` by weighted overlap-add."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:])
        sound = torch.istft(
            flat,
            self.window,
            self.hop,
            window=self.taps(spectrum.device),
            center=True,
            length=samples,
        )
        return sound.reshape(*spectrum.shape[:-2], samples)


def with_context(features: Tensor, previous: int) -> Tensor:
    """Append to each frame the frames before it, newest first.

    Args:
        features: `(batch, frames, features)`.
        previous: how many frames before the current one; what lies before the first is silence.

    Returns:
        `(batch, frames, (1 + previous) * features)`.
    """
    if previous == 0:
        return features
    shifted = [
        torch.nn.functional.pad(features, (0, 0, lag, 0))[:, : features.shape[1]]
        for lag in range(previous + 1)
    ]
    return torch.cat(shifted, dim=2)
