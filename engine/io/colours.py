"""Colours of the label classes, in pictures and pages alike."""

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/: told apart under colour blindness.
# Yellow is kept for the least common class: hard to see on white, but well seen on the grey of a
# tomogram.
CLASS_COLOURS: dict[str, str] = {
    "mitochondrion": "#E69F00",
    "alpha_granule": "#56B4E9",
    "dense_granule": "#009E73",
    "vesicle": "#F0E442",
    "membrane": "#CC79A7",
    "microtubule": "#D55E00",
    "artefact": "#0072B2",
    "void": "#8A8F98",
}
