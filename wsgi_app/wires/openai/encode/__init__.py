"""From events to what OpenAI's clients read."""
