"""What holds for every test."""

from hypothesis import settings

# A busy machine is no fault of the code: no test is timed.
settings.register_profile("tomodx", deadline=None)
settings.load_profile("tomodx")
