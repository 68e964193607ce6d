"""The whole service on one machine, with no AWS and no Docker: tables, bucket, functions, API."""
