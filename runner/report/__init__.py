"""What a run made of an account: its equity over time, statistics, and a page that shows them."""
