"""Disks as VHDs on logical volumes: what LVM prints and is told, without running it.

No SR type is offered from here yet; this is what drivers over LVM are built on.
"""
