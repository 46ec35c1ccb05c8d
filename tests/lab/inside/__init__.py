"""Tests that run inside the lab machine only: `python -m tests.lab`."""
