"""The XenAPI contract, as data."""
