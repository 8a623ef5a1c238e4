"""The same file over history: bring data into a catalog, run the strategies and the gate over it, tell what came."""
