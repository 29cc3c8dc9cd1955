"""Injects faults into real processes under load, and checks every answer that a client got."""
