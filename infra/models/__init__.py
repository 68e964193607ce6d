"""Models out the door: bundles in the stack's bucket, and which of them is active."""

from infra.models.depot import Depot, Released, Uploaded
from infra.models.layer import publish_layer

__all__ = ["Depot", "Released", "Uploaded", "publish_layer"]
