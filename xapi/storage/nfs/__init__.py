"""The SR type `nfs`: VHD files in a directory of an NFS server."""
