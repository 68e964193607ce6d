"""Signature Version 4 as a server checks it, written from AWS's description and not with botocore.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<scope>(?P<day>\d{8})/(?P<region>[\w-]+)/"
    r"(?P<service>[\w-]+)/aws4_request), SignedHeaders=(?P<signed>[\w;-]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


def credential_of(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Who signed, for which region and service."""
    match = _parse(headers)
    return match["key"], match["region"], match["service"]


def is_signed(method: str, url: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether the signature is that of this very request, made with this secret."""
    match = _parse(headers)
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    parts = urlsplit(url)
    query = sorted(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    canonical = "\n".join(
        [
            method,
            quote(parts.path or "/"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{lower[name]}" for name in match["signed"].split(";")),
            "",
            match["signed"],
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{lower['x-amz-date']}\n{match['scope']}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in match["scope"].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex() == match["signature"]


def _parse(headers: Mapping[str, str]) -> re.Match[str]:
    lower = {name.lower(): value for name, value in headers.items()}
    match = _AUTHORIZATION.fullmatch(lower["authorization"])
    assert match, f"no signature: {lower['authorization']}"
    return match
