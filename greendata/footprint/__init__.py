"""What storing, moving and reading costs in USD, kWh and kgCO2e. Pure, but for its data files."""
