"""The SR type `udev`: drives that are plugged into this host, as links or device nodes in a directory."""
