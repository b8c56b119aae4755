"""The certificate as a page that a person reads: one HTML file, figures drawn into it, nothing fetched."""
