"""Objects in bulk, as Arrow record batches of one schema: from listings and from reports."""
