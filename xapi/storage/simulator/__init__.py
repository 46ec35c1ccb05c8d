"""The SR type `dummy`: disks that cost nothing until they are written to, with faults on demand, for client tests."""
