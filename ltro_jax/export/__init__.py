"""Runs in other formats: metrics, policies and films."""
