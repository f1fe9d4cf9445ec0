"""What storing, moving and reading costs in USD, kWh and kgCO2e. Pure: no I/O but its data files."""
