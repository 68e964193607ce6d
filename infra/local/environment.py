"""Points everything that speaks to AWS in this process at the local stack, and at nothing else."""

import os
from pathlib import Path

from infra import template as templates
from segue.adapters.aws import dynamodb_client, s3_client, translated

TEMPLATE = Path(templates.__file__).parents[1] / "template.yaml"
# Under which the AWS command line finds the local tables and bucket, too.
REGION = "us-east-1"
# In front of the logical ids of the template: segue-local-sessionstable.
PREFIX = "segue-local"


def point_aws_at(endpoint: str) -> None:
    """Replace the AWS settings of this process: none of the user's own profiles or keys is used."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(local_settings(endpoint))


def create_local_resources(template: templates.Template) -> dict[str, str]:
    """The template's tables and buckets, made where they are not there yet: names by logical id.

    Raises StoreUnavailable where nothing answers at the endpoint.
    """
    with translated("the local stack"):
        return templates.create_resources(template, dynamodb_client(), s3_client(), PREFIX)


def local_settings(endpoint: str) -> dict[str, str]:
    """The AWS settings of whoever uses the local stack."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # What leaves for this machine must not take the way through a proxy.
        "NO_PROXY": "127.0.0.1,localhost",
    }
