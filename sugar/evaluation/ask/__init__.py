"""`python -m sugar evaluate ask`: questions with and without an answer, end to end through `sugar.rag.ask`.

    report = measure(Sugar.from_pretrained("sugar-tiny"), seed=0, size=1000); print(table(report))
    calibrate(model, seed=0, size=300).thresholds        # from the tuning split; written to the
    checkpoint's profile

Cards, captioned galleries and invented notes are made by the program. The tuning split has other names, other
things to say and other wordings than the test split (`places.py`, `cards.py`).
"""

from sugar.evaluation.ask.calibration import Curve, calibrate, write_thresholds
from sugar.evaluation.ask.measuring import COLUMNS, AskReport, measure, rows, table

__all__ = ["COLUMNS", "Curve", "AskReport", "calibrate", "measure", "rows", "table", "write_thresholds"]
