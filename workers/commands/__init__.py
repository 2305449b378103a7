"""What the command `clearance` can be asked for, a group a module."""
