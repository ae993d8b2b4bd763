"""The picture of class averages: three sections each, and no structure where nothing was seen."""

import numpy as np

from engine.data.classification import ClassAverages
from engine.io.averages_picture import averages_figure, write_averages_picture


def averages(n):
    volumes = np.zeros((n, 12, 12, 12), dtype=np.float32)
    volumes[:, 4:8, 4:8, 4:8] = 2.0
    volumes[-1] *= 0.01
    names = tuple(f"class_{number}" for number in range(n))
    return ClassAverages(names, volumes, tuple(range(n)), 13.68)


def grey_span(image):
    """Share of the grey scale that a section takes."""
    low, high = image.get_clim()
    return float(np.ptp(image.get_array()) / (high - low))


def test_every_average_has_three_sections_with_its_number():
    figure = averages_figure(averages(4), simulated=True)
    assert len(figure.axes) == 12
    words = " ".join(text.get_text() for text in figure.texts)
    assert "class 3: 3" in words
    assert "simulated" in words
    assert "Research use only" in words


def test_next_to_nothing_is_not_stretched_to_black_and_white():
    spans = [
        grey_span(axes.images[0]) for axes in averages_figure(averages(2), simulated=False).axes
    ]
    assert min(spans[:3]) > 0.5
    assert max(spans[3:]) < 0.2


def test_the_same_averages_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_averages_picture(tmp_path / name, averages(3), simulated=True)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
