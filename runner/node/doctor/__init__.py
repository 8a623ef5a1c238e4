"""`runner doctor`: whether this machine, this file and these keys are fit to trade. No Nautilus here."""
