"""The photo model measured on photos that it never saw: `python -m sugar evaluate photos --data DATA --json`.

`report.py` collects the rows of `finding.py`, `telling.py`, `answering.py` and `foreign.py`; README.md of
`sugar/evaluation` says what each measures. Every figure stands beside chance and the strongest blind
baseline. The test split is for the finished model only.
"""
