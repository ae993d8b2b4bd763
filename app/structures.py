"""Known structures from a folder of densities, as simulated subtomograms are made of."""

from collections.abc import Mapping
from pathlib import Path

from engine.errors import BadInputError
from engine.io.template_files import read_template
from engine.simulation.subtomograms import Structure


def read_structures(folder: Path, class_of: Mapping[str, str]) -> tuple[Structure, ...]:
    """Structures named by their class, in the order given.

    Parameters
    ----------
    folder
        MRC maps, protein bright.
    class_of
        Class name by file name without `.mrc`.

    Raises
    ------
    BadInputError
        A map is absent; all that are absent are named.
    """
    absent = [name for name in class_of if not (folder / f"{name}.mrc").is_file()]
    if absent:
        raise BadInputError(f"{folder} has no density {', '.join(f'{one}.mrc' for one in absent)}")
    found = []
    for name, class_name in class_of.items():
        template = read_template(folder / f"{name}.mrc")
        found.append(Structure(class_name, template.voxels, template.voxel_size_angst))
    return tuple(found)
