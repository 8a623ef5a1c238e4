"""What turns a checked file into a running node: build, lifecycle, routing, guards, books."""
