"""Models of a few million parameters: their configurations, and how the shipped ones are trained."""
