"""Decode one image file, as it is stored: COCO's boxes are in pixels before any EXIF rotation.

Legend: H W pixels.
"""

import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from stvit_video.errors import ImageDecodeError
from stvit_video.settings.bounds import shorten

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What is opened, whatever the suffix."""
_FAULTS = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError),
    *(TypeError, OverflowError, ZeroDivisionError, RuntimeError, NotImplementedError),
)
"""What Pillow raises on damaged files."""


def decode_image(path: Path, *, max_pixels: int, size: tuple[int, int] | None = None) -> Tensor:
    """Decode an image as RGB: uint8 (3, H, W), of `size` H and W where that is known.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped. Before a pixel is
    decoded, the size is compared with `size` and with `max_pixels`.

    Raises:
        ImageDecodeError: it is missing, damaged, too large or of another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on large or odd files
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(path, image, max_pixels, size)
                pixels = _to_rgb(image)
    except FileNotFoundError as error:
        raise ImageDecodeError(path, "missing") from error
    except Image.DecompressionBombError as error:
        raise ImageDecodeError(path, f"too large: {shorten(str(error))}") from error
    except UnidentifiedImageError as error:
        problem = "not an image (JPEG, PNG, WebP and BMP are read)"
        raise ImageDecodeError(path, problem if _has_content(path) else "empty") from error
    except _FAULTS as error:
        raise ImageDecodeError(path, f"damaged: {shorten(str(error))}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (H, W, 3) in memory, as decoded


def _check_size(
    path: Path, image: Image.Image, max_pixels: int, size: tuple[int, int] | None
) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageDecodeError(
            path, f"too large: {width}x{height} pixels, at most {max_pixels} (data.max_pixels)"
        )
    if size not in (None, (height, width)):
        assert size is not None
        raise ImageDecodeError(
            path, f"is {width}x{height} pixels, its annotations say {size[1]}x{size[0]}"
        )


def _to_rgb(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = (np.asarray(image).clip(0, 65_535) >> 8).astype(np.uint8)
        return grey[..., None].repeat(3, axis=-1)
    return np.array(image.convert("RGB"))


def _has_content(path: Path) -> bool:
    return path.stat().st_size > 0
