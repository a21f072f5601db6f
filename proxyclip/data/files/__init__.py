"""Files of a data set on disk: listing, integrity, labels; without MMSegmentation."""
