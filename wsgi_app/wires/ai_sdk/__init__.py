"""The AI SDK's chat transport."""
