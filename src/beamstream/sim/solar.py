"""What a solar radio spectrometer sees: the band, man-made lines, bursts that drift, noise."""

import math

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.spectra import Band
from beamstream.sim.bursts import BurstPlan, BurstShapes
from beamstream.sim.interference import Interference

TICK = 0.02
"""The Sun changes that often, s; the noise with every spectrum."""
QUIET = 100.0
"""Power of the quiet background in the middle of the band, arbitrary units."""
MOST_POLARIZATIONS = 4
_NOISES = 2**20  # different offsets into the noise
_MASK = 2**64 - 1
_CHANNELS, _WIDTH = 3072, 196e6 / 8192  # of the real instrument; Hz
_LINE_XX, _LINE_YY, _LINE_XY = (np.float32(share) for share in (1.3, 0.7, 0.4))  # lines are linearly polarised
_LEAST_NOISE, _MOST_NOISE = 0.004, 0.15  # relative


class Scene:
    """A dynamic spectrum, float32, each spectrum a function of shape, seed, interval and its number alone.

    Polarisations are XX, YY, Re XY, Im XY, as many as asked for; Im XY carries what part of the bursts is circularly
    polarised. The first beam looks at the Sun, the others past it: they see less of the bursts, and their noise is
    their own. However many channels there are, they share OVRO-LWA's band.

    Parameters
    ----------
    shape : tuple of (int, int, int)
        Beams, channels, polarisations (1 to 4).
    seed : int
    interval : float
        s from one spectrum to the next; the longer it is, the less noise.

    Raises
    ------
    ValueError
        There is no such spectrum.
    """

    def __init__(self, shape: tuple[int, int, int] = (1, _CHANNELS, 4), seed: int = 0, interval: float = 0.25) -> None:
        check(shape)
        if not interval > 0:
            raise ValueError(f"an interval of {interval} s asked for; use a positive one")
        self.shape, self.seed, self.interval = shape, seed, interval
        n_beams, n_channels, _ = shape
        band = Band()
        width = band.step * _CHANNELS / n_channels
        self.frequency = band.first + np.arange(n_channels, dtype=np.float64) * width
        """Of the channels, MHz, shape (n_channels,)."""
        self.bursts = BurstPlan(seed)
        """The truth about the bursts."""
        samples = _WIDTH * _CHANNELS / n_channels * interval
        self._noise = np.float32(np.clip(samples**-0.5, _LEAST_NOISE, _MOST_NOISE))
        self._size = math.prod(shape)
        self._random = np.random.default_rng((seed, 2)).standard_normal(_NOISES + self._size, np.float32)
        self._shapes = BurstShapes(self.bursts, band.first, width, n_channels, seed)
        self._interference = Interference(self.frequency, seed)
        self._beams = [_Beam(n, self.frequency, seed) for n in range(n_beams)]
        self._mean = np.empty((n_beams, n_channels, MOST_POLARIZATIONS), np.float32)
        self._spread = np.empty_like(self._mean)
        self._tick = -1

    def spectrum(self, index: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return spectrum number `index`, from 0.

        Parameters
        ----------
        index : int
        out : ndarray of float32, shape `shape`, optional
            Where to put it; contiguous.
        """
        self._look(int(index * self.interval / TICK))
        n_pols = self.shape[2]
        offset = _scattered(index, self.seed)
        noise = self._random[offset : offset + self._size].reshape(self.shape)
        out = np.multiply(noise, self._spread[..., :n_pols], out=out)
        out += self._mean[..., :n_pols]
        return out

    def _look(self, tick: int) -> None:
        """Work out what there is at a time, without noise, unless that is known."""
        if tick == self._tick:
            return
        time = tick * TICK
        total, circular = self._shapes.light(time)
        lines = self._interference.at(time)
        for beam, mean, spread in zip(self._beams, self._mean, self._spread, strict=True):
            sky = beam.look(total, circular, lines)
            mean[:] = sky.T
            np.multiply(sky[:2], self._noise, out=sky[:2])
            sky[2:] = np.sqrt(sky[0] * sky[1] / 2)
            spread[:] = sky.T
        self._tick = tick


class _Beam:
    """What one beam makes of the sky."""

    def __init__(self, number: int, frequency: NDArray[np.float64], seed: int) -> None:
        random = np.random.default_rng((seed, 3, number))
        shares = [QUIET * _response(frequency) * _ripple(frequency, random) for _ in range(2)]
        sky = (frequency / 50) ** -1.4 * random.uniform(0.8, 1.0)
        self._gain = np.array(shares, np.float32)
        self._quiet = self._gain * sky.astype(np.float32) + np.float32(0.03 * QUIET)
        self._bursts = np.float32(1.0 if number == 0 else 0.35 / number)
        self._leak = np.float32(random.uniform(-0.05, 0.05))

    def look(
        self, total: NDArray[np.float32], circular: NDArray[np.float32], lines: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return XX, YY, Re XY, Im XY, shape (4, n_channels)."""
        bursts = total * self._bursts
        sky = np.empty((MOST_POLARIZATIONS, total.size), np.float32)
        sky[0] = bursts + _LINE_XX * lines
        sky[1] = bursts + _LINE_YY * lines
        sky[:2] *= self._gain
        sky[:2] += self._quiet
        sky[2] = self._gain[0] * (self._leak * bursts + _LINE_XY * lines)
        sky[3] = self._gain[0] * (circular * self._bursts)
        return sky


def check(shape: tuple[int, ...]) -> None:
    """Say what is wrong with a shape, if something is.

    Raises
    ------
    ValueError
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"spectra of shape {shape} asked for; use (beams, channels, polarisations)")
    if shape[2] > MOST_POLARIZATIONS:
        raise ValueError(
            f"{shape[2]} polarisations asked for; there are 1 to {MOST_POLARIZATIONS}: XX, YY, Re XY, Im XY"
        )


def _response(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what aerial and filters let through: most in the middle, little at the edges."""
    rise = 1 / (1 + np.exp((17.5 - frequency) / 0.9))
    fall = 1 / (1 + np.exp((frequency - 84.5) / 0.7))
    aerial = 1 / (1 + (30 / frequency) ** 4)
    return rise * fall * aerial


def _ripple(frequency: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return what cables and channels do to the gain, about 1."""
    waves = np.ones_like(frequency)
    for period, height in ((22.0, 0.06), (4.7, 0.035), (1.9, 0.012)):  # MHz
        waves += height * np.sin(2 * np.pi * (frequency / period + random.uniform()))
    return waves * random.normal(1, 0.008, frequency.size) * random.uniform(0.9, 1.1)


def _scattered(index: int, seed: int) -> int:
    """Return where the noise of a spectrum begins; neighbours have nothing in common (splitmix64)."""
    z = (index * 0x9E3779B97F4A7C15 + seed) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) % _NOISES
