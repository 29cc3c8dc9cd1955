"""Faults injected into real processes under load, and a checker of what every client was told."""
