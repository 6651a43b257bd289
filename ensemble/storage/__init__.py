"""The disk: the only reader and writer of dataDir. ZooKeeper's own formats, to the bit."""
