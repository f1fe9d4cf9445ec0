"""Telling people and programs what happened: webhooks, mail, commands."""
