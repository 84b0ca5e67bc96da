"""The mail service as the panel sees it: first start, certificates, control, health."""
