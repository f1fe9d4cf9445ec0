"""``greendata policy``: check, test, explain, schema, import and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


@click.group()
@shared_options
def policy() -> None:
    """Review policy files before anything is planned from them.

    \b
    Examples:
      greendata policy check policies/
      greendata policy test policies/
      greendata policy explain s3://corp-train/raw/part-0.jsonl -p policies/
    """


@policy.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings are errors, too (exit code 11).")
@shared_options
@click.pass_obj
def check(settings: Settings, /, files: tuple[str, ...], strict: bool) -> None:
    """Read policies (files or folders) and their cases; exit code 11 names every mistake.

    Besides mistakes it tells of conditions that never hold, policies that are never reached, and
    pairs that contradict each other.

    \b
    Example:
      greendata policy check policies/ --strict
    """
    from greendata.cli.output import print_json
    from greendata.cli.show_policy import show_check
    from greendata.errors import PolicyError
    from greendata.jobs.policies import check_policies

    found = check_policies(files)
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_check(found, is_verbose=settings.verbosity > 0)
    if strict and any(finding.level == "warning" for finding in found.findings):
        raise click.exceptions.Exit(PolicyError.exit_code)


@policy.command("test")
@click.argument("files", nargs=-1, required=True)
@shared_options
@click.pass_obj
def test_command(settings: Settings, /, files: tuple[str, ...]) -> None:
    """Run the cases beside policies (NAME.cases.yaml beside NAME.yaml); exit code 13 if one fails.

    A case gives objects and says what is to be decided of each. A decision that is missing fails
    it, and so does one that nobody expected.

    \b
    Example:
      greendata policy test policies/
    """
    from greendata.cli.output import print_answer
    from greendata.cli.show_policy import show_test
    from greendata.errors import PolicyCaseError
    from greendata.jobs.policies import run_policy_cases

    found = run_policy_cases(files)
    print_answer(settings, found, show_test)
    if found.failed:
        raise click.exceptions.Exit(PolicyCaseError.exit_code)


@policy.command()
@click.argument("uri")
@click.option(
    "-p",
    "--policies",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Policy file or folder; can be repeated.",
)
@shared_options
@click.pass_obj
def explain(settings: Settings, /, uri: str, files: tuple[str, ...]) -> None:
    """Show what every policy says of one object of the inventory, step by step.

    \b
    Example:
      greendata policy explain s3://corp-train/raw/part-0.jsonl -p policies/
    """
    from datetime import UTC, datetime

    from greendata.cli.output import print_answer
    from greendata.cli.show_policy import show_explanation
    from greendata.jobs.explain import explain_object

    config = settings.config
    found = explain_object(
        uri,
        files,
        catalog=settings.catalog,
        stores=config.stores,
        datasets=config.datasets,
        as_of=datetime.now(UTC),
    )
    print_answer(settings, found, show_explanation)


@policy.command()
@shared_options
def schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    \b
    Example:
      greendata policy schema > policies/policy.schema.json
    """
    from greendata.cli.output import print_json
    from greendata.policy.document import json_schema

    print_json(json_schema())


@policy.command("import")
@click.argument("file")
@click.option("--bucket", metavar="NAME", help="The bucket that S3 rules were on.")
@click.option("--account", metavar="NAME", help="The storage account that Azure rules were on.")
@click.option("-o", "--output", metavar="FILE", help="The policy file; by default it is printed.")
@click.option("--force", is_flag=True, help="Replace the policy file if it is there.")
@shared_options
@click.pass_obj
def import_command(
    settings: Settings,
    /,
    file: str,
    bucket: str | None,
    account: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Turn S3 or Azure lifecycle rules, or Cloud Custodian's, into policies.

    FILE is S3 lifecycle XML or JSON, an Azure management policy (JSON) or a Custodian file. A
    comment stands wherever the meaning cannot be kept.

    \b
    Examples:
      aws s3api get-bucket-lifecycle-configuration --bucket corp-train > lifecycle.json
      greendata policy import lifecycle.json --bucket corp-train -o policies/imported.yaml
    """
    import sys

    from greendata.cli.output import print_json
    from greendata.cli.show_policy import show_import
    from greendata.jobs.policy_rules import import_policies

    found = import_policies(file, bucket=bucket, account=account, output=output, overwrite=force)
    if settings.is_json:
        print_json(found.as_dict())
    elif output is None:
        sys.stdout.write(found.text)
    else:
        show_import(found)


@policy.command("export")
@click.argument("files", nargs=-1, required=True)
@click.option("--to", type=click.Choice(("s3", "azure")), required=True, help="Whose rules.")
@click.option("--bucket", metavar="NAME", help="The bucket to write S3 rules for.")
@click.option("--account", metavar="NAME", help="The storage account to write Azure rules for.")
@shared_options
@click.pass_obj
def export_command(
    settings: Settings,
    /,
    files: tuple[str, ...],
    to: str,
    bucket: str | None,
    account: str | None,
) -> None:
    """Print the lifecycle rules that say what policies say; stderr names what cannot be said.

    \b
    Example:
      greendata policy export policies/ --to s3 --bucket corp-train > lifecycle.json
    """
    from dataclasses import asdict

    from greendata.cli.output import print_json
    from greendata.cli.show_policy import show_export_notes
    from greendata.jobs.policy_rules import export_policies
    from greendata.model import SCHEMA_VERSION

    is_s3 = to == "s3"
    found = export_policies(
        files, to="s3" if is_s3 else "az", container=bucket if is_s3 else account
    )
    if settings.is_json:
        print_json({"schema_version": SCHEMA_VERSION} | asdict(found))
    else:
        print_json(found.document)
        show_export_notes(found)
