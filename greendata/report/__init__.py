"""What people and programs look at: the report as HTML, Markdown and JSON, and metrics."""
