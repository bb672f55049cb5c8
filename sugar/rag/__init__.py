"""Answers from one's own pictures and notes: found by words and vectors, read or quoted, cited, or "I do
not know".

    base = KnowledgeBase(model, gallery=gallery, passages=read_files(files).passages)
    for reply in ask(model, base, Sample("when was the mill built?")):
        print(reply.text, reply.by, reply.cited)
"""

from sugar.rag.answering import STRICTNESS, Reply, ask, cite, threshold
from sugar.rag.base import KnowledgeBase
from sugar.rag.evidence import best_sentence
from sugar.rag.prompting import prompt, quoted, quoted_sample, within_budget
from sugar.rag.questions import find_time, standalone

__all__ = [
    "KnowledgeBase",
    "Reply",
    "STRICTNESS",
    "ask",
    "best_sentence",
    "cite",
    "find_time",
    "prompt",
    "quoted",
    "quoted_sample",
    "standalone",
    "threshold",
    "within_budget",
]
