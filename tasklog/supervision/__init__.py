"""The supervisor of `./run serve`: starts child processes in order, keeps them running, and stops them."""
