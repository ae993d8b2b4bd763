"""Network logits in one byte a voxel, fine where evidence is faint.

A probability times 255 knows nothing below 0.004; a microtubule in a noisy tomogram may lie at
0.01 along its whole length, far above the 1e-5 of its surroundings.
"""

import numpy as np

from engine.data.arrays import AnyArray, Float64s, UInt8s

STEPS_A_LOGIT = 12.0
ZERO = 128.0


def pack_logits(logits: AnyArray) -> UInt8s:
    """uint8 codes of logits between -10.6 and 10.5, in steps of a twelfth; same shape."""
    return np.rint(np.clip(ZERO + STEPS_A_LOGIT * logits, 0.0, 255.0)).astype(np.uint8)


def unpack_logits(codes: AnyArray) -> Float64s:
    """Logits of (also interpolated) codes; same shape."""
    return np.asarray((np.asarray(codes, dtype=np.float64) - ZERO) / STEPS_A_LOGIT)


def code_of(probability: float) -> int:
    """Smallest code whose probability is at least `probability`."""
    return int(np.ceil(ZERO + STEPS_A_LOGIT * np.log(probability / (1.0 - probability)) - 1e-9))


def probability_of(logits: AnyArray) -> Float64s:
    """Probabilities of logits; same shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(logits, dtype=np.float64))))
