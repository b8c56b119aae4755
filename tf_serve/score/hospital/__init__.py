"""An answer in the hospital's formats: DICOM SR, Secondary Capture and FHIR R4, per film, on request.

Each says in its own terms that it is a research tool's: unverified, preliminary, with the bundle's disclaimer and the
limits of the answer. Where the film is a DICOM file, the objects lie in its study and refer to it; where it is a PNG or
JPEG, they are about nobody. The same film, the same answer and the same `made` give the same bytes.

highdicom, fhir.resources and pydicom (extra `hospital`) are imported when the first object is written.
"""

from tf_serve.score.hospital.writer import FORMATS, Format, HospitalWriter, formats_of_option, hospital_writer

__all__ = ["FORMATS", "Format", "HospitalWriter", "formats_of_option", "hospital_writer"]
