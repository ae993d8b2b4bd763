"""Disease knowledge: features, panels, classifiers, validation and the patient report."""
