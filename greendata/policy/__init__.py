"""The policy language: documents, their expressions, decisions with reasons, and their cases."""
