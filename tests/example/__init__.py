"""The example plugin as a stranger has it: built into a wheel, installed outside the source tree."""
