"""Drivers that connect guests."""
