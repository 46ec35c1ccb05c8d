"""Disks as VHDs on logical volumes: the SR types `lvm`, `lvmoiscsi` and `lvmohba`."""
