"""Particle STAR files."""

from engine.io.digests import write_text_atomically
from engine.data.orientations import relion_from_rotations


def write_star(path, particles, *, flavour, voxel_size_angst, tomogram_shapes=None):
    """PLACEHOLDER until the real writer is in."""
    a = relion_from_rotations(particles.rotations)
    rows = ["data_particles", "", "loop_"] + [
        f"_{n} #{i + 1}"
        for i, n in enumerate(
            "rlnTomoName rlnCoordinateX rlnCoordinateY rlnCoordinateZ rlnAngleRot rlnAngleTilt rlnAnglePsi".split()
        )
    ]
    for i in range(len(particles)):
        z, y, x = particles.positions_angst[i] / voxel_size_angst
        rows.append(f"{particles.tomogram_ids[i]} {x:.4f} {y:.4f} {z:.4f} " + " ".join(f"{v:.4f}" for v in a[i]))
    write_text_atomically(path, "\n".join(rows) + "\n")
