"""The alignment scorer: how alike two sequences of slices are, as a kernel (GAK), a soft or a hard warping cost (soft-DTW, DTW).

A sequence is an (n, D) tensor or array, or a `TwoPart(part1 (n, D1), part2 (n, D2), is_image (n,))`; a dataset is a list of them,
of any lengths, or a `PackedSequences`. Names, argument order, defaults and conventions are tslearn's where tslearn has the function:
`dtw` is a square root of summed squared costs, `soft_dtw` is squared, `gak` is normalised. Keyword-only arguments are ours.

    gak(s1, s2, sigma=1.0, *, delta=None, normalized=True, log=False, metric="sqeuclidean", path=None) -> float
    cdist_gak(dataset1, dataset2=None, sigma=1.0, *, delta=None, ...) -> (N, M)     delta: sigma per pair, delta * sqrt((n+m)/2)
    unnormalized_gak(s1, s2, sigma=1.0)          soft_dtw(ts1, ts2, gamma=1.0)      cdist_soft_dtw(dataset1, dataset2=None, gamma=1.0)
    dtw(s1, s2, global_constraint=None, sakoe_chiba_radius=None, itakura_max_slope=None), cdist_dtw(dataset1, dataset2=None, ...)
    dtw_path(s1, s2, ...) -> (path, dtw)         dtw_path_from_phi(phi) -> (path, summed cost)
    subsequence_dtw(query, sequence, k=1, *, max_cost=None) -> list[Run(start, stop, cost, path)]    cost is summed; stop is past the end
    dtw_subsequence_path(subseq, longseq) -> (path, root cost)
    triple_kernel(part1_a, part2_a, is_image_a, part1_b, part2_b, is_image_b) -> phi (n, m); squared_euclidean(a, b); cosine_distance(a, b)
    label_matrix(sequences, positions=None, *, delta=0.7) -> (P, P)          label_matrix_from_phi(phi, lengths, positions, *, delta)
    align(s1, s2, *, delta=0.7) -> Alignment(score, cost, path, steps of Step(i, j, distance, similarity)): which slice of one
        answers which slice of the other, and how well

    gallery = PackedSequences.from_list(list_of_sequences)       built once; len(), gallery[ids], gallery[i:j], .lengths
    gallery.gak(query, *, delta=None, sigma=None) -> (N,) scores in the order of insertion; .soft_dtw(query, gamma), .dtw(query)
    gallery.append(list_of_sequences); gallery.remove(ids); gallery.save(path); PackedSequences.load(path)

    last_report() -> Report(path, device, pairs, chunks, redone): which path the last call of this thread took, and how

Inputs that are arrays or lists give numpy arrays back, tensors give tensors on their device. Paths: "reference", "torch" (CPU, CUDA),
"numba" (CPU, when installed), "triton" (CUDA); chosen by the device of the tensors, or by `path=`, which raises AlignmentError when
that path is not there. Every fault of the caller raises `sugar.errors.AlignmentError`. Not covered: gradients.
"""

from .labels import label_matrix, label_matrix_from_phi
from .packed import PackedSequences
from .pairwise import cdist_dtw, cdist_gak, cdist_soft_dtw, dtw, gak, soft_dtw, unnormalized_gak
from .paths import Report, last_report
from .slices import TwoPart, cosine_distance, squared_euclidean, triple_kernel
from .warping import Alignment, Run, Step, align, dtw_path, dtw_path_from_phi, dtw_subsequence_path, subsequence_dtw

__all__ = [
    "Alignment", "PackedSequences", "Report", "Run", "Step", "TwoPart",
    "align", "cdist_dtw", "cdist_gak", "cdist_soft_dtw", "cosine_distance", "dtw", "dtw_path", "dtw_path_from_phi",
    "dtw_subsequence_path", "gak", "label_matrix", "label_matrix_from_phi", "last_report", "soft_dtw", "squared_euclidean",
    "subsequence_dtw", "triple_kernel", "unnormalized_gak",
]  # fmt: skip
