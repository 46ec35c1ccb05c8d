"""The conduct of SRs whose disks are images that may depend on one another, wherever these lie.

`repository` holds the rules, `tree` says which image depends on which, and `interface` is what a place for images, such
as a directory or a volume group, has to offer.
"""
