"""What is wrong, and what to do about it: the checks of `clearance doctor`."""
