"""Forms made from the core's field descriptors, so that a plugin gets one without knowing napari."""
