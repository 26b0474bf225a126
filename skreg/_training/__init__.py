"""Parameters and rows → a trained network."""
