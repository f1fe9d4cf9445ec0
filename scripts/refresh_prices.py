"""Read the providers' public price lists, from files or URLs, into the data files of footprint.

    scripts/refresh_prices --aws eu-central-1 --azure westeurope
    scripts/refresh_prices AmazonS3.json AWSDataTransfer.json retail-prices.json

An AWS offer file (AmazonS3, AWSDataTransfer) or a page of Azure retail prices is told by what is in
it; neither needs an account. A price that has changed becomes a new row with the day from which it
is valid, so that older plans can still be priced; what a list does not name stays as it is and is
said."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from scripts.price_lists.aws import read_offer, s3_place, s3_rows, transfer_rows  # noqa: E402
from scripts.price_lists.azure import azure_rows  # noqa: E402
from scripts.price_lists.rows import PriceListError, Refreshed, merge  # noqa: E402

DATA = REPOSITORY / "greendata" / "footprint" / "data"
AWS_URL = (
    "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{offer}/current/{region}/index.json"
)
AZURE_URL = "https://prices.azure.com/api/retail/prices"
AZURE_FILTER = "serviceName eq 'Storage' and armRegionName eq '{region}'"
LARGEST_BYTES = 256 * 2**20
"""The global index of S3 has 59 MB, that of a region half a megabyte."""

TIMEOUT_SECONDS = 60
MOST_PAGES = 200


def refresh(documents: Iterable[Mapping[str, Any]], data: Path, retrieved_on: str) -> Refreshed:
    """Read price lists into the data files of a folder.

    Raises:
        PriceListError: a document that is no price list; nothing of any was written.
    """
    offers, azure = [], []
    for document in documents:
        if not isinstance(document, dict):
            raise PriceListError("not a price list: no JSON object")
        if "Items" in document:
            azure.append(azure_rows(document, retrieved_on))
        else:
            offers.append(read_offer(document))
    s3 = [offer for offer in offers if offer.code == "AmazonS3"]
    moves = [offer for offer in offers if offer.code == "AWSDataTransfer"]
    if unknown := {offer.code for offer in offers} - {"AmazonS3", "AWSDataTransfer"}:
        raise PriceListError(f"no use is known for the offer {', '.join(sorted(unknown))}")
    names = {location: region for region, _, location in map(s3_place, s3)}
    prices = [*(s3_rows(offer, retrieved_on) for offer in s3), *azure]
    transfers = [transfer_rows(offer, names, retrieved_on) for offer in moves]
    found = Refreshed(
        not_found=tuple(text for _, missing in (*prices, *transfers) for text in missing)
    )
    for name, lists in (("prices", prices), ("transfers", transfers)):
        rows = [row for part, _ in lists for row in part]
        if rows:
            found += merge(data / f"{name}.csv", rows)
    return found


def load(place: str) -> Iterator[Mapping[str, Any]]:
    """The document at a path or URL; of Azure, the pages that follow it too.

    Raises:
        PriceListError: it cannot be read, or is not JSON.
    """
    seen: list[str] = []
    while place:
        if len(seen) >= MOST_PAGES or place in seen:
            raise PriceListError(f"{place}: pages without end")
        seen.append(place)
        try:
            document = json.loads(_read(place))
        except (OSError, ValueError) as error:
            raise PriceListError(f"{place}: {error}") from error
        yield document
        following = document.get("NextPageLink") if isinstance(document, dict) else None
        place = following if following and _is_url(place) else ""


def _is_url(place: str) -> bool:
    return urllib.parse.urlsplit(place).scheme in ("http", "https")


def _read(place: str) -> bytes:
    if not _is_url(place):
        with Path(place).open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    else:
        with urllib.request.urlopen(place, timeout=TIMEOUT_SECONDS) as answer:
            raw = answer.read(LARGEST_BYTES + 1)
    if len(raw) > LARGEST_BYTES:
        raise ValueError(f"has more than {LARGEST_BYTES} bytes")
    return bytes(raw)


def joined(pages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Documents, with the pages of Azure prices as one."""
    items: list[Any] = []
    has_items = False
    for page in pages:
        if isinstance(page, dict) and isinstance(page.get("Items"), list):
            has_items = True
            items += page["Items"]
        else:
            yield page
    if has_items:
        yield {"Items": items}


def main() -> None:
    """Read the lists named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", metavar="FILE_OR_URL")
    parser.add_argument("--aws", action="append", default=[], metavar="REGION")
    parser.add_argument("--azure", action="append", default=[], metavar="REGION")
    parser.add_argument("--data", type=Path, default=DATA, help="where prices.csv is")
    arguments = parser.parse_args()
    sources = list(arguments.sources)
    for region in arguments.aws:
        quoted = urllib.parse.quote(region, safe="")
        sources += [
            AWS_URL.format(offer=offer, region=quoted) for offer in ("AmazonS3", "AWSDataTransfer")
        ]
    for region in arguments.azure:
        query = urllib.parse.quote(AZURE_FILTER.format(region=region.replace("'", "")))
        sources.append(f"{AZURE_URL}?$filter={query}")
    if not sources:
        parser.error("name files or URLs of price lists, or --aws REGION or --azure REGION")
    try:
        pages = [page for source in sources for page in load(source)]
        found = refresh(joined(pages), arguments.data, datetime.now(UTC).date().isoformat())
    except PriceListError as error:
        raise SystemExit(f"refresh_prices: {error}") from error
    print(f"{found.new} new prices, {found.unchanged} as before")
    for text in found.not_found:
        print(f"not in the list, left as it was: {text}")


if __name__ == "__main__":
    main()
