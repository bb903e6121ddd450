"""Convolutions along a sequence that do not see what comes later."""

import torch
from torch.nn import functional as F


def fft_convolution(signal: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Causal convolution along the last dimension: output t sees signal 0 to t only.

    Args:
        signal: `(batch, channels, length)`, float32. More dimensions may stand between.
        filters: `(channels, taps)`, float32, with at most as many taps as the signal is long; `filters[:, 0]` weighs
            the present token. Broadcast over the other dimensions.

    Returns:
        `(batch, channels, length)`, float32.
    """
    length = signal.shape[-1]
    # Twice the length, or the end of the convolution would wrap around to its beginning.
    spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(filters, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length]


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
