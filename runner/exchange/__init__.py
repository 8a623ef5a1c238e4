"""A simulated Alpaca on loopback: its REST, its streams, its book-keeping, over replayed or generated market data.

Imports nothing else of this project, so that it stays an independent check on the rest.
"""
