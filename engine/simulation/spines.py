"""Organelle shapes as spheres strung on a spine, placed so that they do not overlap."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float64s


@dataclass(frozen=True)
class Spine:
    """Points (n, 3) in nm (z, y, x) with a radius (n,) each; the shape is their swept union."""

    points_nm: Float64s
    radii_nm: Float64s

    def spheres(self) -> tuple[Float64s, Float64s]:
        """Dense spheres (m, 3), (m,) along the spine, for overlap tests."""
        if len(self.points_nm) == 1:
            return self.points_nm, self.radii_nm
        fractions = np.linspace(0.0, len(self.points_nm) - 1.0, 4 * len(self.points_nm))
        index = np.arange(len(self.points_nm))
        columns = [np.interp(fractions, index, self.points_nm[:, axis]) for axis in range(3)]
        return np.stack(columns, axis=1), np.interp(fractions, index, self.radii_nm)


def draw_spine(
    rng: np.random.Generator,
    centre_nm: Float64s,
    radius_nm: float,
    length_nm: float,
    bend_rad: float,
    radius_variation: float,
) -> Spine:
    """A gently bent spine through `centre_nm`, mostly in the plane of the flat cell."""
    n_points = max(2, int(np.ceil(length_nm / (0.6 * radius_nm))) + 1)
    step_nm = length_nm / (n_points - 1)
    heading = rng.uniform(0.0, 2.0 * np.pi)
    climb = rng.normal(0.0, 0.25)
    turn = rng.normal(0.0, bend_rad) / n_points
    points = [np.zeros(3)]
    for _ in range(n_points - 1):
        direction = np.array(
            [np.sin(climb), np.cos(climb) * np.sin(heading), np.cos(climb) * np.cos(heading)]
        )
        points.append(points[-1] + step_nm * direction)
        heading += turn + rng.normal(0.0, 0.08)
        climb *= 0.9
    path = np.array(points)
    path += centre_nm - path.mean(axis=0)
    radii = radius_nm * (1.0 + radius_variation * rng.uniform(-1.0, 1.0, n_points))
    return Spine(path, radii)


def gap_nm(first: Spine, second: Spine) -> float:
    """Smallest distance between the surfaces; negative where they overlap."""
    points_a, radii_a = first.spheres()
    points_b, radii_b = second.spheres()
    distances = np.linalg.norm(points_a[:, None] - points_b[None], axis=2)
    return float((distances - radii_a[:, None] - radii_b[None]).min())


def moved(spine: Spine, shift_nm: Float64s) -> Spine:
    """The spine shifted by (z, y, x) nanometre."""
    return Spine(spine.points_nm + shift_nm, spine.radii_nm)


def touching_copy_position(
    rng: np.random.Generator, spine: Spine, neighbour: Spine, gap_wanted_nm: float
) -> Spine:
    """Slide `spine` along a random in-plane direction to `gap_wanted_nm` from `neighbour`."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    direction = np.array([rng.normal(0.0, 0.15), np.sin(angle), np.cos(angle)])
    start = neighbour.points_nm.mean(axis=0) - spine.points_nm.mean(axis=0)
    near, far = 0.0, 3000.0
    for _ in range(24):
        middle = 0.5 * (near + far)
        if gap_nm(moved(spine, start + middle * direction), neighbour) < gap_wanted_nm:
            near = middle
        else:
            far = middle
    return moved(spine, start + far * direction)
