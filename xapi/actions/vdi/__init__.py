"""Virtual disks (XenAPI's class VDI): what each message does."""
