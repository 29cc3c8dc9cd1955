"""The console: a page for people, made of the files in `page/` and the modules of `clients/typescript`."""
