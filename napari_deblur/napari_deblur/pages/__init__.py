"""Windows beside the dock, none of them modal: plugins, comparison, batch."""
