"""The engine process and how the window talks to it. Only the child imports torch."""
