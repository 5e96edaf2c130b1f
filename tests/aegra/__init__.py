"""aegra's end-to-end tests, as they are; `make test-aegra` fetches them."""
