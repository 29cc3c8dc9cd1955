"""The command line: the commands of `./run`, and what they say."""
