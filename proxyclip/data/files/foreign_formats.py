"""Recognition of files that are whole but no picture that is read here."""

import re
from dataclasses import dataclass

PHOTO = "convert it to JPEG or PNG, all at once with `magick mogrify -format png FILES` for instance"
SCIENCE = "save what is to be seen as PNG, or in Python read it yourself and give an array (H, W, 3)"
VECTOR = "export it as PNG"
VIDEO = "save its frames as pictures first, `ffmpeg -i FILE %05d.png` for instance"
ARCHIVE = "unpack it first"
RAW = "develop it: export it as JPEG, PNG or 8-bit TIFF from a program for photographs"
FETCH = "get the picture itself"
GIT_LFS = "`git lfs pull` gets it"
GIT_ANNEX = "`git annex get` gets it"


@dataclass(frozen=True)
class ForeignFormat:
    """Kind of a file that is not read as a picture: `name` follows "is", `remedy` is for the user."""

    name: str
    remedy: str

    @property
    def is_elsewhere(self) -> bool:
        """True if the file stands in the place of a picture that is elsewhere."""
        return self.remedy in (FETCH, GIT_LFS, GIT_ANNEX)


# (offset, bytes there, name, remedy)
SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\xff\x0a", "a JPEG XL picture", PHOTO),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", PHOTO),
    (0, b"\xff\xd8\xff\xf7", "a JPEG-LS picture", PHOTO),
    (0, b"II\xbc\x01", "a JPEG XR picture", PHOTO),
    (0, b"BPG\xfb", "a BPG picture", PHOTO),
    (0, b"FLIF", "a FLIF picture", PHOTO),
    (0, b"AT&TFORM", "a DjVu document", PHOTO),
    (0, b"8BPS", "a Photoshop file of a form that cannot be read here (8-bit RGB, gray or CMYK can)", PHOTO),
    (0, b"8BPB", "a large Photoshop file (PSB)", PHOTO),
    (0, b"gimp xcf", "a GIMP file", PHOTO),
    (0, b"v/1\x01", "an OpenEXR file of floating-point values", SCIENCE),
    (0, b"#?RADIANCE", "a Radiance HDR file of floating-point values", SCIENCE),
    (0, b"#?RGBE", "a Radiance HDR file of floating-point values", SCIENCE),
    (0, b"PF\n", "a PFM file of floating-point values", SCIENCE),
    (0, b"Pf\n", "a PFM file of floating-point values", SCIENCE),
    (0, b"P7\n", "a PAM picture", PHOTO),
    (0, b"IIRO", "a camera's raw file (Olympus)", RAW),
    (0, b"IIRS", "a camera's raw file (Olympus)", RAW),
    (0, b"MMOR", "a camera's raw file (Olympus)", RAW),
    (0, b"IIU\0", "a camera's raw file (Panasonic)", RAW),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (Fujifilm)", RAW),
    (0, b"FOVb", "a camera's raw file (Sigma)", RAW),
    (0, b"\0MRM", "a camera's raw file (Minolta)", RAW),
    (6, b"HEAPCCDR", "a camera's raw file (Canon CRW)", RAW),
    (8, b"CR\x02\0", "a camera's raw file (Canon CR2)", RAW),
    (128, b"DICM", "a DICOM file", SCIENCE),
    (344, b"n+1\0", "a NIfTI volume", SCIENCE),
    (344, b"ni1\0", "the header of a NIfTI volume", SCIENCE),
    (4, b"n+2\0", "a NIfTI volume", SCIENCE),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (also of MATLAB 7.3 and NetCDF 4)", SCIENCE),
    (0, b"CDF\x01", "a NetCDF file", SCIENCE),
    (0, b"CDF\x02", "a NetCDF file", SCIENCE),
    (0, b"GRIB", "a GRIB file", SCIENCE),
    (0, b"BUFR", "a BUFR file", SCIENCE),
    (0, b"SIMPLE  =", "a FITS file", SCIENCE),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", SCIENCE),
    (0, b"\x93NUMPY", "a numpy array", "load it with numpy.load and give the array, or save it as PNG"),
    (0, b"NRRD000", "an NRRD volume", SCIENCE),
    (0, b"%PDF", "a PDF document", VECTOR),
    (0, b"%!PS", "PostScript, which needs Ghostscript", VECTOR),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript, which needs Ghostscript", VECTOR),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile", VECTOR),
    (40, b" EMF", "a Windows metafile", VECTOR),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska, WebM)", VIDEO),
    (8, b"AVI LIST", "a video (AVI)", VIDEO),
    (0, b"\0\0\x01\xba", "a video (MPEG)", VIDEO),
    (0, b"\0\0\x01\xb3", "a video (MPEG)", VIDEO),
    (0, b"FLV\x01", "a video (Flash)", VIDEO),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a video (WMV)", VIDEO),
    (4, b"moov", "a video (QuickTime)", VIDEO),
    (4, b"mdat", "a video (QuickTime)", VIDEO),
    (4, b"wide", "a video (QuickTime)", VIDEO),
    (0, b"PK\x03\x04", "a zip archive, or a file made of one (.npz, .docx, .kra)", ARCHIVE),
    (0, b"\x1f\x8b", "a gzip archive (.gz, .nii.gz)", ARCHIVE),
    (0, b"BZh", "a bzip2 archive", ARCHIVE),
    (0, b"\xfd7zXZ\0", "an xz archive", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", ARCHIVE),
    (0, b"Rar!\x1a\x07", "a RAR archive", ARCHIVE),
    (257, b"ustar", "a tar archive", ARCHIVE),
    (0, b"\0\x05\x16\x07", "a side file of macOS (._NAME), not the picture", FETCH),
    (0, b"\0\x05\x16\0", "a side file of macOS, not the picture", FETCH),
    (0, b"L\0\0\0\x01\x14\x02\0", "a Windows shortcut, not the picture", FETCH),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a Microsoft Office file (or Thumbs.db)", VECTOR),
    (0, b"SQLite format 3\0", "an SQLite database", FETCH),
)
# Major brands of the ISO base media format, which pictures and videos share.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
UNUSUAL_JPEG_FRAMES = {
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7), "hierarchical"),
}


def identify_foreign_format(data: bytes) -> ForeignFormat | None:
    """Recognize a whole file of another kind by its first bytes; None where they say nothing."""
    for offset, signature, name, remedy in SIGNATURES:
        if data.startswith(signature, offset):
            return ForeignFormat(name, remedy)
    if data[4:8] == b"ftyp":
        return _identify_media(data)
    if data.startswith(b"\xff\xd8"):
        return _identify_jpeg(data)
    return _identify_text(data)


def _identify_media(data: bytes) -> ForeignFormat | None:
    size = int.from_bytes(data[:4], "big")
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, min(size, 256), 4))}
    if data[8:12] == b"crx ":
        return ForeignFormat("a camera's raw file (Canon CR3)", RAW)
    if brands & {*AVIF_BRANDS}:
        return None  # which Pillow reads: then it is damaged
    if brands & {*HEIF_BRANDS}:
        return ForeignFormat("a HEIC picture (HEIF), as phones save them, under whatever name", PHOTO)
    return ForeignFormat("a video (MP4, QuickTime)", VIDEO)


def _identify_jpeg(data: bytes) -> ForeignFormat | None:
    """Recognize a JPEG of another process than decoders have."""
    position = 2
    while position + 4 < len(data) and data[position] == 0xFF:
        marker, size = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in UNUSUAL_JPEG_FRAMES:
            return ForeignFormat(f"a {UNUSUAL_JPEG_FRAMES[marker]} JPEG", PHOTO)
        if marker in (0xC0, 0xC1, 0xC2) and data[position + 4] != 8:
            return ForeignFormat(f"a JPEG of {data[position + 4]} bits", PHOTO)
        if marker == 0xDA:
            break
        position += 2 + max(size, 2)
    return None


def _identify_text(data: bytes) -> ForeignFormat | None:
    start = data[:2000].removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = start.lower()
    if lower.startswith(b"version https://git-lfs"):
        return ForeignFormat("a git-lfs pointer, not the picture", GIT_LFS)
    if lower.startswith((b"/annex/objects/", b"../.git/annex", b".git/annex")):
        return ForeignFormat("a git-annex pointer, not the picture", GIT_ANNEX)
    if lower.startswith((b"<!doctype html", b"<html")):
        return ForeignFormat("a web page, not a picture", FETCH)
    if b"<svg" in lower and lower.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype")):
        return ForeignFormat("an SVG drawing", VECTOR)
    if lower.startswith((b"<!doctype", b"<?xml")):
        return ForeignFormat("an XML document (an error of a server?), not a picture", FETCH)
    if re.match(rb"P[1-3]\s|#define ", start):  # pictures written as text
        return None
    if not start or re.search(rb"[^\t\n\r\f\x1b -~\x80-\xff]", start) or not _is_utf8(start):
        return None
    kind = "JSON" if start[:1] in b"{[" else "text"
    return ForeignFormat(f"{kind}, not a picture", FETCH)


def _is_utf8(start: bytes) -> bool:
    try:
        start[:-3].decode() if len(start) > 3 else start.decode()  # the last character may be cut
    except UnicodeDecodeError as error:
        return error.start > len(start) - 8
    return True
