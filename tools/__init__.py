"""Scripts. A package, as detectron2 installs one of the same name, which would hide a folder without this file."""
