"""How fast is Clearance, and how fast is the usual way, on the same machine in the same run? `make bench`."""
