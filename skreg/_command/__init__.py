"""The work of the command: the bundled data, training from a table, predictions."""
