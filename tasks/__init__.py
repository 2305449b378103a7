"""What a broker message means: one module a lane."""
