"""The gRPC edge: settings, composition, the interceptor of all calls, and one servicer a service."""
