"""Dashboards, slow requests, objectives: what is measured, as pages."""
