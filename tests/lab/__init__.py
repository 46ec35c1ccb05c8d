"""The lab machine: a kernel with device mapper, iSCSI and NFS, booted over this host's own files to test drivers."""
