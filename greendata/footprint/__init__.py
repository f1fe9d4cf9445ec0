"""What storing and reading costs. Pure: no I/O but the data files beside the code."""
