"""``greendata policy``: check, test, explain, schema, import and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greendata.cli.options import shared_options

if TYPE_CHECKING:
    from greendata.cli.settings import Settings

EXIT_CASE_FAILED = 13


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
        show_check(found)
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
    from greendata.cli.output import print_json
    from greendata.cli.show_policy import show_test
    from greendata.errors import PolicyCaseError
    from greendata.jobs.policies import test_policies

    found = test_policies(files)
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_test(found)
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

    from greendata.cli.output import print_json
    from greendata.cli.show_policy import show_explanation
    from greendata.jobs.policies import explain_object

    config = settings.config
    found = explain_object(
        uri,
        files,
        catalog=settings.catalog,
        stores=config.stores,
        datasets=config.datasets,
        as_of=datetime.now(UTC),
    )
    if settings.is_json:
        print_json(found.as_dict())
    else:
        show_explanation(found)


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
