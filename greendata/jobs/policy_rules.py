"""``greendata policy import`` and ``export``: rules of providers to policies and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greendata.errors import UsageError
from greendata.jobs.policies import load_policies, read_bounded
from greendata.model import SCHEMA_VERSION
from greendata.policy.native.export import export_rules
from greendata.policy.native.reading import import_rules

if TYPE_CHECKING:
    from greendata.policy.native.export import Exported


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPolicies:
    """``text`` is the policy file; ``left_out`` what of the rules it does not say."""

    source: str
    kind: str
    policies: tuple[str, ...]
    left_out: tuple[str, ...]
    comments: tuple[str, ...]
    text: str
    output: str | None
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``policy import --json``."""
        return asdict(self)


def import_policies(
    path: str,
    *,
    bucket: str | None,
    account: str | None,
    output: str | None,
    overwrite: bool,
) -> ImportedPolicies:
    """Read native rules and write the policies they mean, to ``output`` if one is named.

    Raises:
        PolicyError: the file cannot be imported, and why.
        UsageError: ``output`` is there and may not be replaced.
    """
    imported, text = import_rules(read_bounded(Path(path)), path, bucket=bucket, account=account)
    if output is not None:
        _write(Path(output), text, overwrite=overwrite)
    return ImportedPolicies(
        source=path,
        kind=imported.kind,
        policies=tuple(draft.name for draft in imported.drafts),
        left_out=imported.left_out,
        comments=tuple(
            f"{draft.name}: {sentence}" for draft in imported.drafts for sentence in draft.comments
        ),
        text=text,
        output=output,
    )


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path}: is there already", hint="Replace it with --force.") from error
    except (IsADirectoryError, FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def export_policies(
    paths: Sequence[str], *, to: Literal["s3", "az"], container: str | None
) -> Exported:
    """What of these policies the provider's rules can say.

    Raises:
        PolicyError: a file is wrong.
        UsageError: they are about several buckets or accounts, and none is chosen.
    """
    policies = load_policies(paths)
    if container is None:
        found = {
            _container(prefix, to)
            for entry in policies.policies
            for prefix in (entry.model.scope.prefixes if entry.model.scope else ())
            if prefix.startswith(f"{to}://")
        } - {""}
        if len(found) > 1:
            name = "--bucket" if to == "s3" else "--account"
            raise UsageError(
                f"the policies are about {', '.join(sorted(found))}",
                hint=f"Rules belong to one of them: choose it with {name}.",
            )
    return export_rules(policies, to, container)


def _container(prefix: str, to: str) -> str:
    owner = prefix.partition("://")[2].partition("/")[0]
    bucket, _, account = owner.partition("@")
    return bucket if to == "s3" else account
