"""The usual way, to compare with: what a first version of such a service tends to look like."""
