"""The HTTP server: process, application, protocols, page."""
