"""Where the heavy steps of a scan run: in this process, or as tasks of a Ray cluster."""
