"""Organelle instances from class probabilities and the predicted depth inside mitochondria."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from engine.data.arrays import Bools, Float32s, Float64s, Int32s, Ints, UInt16s
from engine.data.labels import INSTANCE_CLASSES
from engine.data.organelles import Organelle
from engine.segmentation.morphometry import body_shape, sphericity
from engine.segmentation.resampling import resample

# An instance below this volume is not counted; the truth of the simulator uses the same rule.
SMALLEST_MITOCHONDRION_UM3 = 1e-3
SMALLEST_OTHER_UM3 = {"alpha_granule": 1e-3, "dense_granule": 5e-4, "vesicle": 1e-4}


@dataclass(frozen=True)
class InstanceParams:
    """How masks become instances.

    Attributes
    ----------
    threshold
        Probability above which a voxel belongs to a class.
    depth_prominence_nm
        Two maxima of the depth are two mitochondria where the saddle between them lies this much
        below either: about one membrane pair, well above the network's error within one body …
    neck_share
        … and at less than this share of either. On 119 development tomograms of families A and B
        every share from 0.4 to 0.6 counts alike.
    contact_share
        Bodies of two classes are one organelle where they touch on so many voxel faces, as a share
        of the smaller one's volume (in voxels) to the power of two thirds: half of what one cut
        through the middle of a ball has. Parts of one organelle had 0.85 and more in those
        tomograms, neighbours 0.27 and less.
    """

    threshold: float = 0.5
    depth_prominence_nm: float = 14.0
    neck_share: float = 0.5
    contact_share: float = 0.6


@dataclass(frozen=True)
class Body:
    """One instance on the coarse grid: box, mask within it, class and mean probability."""

    box: tuple[slice, slice, slice]
    mask: Bools
    organelle_class: str
    confidence: float


def find_bodies(
    probabilities: dict[str, Float32s],
    depth_nm: Float32s,
    voxel_size_nm: float,
    params: InstanceParams,
) -> list[Body]:
    """Separate every organelle of every class.

    Parameters
    ----------
    probabilities
        Of the instance classes to be found, (z, y, x), in [0, 1].
    depth_nm
        Predicted depth below the surface of a voxel's own mitochondrion.
    """
    names = [each for each in INSTANCE_CLASSES if each in probabilities]
    # Four bytes a voxel: in a large tomogram this is the largest array beside the probabilities.
    ids = np.zeros(depth_nm.shape, dtype=np.int32)
    class_of = [-1]
    for index, name in enumerate(names):
        whole = probabilities[name] > params.threshold
        mask = ndimage.binary_fill_holes(ndimage.binary_opening(whole))
        depth = depth_nm if name == "mitochondrion" else own_depth(mask, voxel_size_nm)
        own = with_rim(separate(mask, depth, params), whole)
        free = (ids == 0) & (own > 0)
        ids[free] = own[free] + len(class_of) - 1
        class_of += [index] * int(own.max())
    volumes = [probabilities[name] for name in names]
    ids, class_of = one_class_each(ids, class_of, volumes, params.contact_share)
    return _bodies(ids, [names[each] for each in class_of[1:]], probabilities, voxel_size_nm)


def own_depth(mask: Bools, voxel_size_nm: float) -> Float32s:
    """Depth (z, y, x) below the surface; the mask goes on beyond the faces of the volume.

    Box by box: the background voxel nearest to a voxel touches that voxel's own component, and the
    transform needs over 40 bytes a voxel.
    """
    padded = np.pad(mask, 1, mode="edge")
    depth = np.zeros(padded.shape, dtype=np.float32)
    components, _ = ndimage.label(padded, structure=np.ones((3, 3, 3)))
    for number, tight in enumerate(ndimage.find_objects(components), start=1):
        box = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in tight)
        own = components[box] == number
        depth[box][own] = ndimage.distance_transform_edt(padded[box])[own] * voxel_size_nm
    return depth[1:-1, 1:-1, 1:-1]


def separate(mask: Bools, depth_nm: Float32s, params: InstanceParams) -> Int32s:
    """Ids (z, y, x) of the bodies in a mask: watershed of the depth from its prominent maxima."""
    ids = np.zeros(mask.shape, dtype=np.int32)
    if not mask.any():
        return ids
    # Depth is smoothed over one voxel: a body has one maximum, not one per noise peak.
    depth = ndimage.gaussian_filter(np.where(mask, np.maximum(depth_nm, 0.0), 0.0), 1.0)
    components, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    n_bodies = 0
    # One component at a time: the reconstruction sorts its voxels, and most of a volume is none.
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        component = components[box] == number
        parts = _parts(component, np.where(component, depth[box], 0.0), params)
        ids[box][component] = parts[component] + n_bodies
        n_bodies += int(parts.max())
    return ids


def with_rim(ids: Int32s, mask: Bools) -> Int32s:
    """Give bodies back the voxels of a mask that opening took from their surfaces.

    Opening parts what hangs together by a thread, and shaves 3 % off a mitochondrion's volume on
    the way. A voxel returns to the body whose face it touches (of several, to the latest id).
    """
    beside = ndimage.grey_dilation(ids, footprint=ndimage.generate_binary_structure(3, 1))
    return np.asarray(np.where((ids == 0) & mask, beside, ids))


def one_class_each(
    ids: Int32s, class_of: Sequence[int], volumes: Sequence[Float32s], contact_share: float
) -> tuple[Int32s, list[int]]:
    """Make one of what is one organelle, called by two names in its parts.

    Of bodies of two classes that touch broadly (`InstanceParams.contact_share`), the smaller joins
    the larger that it touches most; the class of both is the one with most probability in all.

    Parameters
    ----------
    ids
        (z, y, x), 0 = none.
    class_of
        Index into `volumes` by id; that of 0 is not used.
    volumes
        Probability (z, y, x) of each class.
    """
    classes = np.asarray(class_of)
    sizes = np.bincount(ids.ravel(), minlength=len(classes))
    joins = np.arange(len(classes), dtype=ids.dtype)
    most = np.zeros(len(classes), dtype=np.int64)
    for (small, large), n_faces in _faces_between(ids, classes, sizes).items():
        is_broad = n_faces >= contact_share * sizes[small] ** (2.0 / 3.0)
        if is_broad and n_faces > most[small]:
            joins[small], most[small] = large, n_faces
    if not most.any():
        return ids, list(class_of)
    # Sizes grow along every chain, so that it ends.
    while (joins != joins[joins]).any():
        joins = joins[joins]
    ids = joins[ids]
    inside = ids > 0
    owners = ids[inside]
    votes = [np.bincount(owners, each[inside], minlength=len(classes)) for each in volumes]
    winner = np.argmax(votes, axis=0)
    is_joint = np.isin(np.arange(len(classes)), joins[most > 0])
    return ids, np.where(is_joint, winner, classes).tolist()


def _faces_between(ids: Int32s, classes: Ints, sizes: Ints) -> dict[tuple[int, int], int]:
    """Number of voxel faces between bodies of two classes, by (smaller, larger)."""
    counts: dict[tuple[int, int], int] = {}
    for axis in range(3):
        along = np.moveaxis(ids, axis, 0)
        one, other = along[:-1], along[1:]
        meet = (one != other) & (one > 0) & (other > 0)
        touching = np.stack([one[meet], other[meet]])
        touching = touching[:, classes[touching[0]] != classes[touching[1]]]
        pairs, n_faces = np.unique(touching, axis=1, return_counts=True)
        for pair, n in zip(pairs.T.tolist(), n_faces.tolist(), strict=True):
            small, large = sorted(pair, key=lambda each: (sizes[each], each))
            counts[small, large] = counts.get((small, large), 0) + n
    return counts


def _parts(component: Bools, depth: Float32s, params: InstanceParams) -> Ints:
    """Ids from 1 of the bodies in one connected component; `depth` is 0 outside it."""
    lowered = np.minimum(depth - params.depth_prominence_nm, depth * params.neck_share)
    plateau = reconstruction(np.where(component, lowered, lowered.min()), depth, method="dilation")
    domes, n_domes = ndimage.label(
        component & (depth - plateau > 1e-3), structure=np.ones((3, 3, 3))
    )
    # Most components hold one body, and one with a flat depth has no dome at all.
    if n_domes < 2:
        return component.astype(np.int64)
    # A dome on the flank of a deeper one begins at their saddle, above its own lowered depth.
    falls_short = ndimage.minimum(plateau - lowered, domes, np.arange(n_domes + 1)) > 1e-3
    falls_short[0] = True
    number = np.where(falls_short, 0, np.cumsum(~falls_short))
    if number.max() < 2:
        return component.astype(np.int64)
    return np.asarray(watershed(-depth, number[domes], mask=component), dtype=np.int64)


def _bodies(
    ids: Int32s, names: Sequence[str], probabilities: dict[str, Float32s], voxel_size_nm: float
) -> list[Body]:
    """The bodies (name by id from 1) that are large enough to count."""
    voxel_um3 = (voxel_size_nm * 1e-3) ** 3
    bodies = []
    for instance_id, (box, name) in enumerate(
        zip(ndimage.find_objects(ids, max_label=len(names)), names, strict=True), start=1
    ):
        if box is None:
            continue
        mask = ids[box] == instance_id
        smallest_um3 = SMALLEST_OTHER_UM3.get(name, SMALLEST_MITOCHONDRION_UM3)
        if mask.sum() * voxel_um3 < smallest_um3:
            continue
        confidence = float(probabilities[name][box][mask].mean())
        bodies.append(Body(box, ndimage.binary_fill_holes(mask), name, confidence))
    return sorted(bodies, key=lambda one: INSTANCE_CLASSES.index(one.organelle_class))


def paint_bodies(
    bodies: Sequence[Body],
    shape: tuple[int, int, int],
    voxel_size_nm: float,
    coarse_nm: float,
) -> tuple[UInt16s, tuple[Organelle, ...]]:
    """Instance ids on the tomogram's own grid and the morphometry of each body.

    Surfaces are those of the smoothed mask at level one half: a voxel staircase would add a third.
    Larger bodies are painted first, ids run in that order.
    """
    ids = np.zeros(shape, dtype=np.uint16)
    ordered = sorted(bodies, key=lambda body: -int(body.mask.sum()))
    organelles = []
    ratio = voxel_size_nm / coarse_nm
    for number, body in enumerate(ordered, start=1):
        soft, offset = _soft_mask(body)
        centroid = _painted(ids, soft, offset, ratio, number)
        if centroid is None:
            centroid = (np.argwhere(body.mask).mean(axis=0) + _corner(body)) / ratio
        organelles.append(_morphometry(number, body, soft, coarse_nm, centroid * voxel_size_nm))
    near = _ids_on([ids[0], ids[:, 0], ids[:, :, 0]])
    far = _ids_on([ids[-1], ids[:, -1], ids[:, :, -1]])
    return ids, tuple(
        replace(
            one,
            touches_border=one.instance_id in near | far,
            is_counted_unbiased=one.instance_id not in far,
        )
        for one in organelles
    )


def _corner(body: Body) -> Ints:
    return np.array([part.start for part in body.box])


def _soft_mask(body: Body) -> tuple[Float32s, Ints]:
    """Mask with a margin of two, blurred by 0.7 voxels; cut faces are continued, not rounded."""
    padded = np.pad(body.mask.astype(np.float32), 2)
    return ndimage.gaussian_filter(padded, 0.7), _corner(body) - 2


def _painted(
    ids: UInt16s, soft: Float32s, offset: Ints, ratio: float, number: int
) -> Float64s | None:
    """Write a body's id where nothing else is; returns its centroid, None where nothing is left."""
    fine = resample(soft, ratio)
    start = np.rint(offset / ratio).astype(int)
    low = np.maximum(start, 0)
    high = np.minimum(start + np.array(fine.shape), np.array(ids.shape))
    if (high <= low).any():
        return None
    target = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    source = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    view = ids[target]
    view[(fine[source] > 0.5) & (view == 0)] = number
    own = np.argwhere(view == number)
    return own.mean(axis=0) + low if len(own) else None


def _morphometry(
    number: int, body: Body, soft: Float32s, coarse_nm: float, centroid_nm: Float64s
) -> Organelle:
    volume_um3 = float(body.mask.sum()) * (coarse_nm * 1e-3) ** 3
    is_mitochondrion = body.organelle_class == "mitochondrion"
    shape = body_shape(body.mask, (coarse_nm,) * 3) if is_mitochondrion else None
    surface_um2 = _surface_um2(np.pad(soft, 1), coarse_nm)
    z, y, x = (float(value) * 10.0 for value in centroid_nm)
    return Organelle(
        instance_id=number,
        organelle_class=body.organelle_class,
        volume_um3=volume_um3,
        surface_um2=surface_um2,
        sphericity=sphericity(volume_um3, surface_um2),
        centroid_angst=(z, y, x),
        touches_border=False,
        confidence=body.confidence,
        length_nm=shape.length_nm if shape else None,
        smallest_diameter_nm=shape.smallest_diameter_nm if shape else None,
        n_branches=shape.n_branches if shape else None,
    )


def _surface_um2(soft: Float32s, voxel_size_nm: float) -> float:
    if not (soft.min() < 0.5 < soft.max()):
        return 0.0
    vertices, faces, _, _ = marching_cubes(soft, level=0.5, spacing=(voxel_size_nm * 1e-3,) * 3)
    return float(mesh_surface_area(vertices, faces))


def _ids_on(faces: Sequence[UInt16s]) -> set[int]:
    return {int(i) for face in faces for i in np.unique(face)} - {0}
