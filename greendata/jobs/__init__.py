"""Use cases: what the command line and the public API call."""
