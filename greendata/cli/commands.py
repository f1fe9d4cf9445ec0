"""The ``greendata`` command itself: the group and the options before a command's name."""

from __future__ import annotations

import click

from greendata import __version__
from greendata.cli.apply import apply, resume
from greendata.cli.audit import audit
from greendata.cli.dedup import dedup
from greendata.cli.demo import demo
from greendata.cli.doctor import doctor
from greendata.cli.duplicates import duplicates
from greendata.cli.footprint import footprint
from greendata.cli.index import index
from greendata.cli.inventory import inventory
from greendata.cli.match import match
from greendata.cli.metrics import metrics
from greendata.cli.objects import objects
from greendata.cli.options import global_options
from greendata.cli.overlap import overlap
from greendata.cli.plan import plan
from greendata.cli.policy import policy
from greendata.cli.purge import purge
from greendata.cli.recompress import export_jsonl, recompress, restore_order, verify
from greendata.cli.report import report
from greendata.cli.run import run
from greendata.cli.runs import runs
from greendata.cli.scan import scan
from greendata.cli.settings import Settings
from greendata.cli.show import show
from greendata.cli.undo import undo


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="greendata")
@global_options
@click.pass_context
def greendata(context: click.Context) -> None:
    """Find what is stored twice in training data, verified by the texts themselves.

    \b
    Start with:
      greendata demo
      greendata scan data/
      greendata duplicates
      greendata overlap

    \b
    Exit codes:
      0 done, 1 bug, 2 usage, 3 done but some objects could not be read, 4 found,
      10 configuration, 11 policy wrong, 12 plan or inventory stale, 13 policy case failed,
      20 unreachable, 21 denied, 22 not found, 30 changed, 31 damaged, 32 limit exceeded,
      33 the store cannot do it safely, 40 locked, 41 catalog newer than program,
      50 extra missing, 128 + n ended by signal n
    """
    context.ensure_object(Settings).command = context.invoked_subcommand or ""


for command in (
    scan,
    duplicates,
    overlap,
    match,
    dedup,
    recompress,
    restore_order,
    export_jsonl,
    verify,
    index,
    inventory,
    objects,
    footprint,
    metrics,
    report,
    policy,
    plan,
    show,
    apply,
    resume,
    runs,
    run,
    undo,
    purge,
    audit,
    doctor,
    demo,
):
    greendata.add_command(command)
