"""Joining line pieces across gaps and crossings by the direction of their ends."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from engine.data.arrays import Float64s

TANGENT_NM = 30.0


@dataclass(frozen=True)
class _End:
    """One end of a piece: index, whether it is the last point, position, outward direction."""

    piece: int
    is_last: bool
    position: Float64s
    outward: Float64s


def linked_chains(
    pieces: list[Float64s], longest_gap_nm: float, sharpest_turn_deg: float, contact_nm: float
) -> list[Float64s]:
    """Join pieces (n, 3) nm end to end where gap and angles allow, cheapest joints first.

    Within `contact_nm` (ends that meet at a cut junction) the bridge's own direction means
    nothing and only the two tangents are compared, at twice the turn allowed.
    """
    ends = [end for index, piece in enumerate(pieces) for end in _ends(index, piece)]
    if not ends:
        return []
    joints = []
    # Thousands of pieces have millions of pairs of ends; near ones are few.
    near = cKDTree([end.position for end in ends]).query_pairs(longest_gap_nm + 1e-6)
    for i, j in near:
        cost = _joint_cost(ends[i], ends[j], longest_gap_nm, sharpest_turn_deg, contact_nm)
        if cost is not None:
            joints.append((cost, i, j))
    partner: dict[int, int] = {}
    group = list(range(len(pieces)))
    for _, i, j in sorted(joints):
        a, b = _root(group, ends[i].piece), _root(group, ends[j].piece)
        # A joint within one chain would close a ring.
        if i in partner or j in partner or a == b:
            continue
        partner[i], partner[j] = j, i
        group[a] = b
    return _assembled(pieces, partner)


def _ends(index: int, piece: Float64s) -> list[_End]:
    ends = []
    for is_last in (False, True):
        line = piece[::-1] if is_last else piece
        reach = np.linalg.norm(line - line[0], axis=1)
        # The first voxels beside a junction bend into it.
        near = line[min(len(line) - 1, int(np.argmax(reach > 6.0)))]
        beyond = np.flatnonzero(reach > TANGENT_NM)
        far = line[beyond[0]] if len(beyond) else line[-1]
        outward = near - far
        norm = np.linalg.norm(outward)
        outward = outward / norm if norm > 0 else np.zeros(3)
        ends.append(_End(index, is_last, line[0], outward))
    return ends


def _joint_cost(
    first: _End, second: _End, longest_gap_nm: float, sharpest_turn_deg: float, contact_nm: float
) -> float | None:
    if first.piece == second.piece:
        return None
    bridge = second.position - first.position
    gap = float(np.linalg.norm(bridge))
    if gap > longest_gap_nm:
        return None
    turn = _angle_deg(first.outward, -second.outward)
    if gap <= contact_nm:
        allowed = 2.0 * sharpest_turn_deg
        worst = turn
    else:
        allowed = sharpest_turn_deg
        direction = bridge / gap
        worst = max(
            turn, _angle_deg(first.outward, direction), _angle_deg(-second.outward, direction)
        )
    if worst > allowed:
        return None
    return gap / longest_gap_nm + worst / allowed


def _angle_deg(a: Float64s, b: Float64s) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1.0, 1.0))))


def _root(group: list[int], item: int) -> int:
    while group[item] != item:
        item = group[item]
    return item


def _assembled(pieces: list[Float64s], partner: dict[int, int]) -> list[Float64s]:
    """Chains in order; ends are numbered 2 * piece + is_last."""
    used: set[int] = set()
    chains = []
    starts = [end for end in range(2 * len(pieces)) if end not in partner]
    for start in starts:
        if start // 2 in used:
            continue
        line = []
        end: int | None = start
        while end is not None:
            piece = end // 2
            used.add(piece)
            line.append(pieces[piece] if end % 2 == 0 else pieces[piece][::-1])
            end = partner.get(end ^ 1)
        chains.append(np.concatenate(line))
    return chains
