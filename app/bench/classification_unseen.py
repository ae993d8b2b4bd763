"""Rows of structures that no training saw: clusters in the embedding."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from app.bench.classification_runs import EMBEDDING_MODEL, Runs
from app.bench.classification_sets import VIEWS, View, unseen_set
from app.bench.result import BenchRow
from engine.data.arrays import Float64s, Ints
from models.classifier_data import LabelledSubtomograms
from models.classifier_start import outputs_of
from models.classifier_writing import features_of
from models.registry import TRAINED_FOLDER


def unseen_rows(runs: Runs) -> list[BenchRow]:
    """Clusters in each embedding."""
    rows = []
    for view in VIEWS:
        unseen = unseen_set(runs.material.unseen, view)
        kinds = unseen.kinds.numpy()
        for network, features in _embeddings(runs, view, unseen):
            name = f"{network}{view.suffix}"
            rows.append(_cluster_row(name, features, kinds, unseen.class_names))
    return rows


def _embeddings(runs: Runs, view: View, unseen: LabelledSubtomograms) -> list[tuple[str, Float64s]]:
    """Features of the unseen structures, by the network that gives them."""
    fitted = runs.compact(view)
    found = [("compact", features_of(fitted.network, unseen.images).double().numpy())]
    folder = TRAINED_FOLDER / EMBEDDING_MODEL
    if folder.is_dir():
        shipped = outputs_of(folder, unseen.images)["embedding"]
        found.insert(0, ("embedding", shipped.double().numpy()))
    return found


def _cluster_row(
    name: str, features: Float64s, kinds: Ints, class_names: tuple[str, ...]
) -> BenchRow:
    found = KMeans(len(class_names), n_init=20, random_state=0).fit_predict(features)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(kinds), size=len(kinds)) for _ in range(500)]
    low, high = np.percentile(
        [adjusted_rand_score(kinds[one], found[one]) for one in drawn], [2.5, 97.5]
    )
    return BenchRow(
        f"unseen_adjusted_rand_index_in_{name}", float(adjusted_rand_score(kinds, found)), "1",
        "higher", float(low), float(high), 0.7,
        f"k-means of {len(kinds)} subtomograms of {', '.join(class_names)}",
    )  # fmt: skip
