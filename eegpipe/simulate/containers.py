"""The vendors' file containers: MAT version 5, the pickles of Python 2, the pickles of NumPy 1.

Written so that equal content gives equal bytes, and so that a reader meets what the vendors' own tools wrote: module
paths of old NumPy, byte strings of Python 2, zlib-compressed MAT elements.
"""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# scipy and MATLAB write the time of writing here; a constant keeps the bytes equal.
_MAT_HEADER = b"MATLAB 5.0 MAT-file, Platform: PCWIN64, Created on: Wed Jan 01 00:00:00 2014"
_MAT_PREAMBLE, _MAT_COMPRESSED = 128, 15


def write_mat(path: Path, variables: Mapping[str, Any]) -> None:
    """Write a compressed MAT file, version 5 (``-v7``). Structs are dicts, cells are object arrays."""
    from scipy.io import savemat

    plain = io.BytesIO()
    savemat(plain, dict(variables), do_compression=False, oned_as="row")
    content = plain.getbuffer()
    with path.open("wb") as file:
        file.write(_MAT_HEADER.ljust(116) + bytes(content[116:_MAT_PREAMBLE]))
        at = _MAT_PREAMBLE
        while at < len(content):  # one element per variable: (type, byte count), content
            length = 8 + struct.unpack_from("<I", content, at + 4)[0]
            # Numbers from an amplifier hardly shrink beyond level 1, which takes a third of the time.
            packed = zlib.compress(content[at : at + length], 1 if length > 1_000_000 else 6)
            file.write(struct.pack("<II", _MAT_COMPRESSED, len(packed)) + packed)
            at += length


def smallest_integers(values: Any) -> np.ndarray:
    """Whole numbers in the storage type that MATLAB picks for them, which is what scipy gives back."""
    array = np.asarray(values)
    for kind in (np.uint8, np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= array.min() and array.max() <= np.iinfo(kind).max:
            return array.astype(kind)
    raise ValueError(f"whole numbers from {array.min()} to {array.max()} need more than 32 bits")


def write_numpy1_pickle(path: Path, array: np.ndarray) -> None:
    """Write one array as NumPy before version 2 pickled it with protocol 4.

    NumPy 2 differs in one place, the module path of the constructor, which is one character longer; the frame that
    holds it is shortened by that character.
    """
    new, old = b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray"
    content = pickle.dumps(np.ascontiguousarray(array), protocol=4)
    head, tail = content[:256], content[256:]
    if head[:3] != b"\x80\x04\x95" or head.count(new) != 1:
        raise RuntimeError("this NumPy pickles arrays in another way than NumPy 2.0 to 2.4")
    frame = struct.unpack_from("<Q", head, 3)[0] - 1
    with path.open("wb") as file:
        file.write(head[:3] + struct.pack("<Q", frame) + head[11:].replace(new, old))
        file.write(tail)


def write_python2_pickle(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a dict of float64 arrays as Python 2 did with protocol 2: keys and content are byte strings (``str``)."""
    with path.open("wb") as file:
        file.write(b"\x80\x02}(")  # protocol 2, empty dict, mark
        for key, array in arrays.items():
            file.write(_short_string(key.encode()))
            file.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _short_string(b"b"))
            file.write(b"\x87R(K\x01")  # call _reconstruct(ndarray, (0,), 'b'), then its state: version 1
            file.write(b"(" + b"".join(b"J" + struct.pack("<i", length) for length in array.shape) + b"t")
            file.write(b"cnumpy\ndtype\n" + _short_string(b"f8") + b"K\x00K\x01\x87R")
            file.write(b"(K\x03" + _short_string(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
            content = np.ascontiguousarray(array, "<f8").tobytes()
            file.write(b"\x89T" + struct.pack("<i", len(content)) + content + b"tb")  # not Fortran order, the bytes
        file.write(b"u.")


def _short_string(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text
