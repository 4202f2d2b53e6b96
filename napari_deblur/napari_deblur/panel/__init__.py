"""The pieces of the dock; each knows its own widgets and says `changed`."""
