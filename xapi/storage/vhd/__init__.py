"""The VHD format: fixed, dynamic and differencing disks as XenServer and XCP-ng write and read them.

Pure format code over an abstract random-access file; it knows of no session, no database and no daemon. Import from
the module that has it: `file` (what bytes lie in), `create`, `image` (one file), `chain` (a disk with its parents),
`parents`, `resize`, `modify`, `journal`, `coalesce`, `copying`, `check`, `scan`, `errors`. Below them: `layout`,
`footers`, `block_table`, `bitmap`, `batmap`.
"""
