"""The scene of a sample in a beam: what it is made of, and that darks and flats bring the truth back."""

import numpy as np
import pytest

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.scene import WIDTH, Beam, BeamScene

DTYPES = ["|u1", "<u2", "<u4", "<u8", "<f4"]
BEAMS = {
    "dark": Beam(shutter_open=False),
    "flat": Beam(sample_in=False),
    "sample": Beam(),
    "moved": Beam(position=-1.3, exposure=0.1),
}
SHAPE = (96, 130)


@pytest.fixture(scope="module", params=DTYPES)
def scene(request):
    return BeamScene(Geometry(SHAPE, request.param))


@pytest.fixture(scope="module")
def photons():
    """A scene in which one count is one photon."""
    return BeamScene(Geometry(SHAPE, "<u2"))


def truth(scene, beam):
    light = scene.illumination * beam.shutter_open
    if beam.sample_in:
        light = light * scene.transmission(beam.position)
    return scene.dark(beam.exposure) + light


def count_of_a_photon(scene):
    return {"|u1": 240 / 60_000, "<u4": 4e9 / 60_000, "<u8": 1.7e19 / 60_000}.get(scene.geometry.dtype, 1.0)


def live(scene):
    mask = np.ones(scene.geometry.shape, bool)
    mask.flat[scene.dead] = False
    return mask


@pytest.mark.parametrize("beam", BEAMS.values(), ids=BEAMS)
def test_pictures_average_to_dark_plus_illumination_times_transmission(scene, beam):
    n = 40
    mean = np.mean([scene.image(i, beam) for i in range(n)], axis=0, dtype=float)
    count = count_of_a_photon(scene)
    photons = (truth(scene, beam) - scene.dark(beam.exposure)) / count
    error = np.sqrt((photons + 16) / n) * count
    rounded = 0.5 if scene.geometry.dtype == "|u1" else 0.0  # so dark that the noise is less than a count
    assert np.all(np.abs(mean - truth(scene, beam)) <= 6 * error + rounded)


def test_the_noise_is_that_of_the_photons_and_of_the_electronics(photons):
    images = np.array([photons.image(i) for i in range(100)], float)
    expected = truth(photons, Beam()) - photons.dark() + 16
    ratio = (images.var(axis=0, ddof=1) / expected)[live(photons)]
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_the_noise_of_one_picture_says_nothing_about_that_of_another(photons):
    expected = truth(photons, Beam())
    noise = np.array([photons.image(i) - expected for i in range(8)])[:, live(photons)]
    alike = np.corrcoef(noise) - np.eye(8)
    assert np.abs(alike).max() < 0.05
    row = np.zeros(SHAPE)
    row[live(photons)] = noise.mean(axis=0)
    assert abs(np.corrcoef(row[:, 1:].ravel(), row[:, :-1].ravel())[0, 1]) < 0.05  # the mean is no smear


@pytest.mark.parametrize("beam", [*BEAMS.values(), Beam(exposure=1000.0), Beam(exposure=0.0)])
def test_nothing_saturates_and_only_dead_pixels_are_zero(scene, beam):
    image = scene.image(7, beam)
    dtype = np.dtype(scene.geometry.dtype)
    assert image.max() < (np.iinfo(dtype).max if dtype.kind == "u" else 65_535)
    assert np.array_equal(np.flatnonzero(image == 0), scene.dead)
    assert scene.dead.size >= 3


def test_the_range_of_the_pixel_type_is_used(scene):
    flat = scene.image(1, BEAMS["flat"])
    top = 65_535 if scene.geometry.dtype == "<f4" else np.iinfo(flat.dtype).max
    assert flat.max() > 0.7 * top
    assert np.median(flat) > 0.2 * top


def test_a_picture_is_a_function_of_geometry_id_and_beam(scene):
    again = BeamScene(scene.geometry)
    out = np.empty(SHAPE, scene.geometry.dtype)
    for unique_id in (0, 5, 2**31 - 1):
        for beam in BEAMS.values():
            assert scene.image(unique_id, beam, out) is out
            assert np.array_equal(out, again.image(unique_id, beam))
    assert len({scene.image(i).tobytes() for i in range(50)}) == 50


def test_the_dark_grows_with_the_exposure_and_the_light_does_not(photons):
    short, long = 0.01, 1.0
    darker, lighter = ([photons.image(i, Beam(open_, False, 0, t)).mean() for i in range(4)]
                       for open_, t in ((False, long), (True, long)))  # fmt: skip
    grown = np.mean(darker) - np.mean([photons.image(i, Beam(False, False, 0, short)).mean() for i in range(4)])
    assert grown > 100
    whole = np.mean(lighter) - np.mean([photons.image(i, Beam(True, False, 0, short)).mean() for i in range(4)])
    assert whole == pytest.approx(grown, rel=0.01)


def test_the_illumination_is_uneven_and_every_live_pixel_has_some(photons):
    illumination = photons.illumination[live(photons)]
    assert illumination.min() > 0
    assert illumination.std() > 0.2 * illumination.mean()


def test_the_sample_lies_within_the_field_and_lets_light_through(photons):
    passed = photons.transmission()
    assert 0.2 <= passed.min() < 0.4
    assert passed.max() == 1.0
    border = np.concatenate((passed[0], passed[-1], passed[:, 0], passed[:, -1]))
    assert np.all(border == 1.0)
    assert np.mean(passed < 0.9) > 0.2


def test_a_millimetre_moves_the_sample_a_fifth_of_the_field_to_the_right(photons):
    n_cols = SHAPE[1]
    step = n_cols // 5
    centred = photons.transmission()
    assert np.array_equal(photons.transmission(1.0)[:, step:], centred[:, :-step])
    assert np.all(photons.transmission(1.0)[:, :step] == 1.0)
    assert np.array_equal(photons.transmission(-1.0)[:, :-step], centred[:, step:])


@pytest.mark.parametrize("position", [WIDTH, -WIDTH, 6.0, -1e9])
def test_from_five_millimetres_on_the_sample_is_out(photons, position):
    assert np.all(photons.transmission(position) == 1.0)
    assert np.array_equal(photons.image(3, Beam(position=position)), photons.image(3, Beam(sample_in=False)))


@pytest.mark.parametrize("shape", [(8, 8), (40, 200), (201, 33)])
def test_any_field_has_a_sample_that_a_flat_field_brings_out(shape):
    scene = BeamScene(Geometry(shape, "<u2"))
    dark, flat = (np.mean([scene.image(i, BEAMS[b]) for i in range(30)], axis=0) for b in ("dark", "flat"))
    mask = live(scene)
    corrected = ((scene.image(99) - dark) / np.where(mask, flat - dark, 1))[mask]
    assert corrected == pytest.approx(scene.transmission()[mask], abs=0.12)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((64, 64), "<i2"),
        Geometry((64, 64), "<f8"),
        Geometry((64, 64, 3), "|u1", ColorMode.RGB1),
        Geometry((64, 64), "<u2", ColorMode.BAYER),
        Geometry((64,), "<u2"),
        Geometry((7, 64), "<u2"),
    ],
)
def test_a_geometry_that_cannot_be_drawn_is_refused(geometry):
    with pytest.raises(ValueError, match="scene beam: "):
        BeamScene(geometry)
