"""The report on an experiment. It needs SciPy, which the report's function alone carries."""
