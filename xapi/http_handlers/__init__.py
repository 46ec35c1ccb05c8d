"""Doors beside the calls: streams over HTTP."""
