"""Programs of a checkout. detectron2 installs a package `tools`, too, which hides a folder without this file."""
