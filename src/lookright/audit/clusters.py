"""Clusters of explanations: images that a model decides in the same way (spectral relevance analysis)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from sklearn.cluster import SpectralClustering
from sklearn.manifold import TSNE
from sklearn.neighbors import kneighbors_graph
from torch import Tensor
from torch.nn import functional as F

from lookright.errors import ConfigError

GRID = 12
"""Explanations are made this small, if they are larger, before they are compared."""

FEWEST = 12
"""Fewer explanations than these are one cluster."""

_MOST_EMBEDDED = 1500
_DENSE = 400


def cluster_explanations(explanation: Tensor, *, most: int = 8, neighbours: int = 10) -> NDArray[np.int64]:
    r"""Group explanations that lie alike in the image (Lapuschkin et al., Nature Communications 2019).

    The positive part of each map, made small and of length 1, is a point. Points that are among each other's
    k nearest are joined by their cosine; spectral clustering (von Luxburg 2007) of that graph gives groups,
    as many as come before the largest gap in the eigenvalues of

        L = I - D^(-1/2) W D^(-1/2)

    Args:
        explanation: (N, h, w), finite
        most: groups, at least 1; if it is not 1, more where the graph has more parts that nothing joins
        neighbours: k, at least 1

    Returns:
        (N,) the number of each one's group, the largest group first; those without a positive value are in no
        group: -1

    Raises:
        ConfigError: `most` or `neighbours` is below 1.
        ValueError: wrong shape.

    Example:
        >>> import torch
        >>> maps = torch.zeros(20, 4, 4)
        >>> maps[:12, 0, 0] = maps[12:, 3, 3] = 1
        >>> cluster_explanations(maps, neighbours=4).tolist() == [0] * 12 + [1] * 8
        True
    """
    if most < 1 or neighbours < 1:
        raise ConfigError(f"most, neighbours: got {most} and {neighbours}, need 1 or more")
    points, there = _points(explanation)
    groups = np.full(len(there), -1, dtype=np.int64)
    groups[there] = _by_size(_groups(points, most, neighbours))
    return groups


def embed_explanations(explanation: Tensor, *, seed: int = 0) -> NDArray[np.float64]:
    """Lay explanations out on a plane, alike ones together: t-SNE (van der Maaten and Hinton, JMLR 2008).

    For a picture: distances between groups mean nothing.

    Args:
        explanation: (N, h, w), finite
        seed: of t-SNE

    Returns:
        (N, 2); NaN where nothing is positive, and for those beyond the first 1500

    Raises:
        ValueError: wrong shape.

    Example:
        >>> import torch
        >>> embed_explanations(torch.rand(30, 4, 4, generator=torch.manual_seed(0))).shape
        (30, 2)
    """
    points, there = _points(explanation)
    laid = np.full((len(there), 2), np.nan)
    shown = np.flatnonzero(there)[:_MOST_EMBEDDED]
    points = points[:_MOST_EMBEDDED]
    if len(points) < 4:  # too few for a perplexity
        laid[shown, 0], laid[shown, 1] = np.arange(len(points)), 0
        return laid
    tsne = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init="random", random_state=seed)
    laid[shown] = tsne.fit_transform(points)
    return laid


def shrink(explanation: Tensor) -> Tensor:
    """Give the positive part of maps, as small as they are compared.

    Args:
        explanation: (N, h, w)

    Returns:
        (N, 12, 12), or fewer where a map has fewer

    Example:
        >>> import torch
        >>> shrink(-torch.ones(1, 24, 7)).shape
        torch.Size([1, 12, 7])
    """
    size = (min(explanation.shape[1], GRID), min(explanation.shape[2], GRID))
    return F.adaptive_avg_pool2d(explanation.float().clamp(min=0)[:, None], size)[:, 0]


def _points(explanation: Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps as points of length 1, and which maps have one."""
    if explanation.ndim != 3:
        raise ValueError(f"explanation: (N, h, w), got {tuple(explanation.shape)}")
    small = shrink(explanation).flatten(1)
    length = small.norm(dim=1)
    there = length > 0
    return (small[there] / length[there, None]).numpy(), there.numpy()


def _groups(points: NDArray[np.float32], most: int, neighbours: int) -> NDArray[np.int64]:
    if len(points) < FEWEST or most == 1:
        return np.zeros(len(points), dtype=np.int64)
    graph = _graph(points, min(neighbours, len(points) - 1))
    parts, part = connected_components(graph, directed=False)
    count = _count(graph, most) if parts <= most else parts
    if parts >= count:  # one group, or the parts are the groups: no eigenvector tells them apart better
        return np.asarray(part, dtype=np.int64)
    found = SpectralClustering(
        count, affinity="precomputed", assign_labels="cluster_qr", random_state=0
    ).fit_predict(graph)
    return np.asarray(found, dtype=np.int64)


def _graph(points: NDArray[np.float32], neighbours: int) -> csr_matrix:
    joined = kneighbors_graph(points, neighbours, mode="connectivity", include_self=False)
    joined = joined.maximum(joined.T).tocoo()
    cosine = np.einsum("ij,ij->i", points[joined.row], points[joined.col])
    return csr_matrix((cosine.clip(1e-6, None), (joined.row, joined.col)), shape=joined.shape)


def _count(graph: csr_matrix, most: int) -> int:
    """How many groups come before the largest gap of the eigenvalues."""
    scale = diags(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()))
    normalised = scale @ graph @ scale
    wanted = min(most + 1, graph.shape[0] - 1)
    if graph.shape[0] <= _DENSE:
        values = np.linalg.eigvalsh(normalised.toarray())[::-1][:wanted]
    else:
        start = np.full(graph.shape[0], 1 / math.sqrt(graph.shape[0]))
        values = np.sort(eigsh(normalised, k=wanted, which="LA", v0=start, return_eigenvectors=False))[::-1]
    return int(np.argmax(values[:-1] - values[1:])) + 1


def _by_size(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups by size, the largest 0; among equals the one that comes first."""
    names, first, counts = np.unique(groups, return_index=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: (-counts[i], first[i]))
    rank = {int(names[i]): new for new, i in enumerate(order)}
    return np.array([rank[int(group)] for group in groups], dtype=np.int64)
