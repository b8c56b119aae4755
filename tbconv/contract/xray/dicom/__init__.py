"""DICOM from outside: one frontal radiograph of a chest, read as a workstation would show it."""
