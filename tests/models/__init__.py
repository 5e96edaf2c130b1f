"""The host with real model servers behind it, and real gateways around it."""
