"""The conformance kit over all registered components, and the kit's own tests."""
