"""A script that shows an atlas in ChimeraX: density coloured by template, a marker a copy."""

from engine.matching.atlas import Atlas
from engine.matching.template_shape import TemplateShape

FIRST_MARKERS = 11
# Of the template's reach: seen through the surface, yet smaller than it.
MARKER_SHARE = 0.12


def atlas_script(
    atlas: Atlas,
    shapes: tuple[TemplateShape, ...],
    colours: tuple[str, ...],
    *,
    density_name: str,
    simulated: bool,
) -> str:
    """Commands for ChimeraX (`marker`, `color zone`, `volume`), to be opened in the atlas folder.

    The density is model 1, the copies of the first template markers of model 11, of the next one
    12 and so on. Positions are in angstrom, (x, y, z), as ChimeraX places MRC volumes.
    """
    level = min(shape.level for shape in shapes)
    words = "SIMULATED tomogram, no patient. " if simulated else ""
    lines = [
        f"# TomoDx molecular atlas. {words}Research use only.",
        f"open {density_name} name atlas",
        f"volume #1 style surface level {level:.4g} step 1",
    ]
    used = []
    for kind, (shape, colour) in enumerate(zip(shapes, colours, strict=True)):
        own_angst = atlas.particles.positions_angst[atlas.class_index == kind]
        if not len(own_angst):
            continue
        model = FIRST_MARKERS + kind
        used.append(str(model))
        radius_angst = MARKER_SHARE * shape.reach_vox * atlas.voxel_size_angst
        lines += [
            f"marker #{model} position {x:.2f},{y:.2f},{z:.2f} color {colour} "
            f"radius {radius_angst:.4g}"
            for z, y, x in own_angst
        ]
        lines.append(f'rename #{model} "{shape.template_id.replace(chr(34), "")}"')
    if used:
        reach_angst = max(shape.reach_vox for shape in shapes) * atlas.voxel_size_angst
        lines.append(
            f"color zone #1 near #{','.join(used)} distance {reach_angst:.4g} sharpEdges true"
        )
        lines.append("transparency #1 30")
    return "\n".join([*lines, "set bgColor white", "lighting soft", "view", ""])
