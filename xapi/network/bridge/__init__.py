"""Bridges of the Linux kernel, made with `ip`, `ethtool` and `nft`."""
