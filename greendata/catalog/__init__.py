"""What scans found: Delta tables on a folder (``tables``), asked with DuckDB SQL (``queries``).

Layout of a catalog::

    catalog.json            version of this layout
    tables/NAME/            one Delta table each; all but ``scans`` are partitioned by ``scan_id``
    scans/SCAN_ID/          unfinished work of one scan, resumed or swept by the next (``staging``)

A scan's rows are invisible until its row in ``scans`` is committed.
"""
