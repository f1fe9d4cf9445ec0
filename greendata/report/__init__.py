"""What people and programs look at: reports and metrics."""
