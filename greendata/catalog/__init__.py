"""What is known of objects and documents: Delta tables, asked with DuckDB SQL.

Layout of a catalog, in a folder or below a prefix of an object store (``places``)::

    catalog.json            version of this layout, and the catalog's identity
    tables/NAME/            one Delta table each (``tables``, ``schemas``)
    scans/SCAN_ID/          unfinished work of one scan, resumed or swept by the next (``staging``);
                            always on the machine that scans

Two tables hold commits, a row each: ``scans`` and ``refreshes`` (``commits``). Rows of the other
tables carry the id of one and are invisible until it is committed. ``queries`` makes the views of
what scans found, ``inventory`` the one of all objects.
"""
