"""Benchmarks, one file per room: each prints a table for people, then one JSON line with device, versions and
date.
"""
