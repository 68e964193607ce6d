"""The report on an experiment.

Of the services this one alone needs SciPy, which the report's function alone carries.
"""
