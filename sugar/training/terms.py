"""The choices of an objective: L = L_g + alpha L_d, plus the named terms that are switched on.

Terms()                              # the paper's objective
Terms(similarity=5.0, swap=0.2)      # two deviations
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """Weights of the loss terms and choices of the method. The defaults are the paper's where it says
    something.

    similarity: alpha. The paper gives no figure, and prints L_d over n positions (form "positions"); ours
    stands on form "pairs", over n^2, where 1 is n times weaker: about 100 times for 100 positions. kernel:
    "gak", K over the number of alignments; "gak-self", K over the root of the self-kernels; "mean", the mean
    slice similarity. delta: the kernel's bandwidth, which the paper does not give. triple: False reads the
    cross-modal part within modalities too. pooling: "mean" over a picture's tokens, or "last". form: of L_d,
    see losses.py. conversations: draw slice ends inside conversations too, in the forward of L_g, as the
    paper does; False embeds separate samples alone. referent_labels: label the last position of a query as
    its referent. same_sample: the label of two positions of one sample, "one" or "kernel"
    (teachers/labels.py). contrastive_only: InfoNCE in place of the squared error.
    """

    language: float = 1.0
    similarity: float = 1.0
    pull: float = 0.0  # 1 - cosine of a slice's embedding and the cross-modal teacher's vector of it
    swap: float = 0.0  # 2 x 2 cross-entropy of swapped pairs
    referent: float = (
        0.0  # InfoNCE of queries with a referent, and of captions, over the pictures of the step
    )
    length_weighting: float = (
        0.0  # a token of an answer of n tokens weighs n^-length_weighting in the language loss
    )
    kernel: str = "gak"
    delta: float = 1.0
    triple: bool = True
    pooling: str = "mean"
    form: str = "pairs"
    conversations: bool = True
    referent_labels: bool = False
    same_sample: str = "one"
    contrastive_only: bool = False

    @property
    def labelled(self) -> bool:
        """Whether teachers label positions."""
        return bool(self.similarity) and not self.contrastive_only

    @property
    def embeds(self) -> bool:
        """Whether any loss is taken over embeddings."""
        return any((self.similarity, self.pull, self.swap, self.referent, self.contrastive_only))
