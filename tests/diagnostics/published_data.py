"""Small published data sets with known answers."""

import numpy as np

# Heinze and Schemper (2002), doi:10.1002/sim.1047: endometrial cancer, 79 patients.
# NV (neovasculisation), PI (pulsatility index), EH (endometrium height x 100), HG (high grade).
_ENDOMETRIAL = """
0 13 164 0  0 16 226 0  0 8 314 0   0 34 268 0  0 20 128 0  0 5 231 0   0 17 180 0  0 10 168 0
0 26 156 0  0 17 231 0  0 8 201 0   0 7 189 0   0 20 315 0  0 10 123 0  0 18 127 0  0 16 176 0
0 18 200 0  0 8 264 1   0 29 88 1   0 12 127 1  0 20 137 1  1 38 97 1   1 22 114 1  1 7 88 1
1 25 91 1   1 15 58 1   0 7 97 1    0 28 150 0  0 11 133 0  0 19 237 0  0 10 182 0  0 10 313 0
0 18 131 0  0 14 192 0  0 21 164 0  0 11 201 0  0 17 188 0  0 25 193 0  0 16 211 0  0 19 129 0
0 15 172 0  0 33 75 0   0 24 192 0  0 48 184 1  0 12 111 1  0 19 161 1  0 2 118 1   1 22 144 1
1 40 118 1  1 5 93 1    1 0 117 1   0 21 119 1  0 15 106 1  0 29 202 0  0 15 229 0  0 12 233 0
0 3 290 0   0 20 170 0  0 23 141 0  0 12 225 0  0 22 154 0  0 42 197 0  0 15 175 0  0 13 216 0
0 14 257 0  0 19 137 0  0 12 361 0  0 13 204 0  0 10 217 0  0 12 169 1  1 49 27 1   0 6 184 1
0 5 130 1   0 17 96 1   1 11 101 1  1 21 98 1   0 5 35 1    1 19 102 1  0 33 85 1
"""


def endometrial() -> tuple[np.ndarray, np.ndarray]:
    """NV, PI, EH of 79 patients and whether the grade is high."""
    table = np.array(_ENDOMETRIAL.split(), dtype=np.float64).reshape(-1, 4)
    assert table.shape == (79, 4)
    return table[:, :3] / [1, 1, 100], table[:, 3] == 1


def aneurysm_wfns() -> tuple[np.ndarray, np.ndarray]:
    """WFNS grade of 113 patients with subarachnoid haemorrhage and whether the outcome is poor.

    Turck et al. (2010), doi:10.1007/s00134-009-1641-y, as in the R package pROC.
    """
    good, poor = (37, 20, 3, 8, 4), (2, 12, 1, 8, 18)
    grades = np.concatenate([np.repeat(np.arange(1, 6), good), np.repeat(np.arange(1, 6), poor)])
    return grades.astype(np.float64), np.arange(113) >= sum(good)
