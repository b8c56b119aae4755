"""One runner a format: films in as .npy, outputs by name back as .npz."""
