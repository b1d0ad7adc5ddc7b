"""Settings for the tests of arrays and files."""

from hypothesis import settings

# Machines that run tests are often busy; a test that hangs is ended by pytest-timeout.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
