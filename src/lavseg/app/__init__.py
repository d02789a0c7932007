"""The web app. Needs the extra `app`."""

from .page import launch

__all__ = ["launch"]
