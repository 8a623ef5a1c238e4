"""Example strategies, each a file to copy and change. None of them is advice, and none has an edge."""
