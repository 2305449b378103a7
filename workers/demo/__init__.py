"""Traffic through everything embedded, and a verdict on the promises."""
