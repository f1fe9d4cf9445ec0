"""Deciding and pricing: inventory and policies in, actions and reasons out; nothing is written."""
