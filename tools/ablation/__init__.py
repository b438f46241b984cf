"""What tools/ablate.py is made of: settings, the parts of a data set, measuring, results, table and plot."""
