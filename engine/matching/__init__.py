"""Template matching: where a known structure lies, how it is turned, how sure that is."""
