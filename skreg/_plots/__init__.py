"""The displays: a search's grid, a training's curves, a network's weights."""
