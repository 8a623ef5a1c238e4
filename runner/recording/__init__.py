"""A live feed written to files that the simulated exchange replays. Importing it imports no Nautilus."""
