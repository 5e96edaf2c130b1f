"""How answers of a model end and break."""
