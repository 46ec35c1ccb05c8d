"""Collecting chains: what nobody needs is removed, and what one child alone depends on is merged with it.

`plan` says what is to be done, `interface` what a driver offers for it, `collector` does it step by step; `directory`
is how it is done with VHD files, and `journal` what survives a killed process.
"""
