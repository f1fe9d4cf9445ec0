"""Which kind of native rules a file holds, and the policies they become."""

from __future__ import annotations

import json
import re
from typing import Any

from greendata.errors import PolicyError
from greendata.policy.document import read_policies
from greendata.policy.native.azure import find_rules, import_azure_rules
from greendata.policy.native.custodian import import_custodian
from greendata.policy.native.draft import Imported, ImportFailedError, to_yaml
from greendata.policy.native.s3 import import_s3_rules, import_s3_xml
from greendata.policy.text import LARGEST_FILE_BYTES, read_yaml

_HINT = "It reads S3 lifecycle XML or JSON, Azure management policy JSON and Cloud Custodian YAML."


def import_rules(
    raw: bytes, name: str, *, bucket: str | None = None, account: str | None = None
) -> tuple[Imported, str]:
    """The policies that a file of native rules means, and their YAML.

    Raises:
        PolicyError: the file, and why it cannot be imported.
    """
    try:
        imported = _imported(raw, name, bucket, account)
    except ImportFailedError as error:
        raise PolicyError(f"{name}: {error}", hint=_HINT) from error
    except RecursionError as error:
        raise PolicyError(f"{name}: nested too deeply", hint=_HINT) from error
    text = to_yaml(imported, name)
    try:
        read_policies([(name, text.encode())])
    except PolicyError as error:
        raise PolicyError(
            f"{name}: a rule means what no policy may say: {error.message}", hint=error.hint
        ) from error
    return imported, text


def _imported(raw: bytes, name: str, bucket: str | None, account: str | None) -> Imported:
    if len(raw) > LARGEST_FILE_BYTES:
        raise ImportFailedError(f"larger than {LARGEST_FILE_BYTES} bytes")
    start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:200]
    if not start:
        raise ImportFailedError("the file is empty")
    if re.match(rb"1\.\s*[<{]", start):
        raise ImportFailedError("its lines begin with line numbers: remove them first")
    if start.startswith(b"<"):
        return import_s3_xml(raw, bucket)
    if start[:1] in (b"{", b"["):
        return _json(raw, bucket, account)
    try:
        document = read_yaml(raw, name).data
    except PolicyError as error:
        raise ImportFailedError(f"neither XML nor JSON; as YAML: {error.message}") from error
    if isinstance(document, dict) and isinstance(document.get("policies"), list):
        return import_custodian(document, bucket)
    raise ImportFailedError("neither XML, JSON nor Custodian YAML with `policies`")


def _json(raw: bytes, bucket: str | None, account: str | None) -> Imported:
    try:
        document = json.loads(raw, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise ImportFailedError(
            f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from error
    except UnicodeDecodeError as error:
        raise ImportFailedError("not UTF-8") from error
    rules = find_rules(document)
    if rules is not None:
        return import_azure_rules(rules, account)
    if isinstance(document, dict) and isinstance(document.get("policies"), list):
        return import_custodian(document, bucket)
    return import_s3_rules(document if isinstance(document, dict) else {}, bucket)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ImportFailedError(f"key {twice!r} stands there twice in one object")
    return found
