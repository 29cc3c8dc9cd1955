"""What `./run serve` keeps running: its children, in order, from the first start to the last stop."""
