// What the viewer shows, and where: positions are voxels (z, y, x), one zoom for all planes.

const PLANES = {
  xy: { normal: 0, rows: 1, columns: 2 },
  xz: { normal: 1, rows: 0, columns: 2 },
  zy: { normal: 2, rows: 1, columns: 0 },
};
const AXIS_NAMES = ["z", "y", "x"];
// Filaments are drawn in slices up to this far from their centre line: a microtubule is 25 nm wide.
const LINE_REACH_NM = 15;

function startState(data) {
  const middle = data.shape.map((n) => Math.floor(n / 2));
  return {
    position: middle,
    centre: data.shape.map((n) => n / 2),
    scale: null, // screen pixels per voxel; null: fit
    level: 128,
    contrast: 50, // slider; see windowOf
    invert: false,
    shown: new Set(data.classes.filter((item) => item.on).map((item) => item.id)),
    hidden: false,
    opacity: 80,
    style: "outline",
    cross: true,
    instance: 0,
    filament: 0,
    tab: data.organelles.length || !data.filaments.length ? "organelles" : "filaments",
    sort: { organelles: ["id", 1], filaments: ["id", 1] },
  };
}

// The slider runs from soft (a window of 510 levels) over the full range (255) to hard (16).
function windowOf(state) {
  const width = Math.round(255 * Math.pow(2, (50 - state.contrast) / 12.5 / (state.contrast < 50 ? 4 : 1)));
  const low = Math.round(state.level - Math.max(width, 16) / 2);
  const high = low + Math.max(width, 16);
  return state.invert ? [high, low] : [low, high];
}

function clampIndex(value, n) {
  return Math.min(n - 1, Math.max(0, Math.round(value)));
}

function niceLength(longest) {
  const power = Math.pow(10, Math.floor(Math.log10(longest)));
  const step = [5, 2, 1].find((factor) => factor * power <= longest) || 1;
  return step * power;
}

function describeLength(nm) {
  return nm >= 1000 ? `${nm / 1000} µm` : `${nm} nm`;
}

// Pictures by address, the least recently used given up first.
class PictureCache {
  constructor(maxBytes) {
    this.maxBytes = maxBytes;
    this.bytes = 0;
    this.pictures = new Map();
    this.waiting = new Map();
  }

  get(address) {
    const picture = this.pictures.get(address);
    if (picture) {
      this.pictures.delete(address);
      this.pictures.set(address, picture);
    }
    return picture;
  }

  load(address) {
    const known = this.get(address);
    if (known) return Promise.resolve(known);
    if (!this.waiting.has(address)) {
      this.waiting.set(address, this.fetch(address).finally(() => this.waiting.delete(address)));
    }
    return this.waiting.get(address);
  }

  async fetch(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(await answer.text());
    const picture = await createImageBitmap(await answer.blob());
    this.pictures.set(address, picture);
    this.bytes += 4 * picture.width * picture.height;
    for (const [oldest, given] of this.pictures) {
      if (this.bytes <= this.maxBytes || oldest === address) break;
      this.pictures.delete(oldest);
      this.bytes -= 4 * given.width * given.height;
      given.close();
    }
    return picture;
  }
}

function sliceAddress(data, state, plane, index) {
  const [low, high] = windowOf(state);
  return `${data.api}/slice?analysis=${data.analysis}&plane=${plane}&index=${index}&low=${low}&high=${high}`;
}

function overlayAddress(data, state, plane, index) {
  if (state.hidden) return null;
  // Filaments are drawn as lines.
  const painted = data.classes.filter((item) => state.shown.has(item.id) && !item.filament);
  const classes = painted.map((item) => item.id);
  if (!classes.length && !state.instance) return null;
  return (
    `${data.api}/overlay?analysis=${data.analysis}&plane=${plane}&index=${index}` +
    `&classes=${classes.join(",")}&style=${state.style}&instance=${state.instance}`
  );
}
