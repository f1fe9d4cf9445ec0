"""Reading price lists. The lists here are built from the documented shapes, with the traps that
objectfs (internal/awsrates/offerfile) tells of; they are no real lists and no real prices."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "greendata" / "footprint" / "data"
DAY = "2026-11-21"


def load_script() -> ModuleType:
    path = REPOSITORY / "scripts" / "refresh_prices.py"
    spec = importlib.util.spec_from_file_location("refresh_prices", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = load_script()


class MadeOffer:
    """An AWS offer file of the documented shape; not a real one."""

    def __init__(self, code: str, published: str = "2026-10-15T00:00:00Z") -> None:
        self.document: dict[str, Any] = {
            "formatVersion": "v1.0",
            "disclaimer": "made for a test",
            "offerCode": code,
            "version": "20261015000000",
            "publicationDate": published,
            "products": {},
            "terms": {"OnDemand": {}},
        }

    def add(self, usage: str, *bands: str, family: str | None = None, **attributes: str) -> None:
        sku = f"SKU{len(self.document['products'])}"
        product: dict[str, Any] = {"sku": sku, "attributes": {"usagetype": usage, **attributes}}
        if family:
            product["productFamily"] = family
        self.document["products"][sku] = product
        begins = ("0", "51200", "512000")
        dimensions = {
            f"{sku}.T.{number}": {"beginRange": begin, "unit": "x", "pricePerUnit": {"USD": price}}
            for number, (begin, price) in enumerate(zip(begins, bands, strict=False))
        }
        backwards = dict(reversed(dimensions.items()))  # the first of the file is not the first
        self.document["terms"]["OnDemand"][sku] = {f"{sku}.T": {"priceDimensions": backwards}}


def s3_offer(prefix: str = "XXC1-", region: str = "eu-central-1") -> MadeOffer:
    made = MadeOffer("AmazonS3")
    standard = {"volumeType": "Standard", "regionCode": region, "location": "EU (Frankfurt)"}
    made.add(
        f"{prefix}TimedStorage-ByteHrs",
        "0.0301",
        "0.0291",
        "0.0281",
        family="Storage",
        storageClass="General Purpose",
        **standard,
    )
    # what ends alike, and what shares the usage type: neither is Standard storage
    made.add(f"{prefix}Tables-TimedStorage-ByteHrs", "0.9")
    made.add(f"{prefix}TimedStorage-ByteHrs", "0.8", operation="INTAAS3ObjectOverhead")
    made.add(f"{prefix}TimedStorage-ByteHrs", "0.7", volumeType="IntelligentTieringAA")
    for code, price in {"FA": "0.0301", "IA": "0.014", "AIA": "0.006", "DAA": "0.002"}.items():
        made.add(f"{prefix}TimedStorage-INT-{code}-ByteHrs", price)
    made.add(f"{prefix}TimedStorage-GDA-Staging", "0.021")
    made.add(f"{prefix}TimedStorage-GlacierByteHrs", "0.0041")
    made.add(f"{prefix}Requests-Tier1", "0.0000061")
    made.add(f"{prefix}Requests-Tier2", "0.00000049")
    made.add(f"{prefix}Requests-Tier3", "0.00006", operation="RestoreObject")
    made.add(f"{prefix}Requests-Tier3", "0.00004", operation="S3-GlacierTransition")
    made.add(f"{prefix}Requests-Tier3", "0.00007", operation="S3-GDATransition")
    made.add(f"{prefix}Requests-Tier4", "0.000011", operation="S3-SIATransition")
    made.add(f"{prefix}Standard-Retrieval-Bytes", "0.013", operation="RestoreObject")
    made.add(f"{prefix}Standard-Retrieval-Bytes", "0.025", operation="DeepArchiveRestoreObject")
    made.add(f"{prefix}TimedStorage-SIA-ByteHrs", "0.0141")
    made.add(f"{prefix}Monitoring-Automation-INT", "0.0000026")
    return made


def transfer_offer() -> MadeOffer:
    made = MadeOffer("AWSDataTransfer")
    here = {"fromLocation": "EU (Frankfurt)", "fromLocationType": "AWS Region"}
    out = here | {"toLocation": "External", "transferType": "AWS Outbound"}
    made.add("XXC1-DataTransfer-Out-Bytes", "0.095", "0.09", "0.06", **out)
    made.add("XXC1-DataTransfer-Out-Bytes", "0.0", **out)
    made.add("Global-DataTransfer-Out-Bytes", "0.0", **out)
    inbound = {"fromLocation": "External", "toLocation": "EU (Frankfurt)"}
    made.add("XXC1-DataTransfer-In-Bytes", "0.0", transferType="AWS Inbound", **inbound)
    between = {"transferType": "InterRegion Outbound"}
    made.add("XXC1-USE1-AWS-Out-Bytes", "0.021", toRegionCode="us-east-1", **here, **between)
    made.add("XXC1-MOON-AWS-Out-Bytes", "0.5", toLocation="The Moon", **here, **between)
    return made


def azure_item(meter: str, price: float, **values: Any) -> dict[str, Any]:
    """An item of the documented shape of Azure retail prices; not a real one."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "westeurope",
        "effectiveStartDate": "2026-09-01T00:00:00Z",
        "meterName": meter,
        "productName": "General Block Blob v2",
        "skuName": f"{meter.split()[0]} LRS",
        "serviceName": "Storage",
        "unitOfMeasure": "10K",
        "type": "Consumption",
    } | values


def azure_items() -> list[dict[str, Any]]:
    gigabyte = {"unitOfMeasure": "1 GB/Month"}
    return [
        azure_item("Hot LRS Data Stored", 0.0188, tierMinimumUnits=51200.0, **gigabyte),
        azure_item("Hot LRS Data Stored", 0.0196, **gigabyte),
        azure_item("Hot LRS Data Stored", 0.5, type="Reservation", **gigabyte),
        azure_item("Hot LRS Data Stored", 0.7, currencyCode="EUR", **gigabyte),
        azure_item("Hot LRS Data Stored", 0.6, productName="Files v2", **gigabyte),
        azure_item("Hot ZRS Data Stored", 0.4, skuName="Hot ZRS", **gigabyte),
        azure_item("Hot LRS Write Operations", 0.054),
        azure_item("Hot Read Operations", 0.0043),
        azure_item("Cool LRS Data Stored", 0.01, productName="Blob Storage", **gigabyte),
        azure_item("Cool Data Retrieval", 0.011, unitOfMeasure="1 GB"),
        azure_item("Cold LRS Data Retrieval", 0.031, unitOfMeasure="1 GB"),
        azure_item("Archive Priority Read Operations", 65.0),
    ]


def rows(path: Path, **keys: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            row
            for row in csv.DictReader(stream)
            if all(row[key] == value for key, value in keys.items())
        ]


def newest(path: Path, **keys: str) -> dict[str, str]:
    return max(rows(path, **keys), key=lambda row: row["valid_from"])


def price(data: Path, region: str, storage_class: str, item: str) -> tuple[str, str, str, str]:
    row = newest(data / "prices.csv", region=region, storage_class=storage_class, item=item)
    return row["low"], row["value"], row["unit"], row["valid_from"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("storage_class", "item", "expected"),
    [
        ("STANDARD", "storage", ("0.0281", "0.0301", "USD/GiB-month")),
        ("STANDARD", "put", ("0.0061", "0.0061", "USD/1000")),
        ("STANDARD", "retrieval", ("0", "0", "USD/GiB")),
        ("INTELLIGENT_TIERING", "storage", ("0.006", "0.0301", "USD/GiB-month")),
        ("INTELLIGENT_TIERING", "monitoring", ("0.0026", "0.0026", "USD/1000-objects-month")),
        ("STANDARD_IA", "transition", ("0.011", "0.011", "USD/1000")),
        ("GLACIER", "transition", ("0.04", "0.04", "USD/1000")),
        ("GLACIER", "restore_standard", ("0.06", "0.06", "USD/1000")),
        ("GLACIER", "retrieval_standard", ("0.013", "0.013", "USD/GiB")),
        ("DEEP_ARCHIVE", "storage", ("0.002", "0.002", "USD/GiB-month")),
        ("DEEP_ARCHIVE", "retrieval_standard", ("0.025", "0.025", "USD/GiB")),
    ],
)
def test_prices_of_an_offer_file(
    data: Path, storage_class: str, item: str, expected: tuple[str, ...]
) -> None:
    script.refresh([s3_offer().document], data, DAY)
    found = price(data, "eu-central-1", storage_class, item)
    assert found[:3] == expected
    # the row from before may say the same
    assert found[3] == "2026-10-15" or expected[1] == "0"


def test_the_first_region_has_no_prefix(data: Path) -> None:
    script.refresh([s3_offer("", "us-east-1").document], data, DAY)
    assert price(data, "us-east-1", "STANDARD", "storage")[1] == "0.0301"


def test_older_prices_stay_for_older_plans(data: Path) -> None:
    script.refresh([s3_offer().document], data, DAY)
    found = rows(
        data / "prices.csv", region="eu-central-1", storage_class="STANDARD", item="storage"
    )
    assert [(row["valid_from"], row["value"]) for row in found] == [
        ("2026-01-01", "0.0245"),
        ("2026-10-15", "0.0301"),
    ]


def test_reading_a_list_again_changes_nothing(data: Path) -> None:
    first = script.refresh([s3_offer().document], data, DAY)
    before = (data / "prices.csv").read_bytes()
    again = script.refresh([s3_offer().document], data, "2026-12-24")
    assert (again.new, again.unchanged) == (0, first.new + first.unchanged)
    assert (data / "prices.csv").read_bytes() == before


def test_what_a_list_does_not_name_is_said_and_left(data: Path) -> None:
    before = price(data, "eu-central-1", "GLACIER_IR", "storage")
    found = script.refresh([s3_offer().document], data, DAY)
    assert "s3 eu-central-1 GLACIER_IR storage" in found.not_found
    assert price(data, "eu-central-1", "GLACIER_IR", "storage") == before


def test_transfer_prices_know_regions_by_code_or_by_the_names_of_the_same_run(data: Path) -> None:
    found = script.refresh([transfer_offer().document, s3_offer().document], data, DAY)

    def transfer(target: str) -> tuple[str, str]:
        row = newest(data / "transfers.csv", source_place="eu-central-1", target_place=target)
        return row["low"], row["value"]

    assert transfer("us-east-1") == ("0.021", "0.021")
    assert transfer("internet") == ("0.06", "0.095")
    assert "s3 transfer from EU (Frankfurt) to The Moon" in found.not_found
    alone = script.refresh([transfer_offer().document], data, DAY)
    assert len(alone.not_found) == 3


def test_two_prices_for_one_thing_are_refused_and_nothing_is_written(data: Path) -> None:
    offer = s3_offer()
    offer.add("XXC1-Requests-Tier1", "0.000009")
    before = (data / "prices.csv").read_bytes()
    with pytest.raises(script.PriceListError, match="several prices for XXC1-Requests-Tier1"):
        script.refresh([offer.document], data, DAY)
    assert (data / "prices.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("storage_class", "item", "expected"),
    [
        ("Hot", "storage", ("0.0188", "0.0196", "USD/GiB-month", "2026-09-01")),
        ("Hot", "put", ("0.054", "0.054", "USD/10000", "2026-09-01")),
        ("Hot", "transition", ("0.054", "0.054", "USD/10000", "2026-09-01")),
        ("Hot", "retrieval", ("0", "0", "USD/GiB", "2026-09-01")),
        ("Cool", "storage", ("0.01", "0.01", "USD/GiB-month", "2026-09-01")),
        ("Cool", "retrieval", ("0.011", "0.011", "USD/GiB", "2026-09-01")),
        ("Cold", "retrieval", ("0.031", "0.031", "USD/GiB", "2026-09-01")),
        ("Archive", "restore_high", ("65", "65", "USD/10000", "2026-09-01")),
    ],
)
def test_prices_of_azure(
    data: Path, storage_class: str, item: str, expected: tuple[str, ...]
) -> None:
    found = script.refresh([{"Items": azure_items()}], data, DAY)
    assert price(data, "westeurope", storage_class, item) == expected
    assert "az westeurope Archive storage" in found.not_found


def test_refreshed_files_are_files_the_program_reads(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greendata.footprint import prices, tables

    script.refresh([{"Items": azure_items()}, s3_offer().document], data, DAY)
    monkeypatch.setattr(tables, "_text", lambda name: (data / f"{name}.csv").read_text())
    tables._rows.cache_clear()
    prices.price_list.cache_clear()
    try:
        found = prices.price_list().find("az", "westeurope", "Hot")
        assert str(found.storage_usd_per_gib_month) == "0.0196"
        glacier = prices.price_list().find("s3", "eu-central-1", "GLACIER")
        assert str(glacier.restore_usd) == "0.00006"
    finally:
        tables._rows.cache_clear()
        prices.price_list.cache_clear()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "no JSON object"),
        ({}, "not an AWS offer file"),
        ({"Items": None}, "no list of Items"),
        ({"Items": ["x"]}, "no list of Items"),
        (MadeOffer("AmazonEC2").document, "no use is known for the offer AmazonEC2"),
        (MadeOffer("AmazonS3").document, "no S3 Standard storage"),
        (MadeOffer("AmazonS3", published="soon").document, "not an AWS offer file"),
        (
            {"Items": [azure_item("Hot LRS Data Stored", 1.0, unitOfMeasure="1 TB")]},
            "a price for '1 TB'",
        ),
        (
            {"Items": [azure_item("Hot LRS Write Operations", 1.0, effectiveStartDate="x")]},
            "Hot LRS Write Operations in westeurope",
        ),
        (
            {"Items": [azure_item("Hot LRS Write Operations", 1.0, retailPrice="much")]},
            "Hot LRS Write Operations in westeurope",
        ),
    ],
)
def test_what_is_no_price_list_is_refused(data: Path, document: Any, message: str) -> None:
    before = (data / "prices.csv").read_bytes()
    with pytest.raises(script.PriceListError, match=message):
        script.refresh([document], data, DAY)
    assert (data / "prices.csv").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "\udcff", '{"Items": [}'])
def test_files_that_are_not_json_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(script.PriceListError, match=r"list\.json"):
        list(script.load(str(path)))
    with pytest.raises(script.PriceListError, match="nowhere"):
        list(script.load(str(tmp_path / "nowhere")))


class Pages(BaseHTTPRequestHandler):
    """Azure's pages from this machine: two, or one that follows itself."""

    def do_GET(self) -> None:
        items = azure_items()
        here = f"http://{self.headers['Host']}"
        following = {"/1": f"{here}/2", "/round": f"{here}/round"}.get(self.path)
        half = items[:6] if self.path == "/1" else items[6:]
        body = json.dumps({"Items": half, "NextPageLink": following}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Pages)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_pages_from_a_server_are_one_list(server: str) -> None:
    (document,) = script.joined(script.load(f"{server}/1"))
    assert len(document["Items"]) == len(azure_items())


def test_pages_without_end_are_refused(server: str) -> None:
    with pytest.raises(script.PriceListError, match="without end"):
        list(script.load(f"{server}/round"))


def test_the_command_says_what_became_of_a_list(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s3.json"
    path.write_text(json.dumps(s3_offer().document))
    monkeypatch.setattr(sys, "argv", ["refresh_prices", "--data", str(data), str(path)])
    script.main()
    shown = capsys.readouterr().out
    assert " new prices, " in shown
    assert "not in the list, left as it was: s3 eu-central-1 GLACIER_IR storage" in shown
    monkeypatch.setattr(sys, "argv", ["refresh_prices"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    path.write_text("[]")
    monkeypatch.setattr(sys, "argv", ["refresh_prices", "--data", str(data), str(path)])
    with pytest.raises(SystemExit, match="no JSON object"):
        script.main()
