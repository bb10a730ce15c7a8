"""From the ``[data]`` section of a profile to images in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.data.progress import Progress
from mamltui.errors import DataError

if TYPE_CHECKING:
    from mamltui.data.sampling import DataSource
    from mamltui.profiles import DataSection


def load_bank(
    data: DataSection,
    data_dir: Path | None = None,
    *,
    download: bool = True,
    progress: Progress | None = None,
) -> DataSource:
    """The images, or the waves, that ``data`` names.

    Args:
        data: which set, and for some its folder, how images are resized and to what size.
        data_dir: a folder to look for Omniglot or CIFAR-100 in, before the others; and where the
            folder ``data.path`` lies now, if it was moved.
        download: whether what is missing of them is downloaded.
        progress: told in words what happens.

    Raises:
        DataError: the images are not there, damaged or hostile.
    """
    if data.set == "sinusoid":
        from mamltui.data.sinusoid import Waves

        return Waves()
    if data.set == "omniglot":
        from mamltui.data.omniglot import load_omniglot

        return load_omniglot(
            data_dir,
            resize=data.resize,
            image_size=data.image_size,
            download=download,
            progress=progress,
        )
    if data.set == "strokes":
        from mamltui.data.strokes import strokes_bank

        return strokes_bank(image_size=data.image_size)
    if data.set == "cifar-fs":
        from mamltui.data.cifar import load_cifar

        return load_cifar(
            data_dir,
            resize=data.resize,
            image_size=data.image_size,
            download=download,
            progress=progress,
        )
    from mamltui.data.folder import load_folder

    if not data.path:
        raise DataError(
            'data.set = "folder" needs data.path',
            where="data.path",
            hint="Name the folder that holds one folder of images for each class.",
        )
    path = Path(data.path).expanduser()
    if data_dir is not None and not path.exists():
        inside = data_dir / path.name
        path = inside if inside.is_dir() else data_dir
    return load_folder(
        path,
        resize=data.resize,
        image_size=data.image_size,
        fit=data.fit,
        leave_out=data.unreadable == "leave-out",
        progress=progress,
    )
