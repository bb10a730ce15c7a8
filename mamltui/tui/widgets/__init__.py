"""The widgets of the app, one subject a file."""
