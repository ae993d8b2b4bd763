import math

import pytest
import torch

from engine.physics.ctf import (
    Microscope,
    contrast_transfer,
    dose_attenuation,
    electron_wavelength_angst,
)


@pytest.mark.parametrize(("voltage_kv", "expected"), [(300.0, 0.019687), (200.0, 0.025079)])
def test_wavelength_is_that_of_the_tables(voltage_kv, expected):
    assert electron_wavelength_angst(voltage_kv) == pytest.approx(expected, rel=2e-4)


def test_zero_frequency_passes_the_amplitude_contrast():
    transfer = contrast_transfer(torch.zeros(1), 4.0, Microscope(amplitude_contrast=0.1))
    assert float(transfer) == pytest.approx(0.1)


def test_low_frequencies_pass_positive_so_that_dense_stays_bright():
    freq = torch.linspace(0.0, 1.0 / 60.0, 50)
    assert (contrast_transfer(freq, 4.0, Microscope()) > 0).all()


def test_first_zero_lies_where_the_phase_reaches_pi():
    microscope = Microscope(amplitude_contrast=0.0, spherical_aberration_mm=0.0)
    defocus_um = 3.0
    zero = math.sqrt(1.0 / (electron_wavelength_angst(300.0) * defocus_um * 1e4))
    assert abs(float(contrast_transfer(torch.tensor([zero]), defocus_um, microscope))) < 1e-5


def test_phase_plate_of_90_degrees_passes_low_frequencies_fully():
    microscope = Microscope(amplitude_contrast=0.0, phase_shift_deg=90.0)
    assert float(contrast_transfer(torch.tensor([1e-4]), 0.5, microscope)) == pytest.approx(1.0)


def test_dose_hurts_high_frequencies_more_and_no_dose_nothing():
    freq = torch.tensor([1 / 200.0, 1 / 40.0, 1 / 10.0])
    kept = dose_attenuation(freq, 100.0)
    assert kept[0] > kept[1] > kept[2]
    assert torch.equal(dose_attenuation(freq, 0.0), torch.ones(3))
