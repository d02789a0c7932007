"""Models of a few million parameters: their configurations, and how they are trained."""
