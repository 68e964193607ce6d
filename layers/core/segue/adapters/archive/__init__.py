"""Copies of records by the thousand, as Parquet in S3: few requests a report, and Athena's table.

``manifest``: which files an epoch's archive consists of, and its counts; ``files``: the records in
them; ``parquet``: as much of the format as they need; ``archive``: how all of it changes.
"""

from segue.adapters.archive.archive import FOLDER, S3Archive, epoch_of_manifest

__all__ = ["FOLDER", "S3Archive", "epoch_of_manifest"]
