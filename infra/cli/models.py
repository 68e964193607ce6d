"""``segue models``: bundles in the stack's bucket, and which of them is active."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.options import BUNDLE, Json
from infra.cli.output import console, write_json
from segue.domain.errors import InvalidData

if TYPE_CHECKING:
    from infra.models import Depot, Released
    from segue.models.pointer import Pointer

# In place of a version: the bundle that the functions were deployed with.
DEPLOYED = "deployed"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Bundles in the stack's bucket, and which of them is active.",
)

Bucket = Annotated[
    str | None, typer.Option(envvar="BUCKET", help="The stack's bucket, one of its outputs.")
]
BundleKeyArn = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="ARN",
        envvar="BUNDLE_KEY",
        help="The key of KMS that signs the stack's bundles, one of its outputs: without it, the "
        "functions on AWS refuse what is uploaded. A local stack has none.",
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="A local stack that runs, such as http://127.0.0.1:4566; else AWS."
    ),
]


@app.command("list")
def list_bundles(
    bucket: Bucket = None,
    key: BundleKeyArn = None,
    endpoint_url: EndpointUrl = None,
    json_file: Json = None,
) -> None:
    """Show the bundles, the latest first. A star marks the active one."""
    depot, _ = _depot(bucket, key, endpoint_url)
    pointer, released = depot.pointer(), depot.released()
    out = console(json_file)
    for line in _table(pointer, released):
        out.print(line)
    body = _pointer_row(pointer) | {"bundles": [_row(it, pointer) for it in released]}
    write_json(json.dumps(body, indent=2), json_file)


@app.command()
def upload(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The folder of the bundle.")
    ] = BUNDLE,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Also publish it as a version of the Lambda layer of this name."
        ),
    ] = None,
    bucket: Bucket = None,
    key: BundleKeyArn = None,
    endpoint_url: EndpointUrl = None,
    json_file: Json = None,
) -> None:
    """Sign a bundle and bring it into the bucket. Safe to repeat; goes on where it was stopped."""
    from infra.progress import progress_bars

    depot, name = _depot(bucket, key, endpoint_url)
    out = console(json_file)
    with progress_bars(out) as report:
        done = depot.upload(bundle, report)
    signed = "signed" if done.signed else "not signed, since there is no --key"
    out.print(
        f"bundle {done.version}: {done.sent} files sent, {done.there} were there already; {signed}"
    )
    body = asdict(done)
    if layer:
        body["layer"] = _publish(bundle, name, layer)
        out.print(body["layer"])
    write_json(json.dumps(body, indent=2), json_file)


@app.command()
def activate(
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION",
            help=f"As `list` shows it; `{DEPLOYED}`: the bundle that the functions carry.",
        ),
    ],
    bucket: Bucket = None,
    key: BundleKeyArn = None,
    endpoint_url: EndpointUrl = None,
    json_file: Json = None,
) -> None:
    """Let the functions serve a bundle. They follow within half a minute."""
    from infra.progress import progress_bars

    depot, _ = _depot(bucket, key, endpoint_url)
    out = console(json_file)
    with progress_bars(out) as report:
        pointer = depot.activate(None if version == DEPLOYED else version, report)
    out.print(f"active: {_name(pointer.active.version)}")
    write_json(json.dumps(_pointer_row(pointer), indent=2), json_file)


@app.command()
def rollback(
    bucket: Bucket = None,
    key: BundleKeyArn = None,
    endpoint_url: EndpointUrl = None,
    json_file: Json = None,
) -> None:
    """Let the functions serve what they served before. Repeat it to go further back."""
    from infra.progress import progress_bars

    depot, _ = _depot(bucket, key, endpoint_url)
    out = console(json_file)
    with progress_bars(out) as report:
        pointer = depot.roll_back(report)
    out.print(f"active: {_name(pointer.active.version)}")
    write_json(json.dumps(_pointer_row(pointer), indent=2), json_file)


def _depot(bucket: str | None, key: str | None, endpoint_url: str | None) -> "tuple[Depot, str]":
    """The bundles, and the name of the bucket."""
    from infra.local.environment import TEMPLATE, create_local_resources, point_aws_at
    from infra.models import Depot
    from infra.models.depot import patient_client, patient_key
    from infra.template import load

    if endpoint_url:
        point_aws_at(endpoint_url)
        bucket, key = create_local_resources(load(TEMPLATE))["Bucket"], None
    if not bucket:
        raise InvalidData(
            "say which bucket: --bucket (one of the stack's outputs), or --endpoint-url of a "
            "local stack"
        )
    return Depot(patient_client(), bucket, patient_key(key) if key else None), bucket


def _publish(bundle: Path, bucket: str, layer: str) -> str:
    import boto3

    from infra.models import publish_layer
    from infra.models.depot import PATIENT, patient_client

    client = boto3.client("lambda", config=PATIENT)
    return publish_layer(client, patient_client(), bucket, bundle, layer)


def _name(version: str | None) -> str:
    return f"bundle {version}" if version else "the bundle that the functions were deployed with"


def _time(moment: int) -> str:
    from segue.domain.times import format_time

    return format_time(moment)


def _table(pointer: "Pointer", released: "list[Released]") -> Iterator[str]:
    active = pointer.active.version
    yield f"{' *'[active is None]} {DEPLOYED}"
    for it in released:
        mark = " *"[it.version == active]
        if it.manifest is None:
            yield f"{mark} {it.version}  {it.fault}"
            continue
        size = sum(entry["bytes"] for entry in it.manifest.files.values()) / 1e6
        moments = f"uploaded {_time(it.uploaded or 0)}  cut-off {it.manifest.content['cutoff']}"
        yield f"{mark} {it.version}  {moments}  {size:.1f} MB  {_accuracy(it.manifest.models)}"


def _accuracy(models: Any) -> str:
    """nDCG of each model, where the training could judge it."""
    known = {it["name"]: it.get("metrics", {}).get("ndcg@20") for it in models.values()}
    return ", ".join(
        name if ndcg is None else f"{name} nDCG@20 {ndcg:.3f}" for name, ndcg in known.items()
    )


def _pointer_row(pointer: "Pointer") -> dict[str, Any]:
    active = pointer.active
    return {
        "active": active.version,
        "since": _time(active.since) if active.since else None,
        "before": [before.version for before in pointer.before],
    }


def _row(released: "Released", pointer: "Pointer") -> dict[str, Any]:
    content = released.manifest.content if released.manifest else {}
    files = released.manifest.files.values() if released.manifest else ()
    return {
        "version": released.version,
        "active": released.version == pointer.active.version,
        "uploaded": _time(released.uploaded) if released.uploaded else None,
        "cutoff": content.get("cutoff"),
        "bytes": sum(entry["bytes"] for entry in files),
        "models": content.get("models", []),
        "fault": released.fault or None,
    }
