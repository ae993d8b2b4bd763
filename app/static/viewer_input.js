// Mouse and keyboard of one plane.

const CLICK_REACH = 4; // screen pixels a pointer may wander in a click

function listenToPlane(plane) {
  const { canvas, viewer } = plane;
  let drag = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    const { state } = viewer;
    drag = {
      button: event.button,
      x: event.clientX,
      y: event.clientY,
      centre: [...state.centre],
      level: state.level,
      contrast: state.contrast,
      moved: false,
    };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.moved = drag.moved || Math.hypot(dx, dy) > CLICK_REACH;
    if (!drag.moved) return;
    if (drag.button === 2) viewer.setGrey(drag.level + dy / 2, drag.contrast + dx / 4);
    else viewer.pan(plane, drag.centre, dx, dy);
  });
  canvas.addEventListener("pointerup", (event) => {
    const clicked = drag && !drag.moved && drag.button === 0;
    drag = null;
    if (clicked) clickPlane(plane, event);
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("wheel", (event) => wheelPlane(plane, event), { passive: false });
  canvas.addEventListener("keydown", (event) => pressKey(plane, event));
}

function clickPlane(plane, event) {
  const { column, row } = plane.voxelAt(event);
  const position = [...plane.viewer.state.position];
  position[plane.axes.columns] = Math.floor(column);
  position[plane.axes.rows] = Math.floor(row);
  plane.viewer.moveTo(position, { ask: true });
}

function wheelPlane(plane, event) {
  event.preventDefault();
  const { viewer } = plane;
  if (event.ctrlKey || event.metaKey) {
    viewer.zoom(Math.pow(2, -Math.sign(event.deltaY) / 4), plane, plane.voxelAt(event));
    return;
  }
  stepSlice(plane, Math.sign(event.deltaY) * (event.shiftKey ? 10 : 1));
}

function stepSlice(plane, step) {
  const position = [...plane.viewer.state.position];
  position[plane.axes.normal] += step;
  plane.viewer.moveTo(position);
}

function pressKey(plane, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { viewer, axes } = plane;
  const step = event.shiftKey ? 10 : 1;
  const move = (axis, by) => {
    const position = [...viewer.state.position];
    position[axis] += by;
    viewer.moveTo(position, { ask: true });
  };
  const keys = {
    ArrowLeft: () => move(axes.columns, -step),
    ArrowRight: () => move(axes.columns, step),
    ArrowUp: () => move(axes.rows, -step),
    ArrowDown: () => move(axes.rows, step),
    PageUp: () => stepSlice(plane, -step),
    PageDown: () => stepSlice(plane, step),
    "+": () => viewer.zoom(Math.SQRT2),
    "=": () => viewer.zoom(Math.SQRT2),
    "-": () => viewer.zoom(Math.SQRT1_2),
    o: () => viewer.toggleOverlays(),
    c: () => viewer.toggleCross(),
    r: () => viewer.reset(),
  };
  const action = keys[event.key] || keys[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
}
