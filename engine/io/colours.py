"""Colours of the label classes, in pictures and pages alike."""

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/: told apart under colour blindness.
# Yellow is kept for the least common class: hard to see on white, but well seen on the grey of a
# tomogram. The last three are of Tol's muted set, https://personal.sron.nl/~pault/.
CLASS_COLOURS: dict[str, str] = {
    "mitochondrion": "#E69F00",
    "alpha_granule": "#56B4E9",
    "dense_granule": "#009E73",
    "vesicle": "#F0E442",
    "membrane": "#CC79A7",
    "microtubule": "#D55E00",
    "artefact": "#0072B2",
    "outer_mitochondrial_membrane": "#882255",
    "inner_mitochondrial_membrane": "#AA4499",
    "ribosome": "#332288",
    "void": "#8A8F98",
}
# Drawn stronger than bodies: a sheet or a dot is a few voxels wide.
SMALL = (
    "membrane", "outer_mitochondrial_membrane", "inner_mitochondrial_membrane", "ribosome",
)  # fmt: skip
# Of things in a series, such as templates or numbered bodies, on white; taken in turn.
SERIES_COLOURS = (
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#7f3c8d", "#3969ac", "#80ba5a", "#a5aa99",
)  # fmt: skip
