"""Boards as code. Empty so far: boards come with the Grafana stack."""
