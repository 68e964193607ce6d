"""HTTP: requests in, problems out, the resolver that all functions share."""
