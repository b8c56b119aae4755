"""The film with its evidence map as a DICOM Secondary Capture: answer and disclaimer are part of the picture."""

from __future__ import annotations

import hashlib

import highdicom as hd
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tbconv.contract import __version__
from tf_serve.score.hospital.answer import MAKER, Answer, Code
from tf_serve.score.hospital.report import CAPTURE_SERIES_NUMBER, concept, equipment
from tf_serve.score.hospital.study import Study, remove_dates_of_call, state_character_set

DESCRIPTION = f"{MAKER}: film with evidence map, research only"
DERIVATION = "The film with a map of what moved the score of a research tool; not for diagnosis"
SOURCE_IMAGE = Code("121322", "DCM", "Source Image for Image Processing Operation")


def make_capture(picture: Image.Image, answer: Answer, study: Study) -> Dataset:
    """Write a picture as a Secondary Capture.

    It has no date of its own, so it is the same object whenever it is made.

    Args:
        picture: RGB, with the caption (tf_serve.score.overlay).
        answer: what it shows.
        study: that the film lies in.

    Returns:
        A Secondary Capture Image, uncompressed, with its file's own header.
    """
    pixels = np.asarray(picture)
    drawn = hashlib.sha256(pixels.tobytes()).hexdigest()
    uid = generate_uid(entropy_srcs=["tbconv capture", __version__, answer.digest, drawn])
    capture = hd.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        study_instance_uid=study.uid,
        series_instance_uid=generate_uid(entropy_srcs=["tbconv series", uid]),
        series_number=CAPTURE_SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        series_description=DESCRIPTION,
        **equipment(answer),
        patient_orientation=("L", "F"),  # what it takes; the film's own follows
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    capture.update(study.stated)
    remove_dates_of_call(capture)
    capture.PatientOrientation = study.orientation
    capture.BodyPartExamined = "CHEST"
    capture.ConversionType = "WSD"  # workstation: the picture was made, not scanned
    capture.DerivationDescription = DERIVATION
    capture.ImageComments = answer.disclaimer
    if study.burned_in is not None:  # the caption names nobody, so the film's own statement holds
        capture.BurnedInAnnotation = study.burned_in
    if study.lossy:
        capture.LossyImageCompression = "01"
    elif "LossyImageCompression" in capture:
        del capture.LossyImageCompression
    if study.film is not None:
        capture.SourceImageSequence = [_source(study.film)]
    return state_character_set(capture)


def _source(film: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID = film.SOPClassUID
    one.ReferencedSOPInstanceUID = film.SOPInstanceUID
    one.PurposeOfReferenceCodeSequence = [concept(SOURCE_IMAGE)]
    return one
