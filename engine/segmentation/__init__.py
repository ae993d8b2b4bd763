"""Networks as files, label volumes, instances, filaments, measurements."""
