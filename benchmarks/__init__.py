"""Quality and speed, measured on data nobody here made; runnable by anyone who has the data."""
