"""What of an image is on screen: where sliders and mouse stand, and what the camera sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.types import Box

if TYPE_CHECKING:
    import napari

    from napari_regcon._qt.workspace import ImageWork


class Sight:
    """Translates between the viewer's world and the planes of an image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer

    def visible_prefix(self, work: ImageWork) -> tuple[int, ...]:
        """Return the plane of an image that the sliders stand on."""
        position = work.layer.world_to_data(self._viewer.dims.point)
        return work.state.geometry.prefix_at([float(p) for p in position])

    def outside(self, work: ImageWork) -> str:
        """Say that the sliders stand where an image has no slice, or return an empty string."""
        position = [float(p) for p in work.layer.world_to_data(self._viewer.dims.point)]
        if work.state.geometry.has(position, self._displayed(work)):
            return ""
        return (
            f"The sliders stand outside of {work.state.name!r}. Move them back to paint on it, or "
            "to use its slices."
        )

    def shows_planes(self, work: ImageWork) -> bool:
        """Tell whether the viewer shows slices of rows and columns, and not 3-D or a side view."""
        displayed = self._displayed(work)
        return self._viewer.dims.ndisplay == 2 and displayed == set(
            work.state.geometry.plane_sliders
        )

    def visible_box(self, work: ImageWork) -> Box:
        """Return the Y, X box of the plane that is on screen."""
        plane = Box.of_shape(work.state.geometry.plane_shape)
        guide = work.labels if work.labels is not None and work.labels.visible else work.layer
        if not self.shows_planes(work) or (guide.multiscale and guide.data_level):
            return plane
        y, x = work.state.geometry.plane_sliders
        (top, left), (bottom, right) = guide.corner_pixels[:, [y, x]].astype(int)
        seen = Box((int(top), int(left)), (int(bottom) + 1, int(right) + 1)).intersect(plane)
        return seen if seen.size else plane

    def look_at(self, work: ImageWork, prefix: tuple[int, ...], y: int, x: int) -> None:
        """Move the sliders, and where needed the camera, to show a pixel."""
        index = work.state.geometry.slider_index(prefix, y, x)
        world = work.layer.data_to_world(index)
        offset = self._viewer.dims.ndim - work.layer.ndim
        for slider in work.state.geometry.order[:-2]:
            self._viewer.dims.set_point(slider + offset, world[slider])
        seen = self.visible_box(work)
        if all(a <= i < b for i, a, b in zip((y, x), seen.start, seen.stop, strict=True)):
            return
        camera = getattr(self._viewer, "scene", self._viewer).camera  # napari 0.9 has moved it
        where = [float(world[axis - offset]) for axis in self._viewer.dims.displayed]
        camera.center = (*tuple(camera.center)[: 3 - len(where)], *where)

    def place_under_mouse(self, work: ImageWork) -> tuple[int, ...] | None:
        """Return the index, in label axes, of the pixel that the mouse was last over, if any."""
        geometry = work.state.geometry
        pixel = [round(float(p)) for p in work.layer.world_to_data(self._viewer.cursor.position)]
        place = tuple(pixel[s] for s in geometry.order)
        inside = all(0 <= i < n for i, n in zip(place, geometry.label_shape, strict=True))
        return place if inside else None

    def _displayed(self, work: ImageWork) -> set[int]:
        dims = self._viewer.dims
        return {axis - (dims.ndim - work.layer.ndim) for axis in dims.displayed}
