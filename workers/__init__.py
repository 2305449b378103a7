"""Which processes run, and from which parts they are built."""
