"""Images: read from folders, files and torchvision, and changed at random."""
