"""Speeds beside alpaca-py: each pair is taken in one run, and only the ratio means anything."""
