"""Evaluation: what a benchmark is, the runner, one file a benchmark in tasks/, and the papers' ablations.

python -m sugar evaluate drawn --seed 0 --size 1000 --json       # tasks/drawn.py
python -m sugar evaluate ablation --out runs/ablation            # ablation.py
"""
