"""The outside world: DynamoDB, S3, a bundle on disk, and memory for tests."""
