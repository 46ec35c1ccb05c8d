"""Collecting chains: what nobody needs is removed, and what one child alone depends on is merged with it.

`plan` says what is to be done, `interface` what a driver offers for it, `collector` does it step by step, and `images`
is how a step is done with the images of an SR. What survives a killed process is in `storage.images.merging`.
"""
