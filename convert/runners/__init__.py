"""One runner a format: films in as .npy, outputs back as .npz, each in a process of its own."""
