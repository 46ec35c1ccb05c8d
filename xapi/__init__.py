"""A XenAPI-compatible toolstack server."""

__version__ = "0.1.0"
