"""Building blocks of untrained networks, in 2-D and 3-D: plugins compose them into image and kernel priors."""
