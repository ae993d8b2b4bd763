"""Progress of work in equal parts, told as one."""

from collections.abc import Callable


def part_of(
    report: Callable[[float], None] | None, number: int, n_parts: int
) -> Callable[[float], None]:
    """What tells `report` how far all is, told how far part `number` (from 0) of `n_parts` is."""

    def on_part(fraction: float) -> None:
        if report:
            report((number + fraction) / n_parts)

    return on_part
