"""How to travel: plans are executed here, over links, on what the store keeps."""
