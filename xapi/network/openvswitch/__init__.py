"""Bridges of Open vSwitch, made with `ovs-vsctl`, `ovs-ofctl` and `ip`."""
