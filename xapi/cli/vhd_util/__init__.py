"""`vhd-util`: the command that looks into VHDs and changes them, with the options and the output of blktap's."""

from xapi.cli.vhd_util.program import main

__all__ = ["main"]
