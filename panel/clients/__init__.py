"""What mail programs and their owners are told to set an address up: pages, configuration formats, DNS records."""
