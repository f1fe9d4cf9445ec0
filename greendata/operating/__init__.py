"""Sections of ``greendata.yaml`` about operating: carbon windows, budgets, alerts, metrics."""
