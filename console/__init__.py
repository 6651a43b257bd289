"""The console: every page that people see, and the Django project around it."""
