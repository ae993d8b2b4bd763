// One plane: draws the slice, the overlay, the filaments near it, the crosshair and the scale bar.

const FILL_SHARE = 0.45;
const AXIS_COLOUR = "#f2f6f8";
const CHOSEN_COLOUR = "#ffffff";
const HALO_COLOUR = "rgba(0, 0, 0, 0.75)";

class PlaneView {
  constructor(viewer, figure) {
    this.viewer = viewer;
    this.figure = figure;
    this.name = figure.dataset.plane;
    this.axes = PLANES[this.name];
    this.canvas = figure.querySelector("canvas");
    this.caption = figure.querySelector("figcaption");
    this.grey = null;
    this.overlay = null;
    this.loading = false;
    listenToPlane(this);
  }

  get index() {
    return this.viewer.state.position[this.axes.normal];
  }

  // Screen pixel of the outer corner of voxel 0.
  origin() {
    const { state } = this.viewer;
    const { width, height } = this.canvas.getBoundingClientRect();
    return {
      left: width / 2 - state.centre[this.axes.columns] * this.viewer.scale,
      top: height / 2 - state.centre[this.axes.rows] * this.viewer.scale,
    };
  }

  voxelAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top } = this.origin();
    return {
      column: (event.clientX - box.left - left) / this.viewer.scale,
      row: (event.clientY - box.top - top) / this.viewer.scale,
    };
  }

  // Only the newest wish is loaded: slices passed over in a fast scroll are never asked for.
  async load() {
    if (this.loading) return;
    this.loading = true;
    this.figure.classList.add("waiting");
    try {
      for (;;) {
        const { data, state, cache } = this.viewer;
        const index = this.index;
        const grey = sliceAddress(data, state, this.name, index);
        const overlay = overlayAddress(data, state, this.name, index);
        const pictures = await Promise.all([cache.load(grey), overlay ? cache.load(overlay) : null]);
        if (this.viewer.gone) return;
        [this.grey, this.overlay] = pictures;
        this.figure.dataset.shown = String(index);
        this.draw();
        const now = this.viewer.state;
        const settled =
          grey === sliceAddress(data, now, this.name, this.index) &&
          overlay === overlayAddress(data, now, this.name, this.index);
        if (settled) break;
      }
      this.viewer.loadNeighbours(this);
    } catch (error) {
      this.viewer.tell(String(error.message || error));
    } finally {
      this.loading = false;
      this.figure.classList.remove("waiting");
    }
  }

  draw() {
    const { data, state, scale } = this.viewer;
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const density = window.devicePixelRatio || 1;
    const size = [Math.round(box.width * density), Math.round(box.height * density)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, box.width, box.height);
    const { left, top } = this.origin();
    const extent = [data.shape[this.axes.columns] * scale, data.shape[this.axes.rows] * scale];
    if (this.grey && this.grey.width) {
      pen.imageSmoothingEnabled = scale * density < 8;
      pen.imageSmoothingQuality = "high";
      pen.drawImage(this.grey, left, top, ...extent);
    }
    if (!state.hidden) {
      if (this.overlay && this.overlay.width) {
        // A filled organelle must let the picture through.
        pen.globalAlpha = (state.opacity / 100) * (state.style === "fill" ? FILL_SHARE : 1);
        pen.imageSmoothingEnabled = scale * density < 1;
        pen.drawImage(this.overlay, left, top, ...extent);
      }
      pen.globalAlpha = state.opacity / 100;
      this.drawFilaments(pen, left, top);
      pen.globalAlpha = 1;
    }
    if (state.cross) this.drawCross(pen, box, left, top);
    this.drawScaleBar(pen, box);
    this.drawAxes(pen, box);
    this.describe();
  }

  drawFilaments(pen, left, top) {
    const { data, state, scale, lines } = this.viewer;
    const microtubules = data.classes.find((item) => item.filament);
    const show = microtubules && state.shown.has(microtubules.id);
    if (!lines || (!show && !state.filament)) return;
    const here = this.index * data.voxel_nm;
    const toScreen = (point) => [
      left + (point[this.axes.columns] / data.voxel_nm + 0.5) * scale,
      top + (point[this.axes.rows] / data.voxel_nm + 0.5) * scale,
    ];
    pen.lineCap = "round";
    for (const [id, points] of lines) {
      const chosen = id === state.filament;
      if (!show && !chosen) continue;
      const screen = points.map(toScreen);
      const near = [];
      for (let i = 1; i < points.length; i += 1) {
        const part = partNear(points[i - 1], points[i], this.axes.normal, here, LINE_REACH_NM);
        if (part) near.push(part.map(toScreen));
      }
      if (chosen) {
        pen.setLineDash([3, 4]);
        for (let i = 1; i < screen.length; i += 1) {
          strokeHaloed(pen, screen[i - 1], screen[i], CHOSEN_COLOUR, 1.2);
        }
        pen.setLineDash([]);
      }
      for (const [from, to] of near) {
        if (chosen) strokeHaloed(pen, from, to, CHOSEN_COLOUR, 3);
        else strokeLine(pen, from, to, microtubules.colour, 2);
      }
    }
  }

  drawCross(pen, box, left, top) {
    const { state, scale } = this.viewer;
    const x = left + (state.position[this.axes.columns] + 0.5) * scale;
    const y = top + (state.position[this.axes.rows] + 0.5) * scale;
    const gap = 9;
    for (const [colour, shift] of [["rgba(0,0,0,0.55)", 1], ["rgba(88,196,221,0.95)", 0]]) {
      strokeLine(pen, [0, y + shift], [x - gap, y + shift], colour, 1);
      strokeLine(pen, [x + gap, y + shift], [box.width, y + shift], colour, 1);
      strokeLine(pen, [x + shift, 0], [x + shift, y - gap], colour, 1);
      strokeLine(pen, [x + shift, y + gap], [x + shift, box.height], colour, 1);
    }
  }

  drawScaleBar(pen, box) {
    const nmPerPixel = this.viewer.data.voxel_nm / this.viewer.scale;
    const nm = niceLength(Math.min(box.width * 0.32, 180) * nmPerPixel);
    const width = nm / nmPerPixel;
    const [x, y] = [10, box.height - 12];
    pen.font = "600 12px sans-serif";
    pen.fillStyle = "rgba(0,0,0,0.55)";
    pen.fillRect(x - 5, y - 19, Math.max(width, pen.measureText(describeLength(nm)).width) + 10, 26);
    pen.fillStyle = "#fff";
    pen.fillRect(x, y - 1, width, 3);
    pen.fillText(describeLength(nm), x, y - 6);
  }

  drawAxes(pen, box) {
    if (box.width < 150 || box.height < 110) return;
    const [x, y] = [box.width - 44, 14];
    pen.fillStyle = "rgba(0, 0, 0, 0.6)";
    pen.fillRect(x - 9, y - 9, 50, 52);
    pen.fillStyle = AXIS_COLOUR;
    pen.font = "600 12px sans-serif";
    strokeArrow(pen, [x, y], [x + 24, y]);
    strokeArrow(pen, [x, y], [x, y + 24]);
    pen.fillText(AXIS_NAMES[this.axes.columns], x + 28, y + 4);
    pen.fillText(AXIS_NAMES[this.axes.rows], x - 3, y + 38);
  }

  describe() {
    const { data } = this.viewer;
    const n = data.shape[this.axes.normal];
    const name = this.name.toUpperCase();
    const nm = (this.index * data.voxel_nm).toFixed(0);
    const text = `${AXIS_NAMES[this.axes.normal]} ${this.index + 1} of ${n} · ${nm} nm`;
    if (this.caption.dataset.text !== text) {
      this.caption.dataset.text = text;
      this.caption.replaceChildren(element("b", {}, name), text);
      this.canvas.setAttribute("aria-label", `${name} plane, slice ${text}`);
    }
  }
}

// The part of a segment within `reach` of a plane, or null.
function partNear(from, to, axis, here, reach) {
  const start = from[axis] - here;
  const step = to[axis] - from[axis];
  let [low, high] = [0, 1];
  if (Math.abs(step) < 1e-9) {
    if (Math.abs(start) > reach) return null;
  } else {
    const ends = [(-reach - start) / step, (reach - start) / step].sort((a, b) => a - b);
    [low, high] = [Math.max(0, ends[0]), Math.min(1, ends[1])];
    if (low > high) return null;
  }
  const at = (share) => from.map((value, i) => value + share * (to[i] - value));
  return [at(low), at(high)];
}

function strokeLine(pen, from, to, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

function strokeHaloed(pen, from, to, colour, width) {
  strokeLine(pen, from, to, HALO_COLOUR, width + 2.5);
  strokeLine(pen, from, to, colour, width);
}

function strokeArrow(pen, from, to) {
  strokeLine(pen, from, to, AXIS_COLOUR, 1.4);
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  for (const turn of [2.6, -2.6]) {
    const end = [to[0] + 6 * Math.cos(angle + turn), to[1] + 6 * Math.sin(angle + turn)];
    strokeLine(pen, to, end, AXIS_COLOUR, 1.4);
  }
}
