"""Programs of a checkout. detectron2 installs a package `tools`, too, which would hide this folder without this file."""
