"""The alignment scorer: how alike two sequences of slices are, as a kernel (GAK) or a warping cost.

    cdist_gak(queries, candidates, delta=0.7)             # (N, M), in [0, 1]
    gallery = PackedSequences.from_list(sequences)        # packed once
    cdist_gak([query], gallery, delta=0.7)                # (1, N)

Names and conventions are tslearn's where tslearn has the function; README.md in this folder lists
all calls and paths.
Every fault of the caller raises `sugar.errors.AlignmentError`. Not covered: gradients.
"""

from .labels import label_matrix
from .packed import PackedSequences
from .scores import (
    PathReport,
    cdist_dtw,
    cdist_gak,
    cdist_soft_dtw,
    choose_path,
    dtw,
    gak,
    gamma_soft_dtw,
    last_report,
    path_fault,
    sigma_gak,
    soft_dtw,
)
from .slices import TwoPart, squared_euclidean, triple_kernel
from .warping import Run, dtw_path, dtw_path_from_phi, subsequence_dtw

__all__ = [
    "PackedSequences",
    "PathReport",
    "Run",
    "TwoPart",
    "cdist_dtw",
    "cdist_gak",
    "cdist_soft_dtw",
    "choose_path",
    "dtw",
    "dtw_path",
    "dtw_path_from_phi",
    "gak",
    "gamma_soft_dtw",
    "label_matrix",
    "last_report",
    "path_fault",
    "sigma_gak",
    "soft_dtw",
    "squared_euclidean",
    "subsequence_dtw",
    "triple_kernel",
]
