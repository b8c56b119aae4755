"""Drawn films of every kind that the engine reads, and of kinds that it has to refuse; none of a person."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin
from pydicom import uid

from benchmarks.draw_dicom import NATIVE, draw_dicom
from torch_train.data.phantom import draw_phantom

SIZES = ((224, 224), (225, 223), (101, 150), (1000, 777), (333, 512), (640, 641))
DEPTHS = {  # of PNGs: the last value, and an offset; 12 bits filled, 16 bits in part, an offset, between two depths
    "12": (4095, 0),
    "14": (16383, 500),
    "16": (65535, 0),
    "10_offset": (1023, 300),
    "between": (6500, 0),
    "2500": (2500, 100),
    "20000": (20000, 2000),
}
HUES = {"blue": ((1.6, 0.7), (1.2, 0.8), (0.8, 1.0)), "sepia": ((0.8, 1.0), (1.0, 0.9), (1.3, 0.75))}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


def draw_phantom_film(seed, height=401, width=331):
    drawn = Image.fromarray(draw_phantom(seed, positive=bool(seed % 2)).pixels)
    return np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR)).copy()


def save(picture, kind="PNG", **options):
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, kind, **options)
    return out.getvalue()


def raw_png(values, depth, *, colour=0, interlaced=False, chunks=()):
    """A PNG written chunk by chunk: what Pillow reads and does not write."""

    def rows(part):
        for row in part:
            if depth >= 8:
                yield b"\0" + row.astype(">u2" if depth == 16 else np.uint8).tobytes()
            else:
                yield b"\0" + np.packbits(((row[:, None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8)).tobytes()

    parts = [values[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [values]
    data = b"".join(row for part in parts if part.size for row in rows(part))
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    made = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one)) for kind, one in made
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tinted(grey, hue):
    share = grey.astype(float) / 255
    return np.stack([(255 * np.clip(share**power * top, 0, 1)).astype(np.uint8) for power, top in hue], axis=2)


def deep(grey, top, offset, rng):
    values = grey.astype(float) * (top * 0.9 - offset) / 255 + offset + rng.integers(-3, 4, grey.shape)
    return values.clip(0, 65535).astype(np.uint16)


def pngs():
    rng, grey = np.random.default_rng(7), draw_phantom_film(3)
    picture, whole = Image.fromarray(grey), grey.astype(np.uint16) * 257
    films = {f"{h} x {w}": save(draw_phantom_film(h, h, w)) for h, w in SIZES}
    films |= {f"16 bits, {name}": save(deep(grey, *ends, rng)) for name, ends in DEPTHS.items()}
    marked = whole // 9
    marked[:30, :30], marked[-60:] = 65535, 0
    alpha = rng.integers(0, 256, grey.shape).astype(np.uint8)
    indexed = picture.convert("RGB").quantize(32)
    films |= {
        "1 bit": save(picture.convert("1")),
        "2 bits": raw_png(grey >> 6, 2),
        "4 bits": raw_png(grey >> 4, 4),
        "16 bits, marked": save(marked),
        "RGB": save(picture.convert("RGB")),
        "grey and alpha": save(Image.fromarray(np.dstack([grey, alpha]))),
        "RGB and alpha": save(Image.fromarray(np.dstack([grey, grey, grey, alpha]))),
        "palette": save(picture.convert("P")),
        "palette of 4 bits": save(picture.quantize(16), bits=4),
        "palette and alpha": save(indexed, transparency=bytes(range(0, 256, 8))),
        "interlaced": raw_png(grey, 8, interlaced=True),
        "interlaced, 16 bits": raw_png(whole, 16, interlaced=True),
        "interlaced, 2 bits": raw_png(grey >> 6, 2, interlaced=True),
        "RGB of 16 bits": raw_png(np.dstack([whole] * 3), 16, colour=2),
        "grey and alpha of 16 bits": raw_png(np.dstack([whole, np.full_like(whole, 65535)]), 16, colour=4),
        "gamma": raw_png(grey, 8, chunks=[(b"gAMA", struct.pack(">I", 100_000))]),
        "colour profile": save(picture.convert("RGB"), icc_profile=profile("sRGB")),
        "blue": save(tinted(grey, HUES["blue"])),
        "marks in colour": save(with_marks(grey)),
    }
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    return films | {"turned by XMP": save(picture, pnginfo=text)}


def profile(name):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def with_marks(grey):
    marked = np.dstack([grey] * 3)
    marked[20:60, 20:90] = (230, 40, 20)
    return marked


def jpegs():
    rng, grey = np.random.default_rng(8), draw_phantom_film(4, 333, 401)
    picture = Image.fromarray(grey)
    noisy = (np.dstack([grey] * 3).astype(int) + rng.integers(-4, 5, (*grey.shape, 3))).clip(0, 255).astype(np.uint8)
    films = {f"quality {quality}": save(picture, "JPEG", quality=quality) for quality in (30, 75, 95)}
    films |= {f"subsampling {way}": save(noisy, "JPEG", subsampling=way, quality=80) for way in (0, 1, 2)}
    films |= {f"colour profile {name}": save(noisy, "JPEG", icc_profile=profile(name)) for name in ("sRGB", "XYZ")}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        films[f"orientation {orientation}"] = save(picture, "JPEG", exif=exif)
    sepia = save(tinted(grey, HUES["sepia"]), "JPEG", quality=90)
    return films | {"progressive": save(picture, "JPEG", progressive=True), "sepia": sepia}


def rejects():
    rng, grey = np.random.default_rng(9), draw_phantom_film(3)
    colours = Image.fromarray(rng.integers(0, 256, (30, 25, 3), dtype=np.uint8))
    turned = {f"turned {n}": save(np.ascontiguousarray(np.rot90(grey, n))) for n in (1, 2, 3)}
    return turned | {
        "inverted": save(255 - grey),
        "blank": save(Image.new("L", (300, 300), 77)),
        "noise": save(rng.integers(0, 256, (300, 300), dtype=np.uint8)),
        "photograph": save(colours.resize((400, 480), Image.Resampling.BICUBIC), "JPEG"),
        "small": save(draw_phantom_film(1, 90, 120)),
        "strip": save(draw_phantom_film(1, 700, 300)),
        "bordered": save(np.pad(grey, 60, constant_values=255)),
        "mirrored": save(np.ascontiguousarray(grey[:, ::-1])),
        "dim": save((grey // 6).astype(np.uint8)),
    }


def dicoms():
    films, grey = {}, draw_phantom_film(3)
    rng = np.random.default_rng(0)
    for bits in (8, 12, 16):
        films |= {f"{bits} bits, {name}": film for name, film in _of_depth(grey, bits, rng)}
    said = {
        "a child": {"PatientAge": "003Y"},
        "burned in": {"BurnedInAnnotation": "YES"},
        "turned": {"PatientOrientation": ["R", "F"]},
        "lateral": {"ViewPosition": "LL"},
        "oblique": {"ViewPosition": "RAO"},
        "a hand": {"BodyPartExamined": "HAND"},
        "a CT": {"Modality": "CT"},
        "raw": {"PresentationIntentType": "FOR PROCESSING"},
        "PA": {"ViewPosition": "PA", "Modality": "DX"},
    }
    films |= {name: draw_dicom(grey, **elements) for name, elements in said.items()}
    films |= {"RGB": draw_dicom(np.dstack([grey] * 3)), "JPEG": draw_dicom(grey, syntax=uid.JPEGBaseline8Bit)}
    return films | {"two frames": draw_dicom(np.stack([grey, grey]))}


def _of_depth(grey, bits, rng):
    top = 2**bits - 1
    values = grey.astype(float) * 0.83 * top / 255 + 0.02 * top + rng.integers(-2, 3, grey.shape)
    values = values.clip(0, top).astype(np.uint8 if bits == 8 else np.uint16)
    for syntax in (*NATIVE, uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1):
        if bits > 8 or syntax != uid.ExplicitVRBigEndian:
            yield str(syntax.name), draw_dicom(values, syntax=syntax, bits=bits)
    for center, width in ((0.5, 0.9), (0.4, 0.6), (3, 0.001), (0, 0)):
        for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            window = {"WindowCenter": round(center * top), "WindowWidth": round(width * top)}
            yield (
                f"window {center} {width} {function}",
                draw_dicom(values, bits=bits, **window, VOILUTFunction=function),
            )
    inverted = (top - values).astype(values.dtype)
    yield "MONOCHROME1", draw_dicom(inverted, bits=bits, PhotometricInterpretation="MONOCHROME1")
    yield "negative slope", draw_dicom(inverted, bits=bits, RescaleSlope=-1, RescaleIntercept=top)
    scaled = {"RescaleSlope": 0.5, "RescaleIntercept": -100}
    yield "rescaled", draw_dicom(values, bits=bits, **scaled, WindowCenter=top // 4 - 100, WindowWidth=top // 2)
    padded = values.copy()
    padded[:50], padded[:, :30] = top, 0
    yield "padding", draw_dicom(padded, bits=bits, PixelPaddingValue=top)
    yield "padding range", draw_dicom(padded, bits=bits, PixelPaddingValue=0, PixelPaddingRangeLimit=3)
    edges = {"LeftVertical": 31, "RightVertical": 300, "UpperHorizontal": 51, "LowerHorizontal": 390}
    edges = {f"Shutter{edge}Edge": at for edge, at in edges.items()}
    circle = {"CenterOfCircularShutter": [200, 165], "RadiusOfCircularShutter": 160}
    yield "rectangle", draw_dicom(padded, bits=bits, ShutterShape="RECTANGULAR", **edges)
    yield "circle", draw_dicom(padded, bits=bits, ShutterShape="CIRCULAR", **circle)
    yield "both", draw_dicom(padded, bits=bits, ShutterShape=["CIRCULAR", "RECTANGULAR"], **edges, **circle)
    if bits > 8:
        signed = (values.astype(int) - 2 ** (bits - 1)).astype(np.int16)
        yield "signed", draw_dicom(signed, bits=bits)
        yield "signed RLE", draw_dicom(signed, bits=bits, syntax=uid.RLELossless)


def unread():
    """Films that Python reads and the engine has to refuse, and files that nobody reads."""
    grey = draw_phantom_film(3)
    picture, whole = Image.fromarray(grey), grey.astype(np.uint16) * 16
    films = {
        str(syntax.name): draw_dicom(whole, syntax=syntax, bits=12)
        for syntax in (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGExtended12Bit)
    }
    polygon = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 300, 300, 300]}
    png, jpeg = save(picture), save(picture, "JPEG")
    return films | {
        "polygon": draw_dicom(grey, **polygon),
        "without preamble": draw_dicom(grey)[132:],
        "CMYK": save(picture.convert("RGB").convert("CMYK"), "JPEG"),
        "cut PNG": png[: len(png) // 2],
        "cut JPEG": jpeg[: len(jpeg) // 2],
        "a flipped bit": png[:100] + bytes([png[100] ^ 1]) + png[101:],
        "a PDF": b"%PDF-1.7 of no film",
        "nothing": b"",
    }
