"""Classical deblurring, blind and with a known kernel, without networks."""
