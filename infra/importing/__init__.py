"""Brings listening histories into the tables: from a data folder or from a SQL database."""

from infra.importing.importer import ImportSummary, import_folder
from infra.importing.sql import SqlSource, import_sql
from infra.importing.target import DynamoTarget, Target

__all__ = [
    "DynamoTarget",
    "ImportSummary",
    "SqlSource",
    "Target",
    "import_folder",
    "import_sql",
]
