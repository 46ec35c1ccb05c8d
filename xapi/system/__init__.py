"""The machine below: clock, programs, files, logs."""
