raise RuntimeError("the moon is down")
