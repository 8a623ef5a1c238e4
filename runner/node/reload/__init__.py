"""A running node takes a changed file over: `prepare` is what may fail, `apply` what can't be taken back."""
