"""What a function that recommends cannot do without, and no more: a cold start to compare with."""

import boto3
import numpy  # noqa: F401
import onnxruntime  # noqa: F401

clients = boto3.client("dynamodb"), boto3.client("s3")


def lambda_handler(event: object, context: object) -> object:  # noqa: ARG001
    """Answer nothing."""
    return {"statusCode": 200}
