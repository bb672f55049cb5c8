"""Answers from one's own pictures and notes: found by words and vectors, read or quoted, cited, or "I do
not know".

    base = KnowledgeBase(model, gallery=gallery, passages=read_files(files).passages)
    for reply in ask(model, base, Sample("when was the mill built?")):
        print(reply.text, reply.by, reply.cited)
"""

from sugar.rag.answering import STRICTNESS, Reply, ask, threshold, without_retrieval
from sugar.rag.base import KnowledgeBase, scales_of
from sugar.rag.citing import cite, supports
from sugar.rag.dates import When, find_time
from sugar.rag.evidence import Scales, best_sentence
from sugar.rag.followup import standalone
from sugar.rag.prompting import alone, prompt, within_budget
from sugar.rag.quoting import quoted

__all__ = [
    "KnowledgeBase",
    "Reply",
    "STRICTNESS",
    "Scales",
    "When",
    "alone",
    "ask",
    "best_sentence",
    "cite",
    "find_time",
    "prompt",
    "quoted",
    "scales_of",
    "standalone",
    "supports",
    "threshold",
    "within_budget",
    "without_retrieval",
]
