"""Strategies' schedules: `timetable` tells what holds when, `keeper` sees to it, `hook` lets it live beside a node."""
