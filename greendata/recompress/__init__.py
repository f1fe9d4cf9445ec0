"""Rewriting datasets as zstd Parquet: sources, digests, gate, order, publication, manifest."""
