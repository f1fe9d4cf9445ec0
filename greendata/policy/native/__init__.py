"""Lifecycle rules of the providers, and of Cloud Custodian, to policies and back."""
