"""An evaluation as a page: pictures, tables, and the words to read them by.

``figures`` draws from the answer of ``training.evaluation.evaluate``, ``page`` lays out and writes,
and ``style`` holds the colours of both. Nothing here measures anything.
"""

from training.evaluation.report.page import write_report

__all__ = ["write_report"]
