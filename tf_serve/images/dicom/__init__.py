"""DICOM from outside: one frontal radiograph of a chest, read as a workstation would show it.

The steps stand in `opening.open_dicom`, each in a module of its own: read (bytes to the elements that matter, within
a budget), header (elements to plain values), fitness (is it a chest film by its own words), frame (compressed or not
to stored values), child (foreign decoders, in a process of their own), grey and colour (stored values to pixels).
"""

from tf_serve.images.dicom.decode import open_dicom

__all__ = ["open_dicom"]
