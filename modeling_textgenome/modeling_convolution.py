"""Convolutions along a sequence that do not see what comes later."""

from functools import lru_cache

import torch
from torch.nn import functional as F


@lru_cache(maxsize=64)
def fft_length(least: int) -> int:
    """The smallest even length from `least` on whose only prime factors are 2, 3 and 5, which FFTs are fastest at."""
    sizes = [2 * 3**threes * 5**fives for threes in range(least.bit_length()) for fives in range(least.bit_length())]
    return min(size << max(0, (-(-least // size) - 1).bit_length()) for size in sizes)


def fft_convolution(signal: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Causal convolution along the last dimension: output t sees signal 0 to t only.

    Args:
        signal: `(batch, channels, length)`, float32. More dimensions may lie between.
        filters: `(channels, taps)`, float32, with at most as many taps as the signal is long; `filters[:, 0]` weighs
            the present token. Broadcast over the other dimensions.

    Returns:
        `(batch, channels, length)`, float32.
    """
    length = signal.shape[-1]
    # So long that the end of the convolution does not wrap around to its beginning.
    padded = fft_length(length + filters.shape[-1] - 1)
    spectrum = torch.fft.rfft(signal, n=padded) * torch.fft.rfft(filters, n=padded)
    return torch.fft.irfft(spectrum, n=padded)[..., :length]


def depthwise_convolution(signal: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Causal convolution with few taps, of which the last one weighs the present token.

    Args:
        signal: `(batch, channels, length)`.
        filters: `(channels, 1, taps)`.

    Returns:
        `(batch, channels, length)`.
    """
    return F.conv1d(F.pad(signal, (filters.shape[-1] - 1, 0)), filters, groups=signal.shape[1])


__all__ = ["depthwise_convolution", "fft_convolution"]
