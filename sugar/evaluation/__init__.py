"""Evaluation: a few loops, one small file per benchmark of the drawn world, and the papers' ablations.

    python -m sugar evaluate drawn --seed 0 --size 1000 --json       # sugar/evaluation/drawn.py
    python -m sugar evaluate ablation --out runs/ablation            # sugar/evaluation/ablation.py

loops.py: generate, choose, match, retrieve, batched over a `Sugar`. baselines.py: what can be had without
looking. Every benchmark file has `measure(model, seed, size) -> dict[str, Figure]`, each figure beside what
chance, words alone or pictures alone give. Scenes come from the test split; the language-only baseline learns
from the tuning split. Not covered: benchmarks that need downloads.
"""
