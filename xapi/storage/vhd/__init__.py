"""The VHD format: fixed, dynamic and differencing disks as XenServer and XCP-ng write and read them.

Pure format code over an abstract random-access file; it knows of no session, no database and no daemon.
"""
