"""The alignment scorer: how alike two sequences of slices are, as a kernel (GAK) or a warping cost.

    cdist_gak(queries, candidates, delta=0.7)             # (N, M), in [0, 1]
    gallery = PackedSequences.from_list(sequences)        # packed once
    gallery.gak(query, delta=0.7)                         # (N,)

Names and conventions are tslearn's where tslearn has the function; README.md in this folder lists
all calls and paths.
Every fault of the caller raises `sugar.errors.AlignmentError`. Not covered: gradients.
"""

from .labels import label_matrix, label_matrix_from_phi
from .packed import PackedSequences
from .pairwise import cdist_dtw, cdist_gak, cdist_soft_dtw, dtw, gak, soft_dtw, unnormalized_gak
from .paths import PathReport, last_report
from .slices import TwoPart, cosine_distance, squared_euclidean, triple_kernel
from .warping import (
    Alignment,
    Run,
    Step,
    align,
    dtw_path,
    dtw_path_from_phi,
    dtw_subsequence_path,
    subsequence_dtw,
)

__all__ = [
    "Alignment",
    "PackedSequences",
    "PathReport",
    "Run",
    "Step",
    "TwoPart",
    "align",
    "cdist_dtw",
    "cdist_gak",
    "cdist_soft_dtw",
    "cosine_distance",
    "dtw",
    "dtw_path",
    "dtw_path_from_phi",
    "dtw_subsequence_path",
    "gak",
    "label_matrix",
    "label_matrix_from_phi",
    "last_report",
    "soft_dtw",
    "squared_euclidean",
    "subsequence_dtw",
    "triple_kernel",
    "unnormalized_gak",
]
