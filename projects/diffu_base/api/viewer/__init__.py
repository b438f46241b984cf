"""The denoising viewer: a page that shows, pass by pass, how a model's boxes become detections in one image."""

from .page import view_page

__all__ = ["view_page"]
