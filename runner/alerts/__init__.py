"""Alerts that reach a person."""
