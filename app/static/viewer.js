// The viewer: three linked planes. Python mounts it with `data` and may ask it to jump.

class Viewer {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.state = startState(data);
    this.cache = new PictureCache(128e6);
    this.lines = null;
    this.gone = false;
    this.lastJump = null;
    this.layOut();
    this.planes = [...root.querySelectorAll(".plane")].map((figure) => new PlaneView(this, figure));
    listenToSide(this);
    fillClasses(this);
    fillControls(this);
    fillTable(this);
    this.observer = new ResizeObserver(() => this.drawAll());
    this.observer.observe(this.find(".planes"));
    this.loadLines();
    this.tellPlace();
    this.loadAll();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  control(name) {
    return this.find(`[data-control="${name}"]`);
  }

  // Cells in proportion to the volume, but never so thin that a plane cannot be read.
  layOut() {
    const [nz, ny, nx] = this.data.shape;
    const share = (depth, width) => Math.min(1, Math.max(0.3, depth / width));
    const grid = this.find(".planes");
    grid.style.gridTemplateColumns = `minmax(0, 1fr) minmax(0, ${share(nz, nx)}fr)`;
    grid.style.gridTemplateRows = `minmax(0, 1fr) minmax(0, ${share(nz, ny)}fr)`;
  }

  // Screen pixels per voxel; fitted to the XY plane until the user zooms.
  get scale() {
    if (this.state.scale) return this.state.scale;
    const box = this.planes[0].canvas.getBoundingClientRect();
    const [, ny, nx] = this.data.shape;
    return Math.max(0.02, Math.min(box.width / nx, box.height / ny));
  }

  drawAll() {
    for (const plane of this.planes) plane.draw();
  }

  async loadAll() {
    await Promise.all(this.planes.map((plane) => plane.load()));
    this.find(".viewer").dataset.ready = "true";
  }

  async loadLines() {
    if (!this.data.filaments.length) return;
    const answer = await fetch(`${this.data.api}/lines?analysis=${this.data.analysis}`);
    if (!answer.ok || this.gone) return;
    this.lines = new Map(Object.entries(await answer.json()).map(([id, points]) => [Number(id), points]));
    this.drawAll();
  }

  // The slices before and after, so that slow scrolling never waits.
  loadNeighbours(plane) {
    const n = this.data.shape[plane.axes.normal];
    for (const step of [1, -1, 2]) {
      const index = plane.index + step;
      if (index < 0 || index >= n) continue;
      this.cache.load(sliceAddress(this.data, this.state, plane.name, index)).catch(() => {});
      const overlay = overlayAddress(this.data, this.state, plane.name, index);
      if (overlay) this.cache.load(overlay).catch(() => {});
    }
  }

  change(changes) {
    Object.assign(this.state, changes);
    fillControls(this);
    this.drawAll();
    this.loadAll();
  }

  setGrey(level, contrast) {
    const within = (value, top) => Math.min(top, Math.max(0, Math.round(value)));
    this.change({ level: within(level, 255), contrast: within(contrast, 100) });
  }

  showClass(id, isOn) {
    if (isOn) this.state.shown.add(id);
    else this.state.shown.delete(id);
    this.change({ hidden: false });
  }

  toggleOverlays() {
    this.change({ hidden: !this.state.hidden });
  }

  toggleCross() {
    this.change({ cross: !this.state.cross });
  }

  reset() {
    const { tab, sort } = this.state;
    this.state = { ...startState(this.data), tab, sort };
    fillClasses(this);
    markRow(this);
    this.tell("");
    this.tellPlace();
    this.change({});
  }

  pan(plane, start, dx, dy) {
    this.fixScale();
    const centre = [...start];
    centre[plane.axes.columns] -= dx / this.scale;
    centre[plane.axes.rows] -= dy / this.scale;
    this.state.centre = centre;
    this.drawAll();
  }

  fixScale() {
    this.state.scale = this.scale;
  }

  // About the voxel under the pointer, or about the middle of the picture.
  zoom(factor, plane = null, { column, row } = {}) {
    const before = this.scale;
    const after = Math.min(40, Math.max(0.05, before * factor));
    if (plane) {
      const keep = (axis, at) => at - ((at - this.state.centre[axis]) * before) / after;
      this.state.centre[plane.axes.columns] = keep(plane.axes.columns, column);
      this.state.centre[plane.axes.rows] = keep(plane.axes.rows, row);
    }
    this.state.scale = after;
    this.drawAll();
  }

  moveTo(position, { ask = false } = {}) {
    this.state.position = position.map((value, axis) => clampIndex(value, this.data.shape[axis]));
    this.tellPlace();
    this.drawAll();
    this.loadAll();
    if (ask) this.askVoxel();
    else this.tell("");
  }

  // Bring a place into every plane's picture where it lies outside.
  centreOn(position) {
    if (!this.state.scale) return;
    this.state.centre = position.map((value) => value + 0.5);
  }

  choose(tab, id, { jump = false } = {}) {
    const item = this.data[tab].find((candidate) => candidate.id === id);
    if (!item) return;
    this.state.instance = tab === "organelles" ? id : 0;
    this.state.filament = tab === "filaments" ? id : 0;
    if (this.state.tab !== tab) {
      this.state.tab = tab;
      fillTable(this);
    }
    markRow(this, { scroll: !jump });
    if (jump) {
      const position = item.centre_nm.map((nm) => nm / this.data.voxel_nm);
      this.centreOn(position);
      this.moveTo(position);
    } else {
      this.loadAll();
    }
    this.tell(`${item.label} ${id}`);
  }

  async askVoxel() {
    const asked = this.state.position;
    const [z, y, x] = asked;
    const answer = await fetch(`${this.data.api}/voxel?analysis=${this.data.analysis}&z=${z}&y=${y}&x=${x}`);
    if (!answer.ok || this.gone || asked !== this.state.position) return;
    const found = await answer.json();
    if (found.instance) {
      this.choose("organelles", found.instance);
      return;
    }
    this.state.instance = this.state.filament = 0;
    markRow(this);
    this.loadAll();
    this.drawAll();
    this.tell(this.data.class_labels[String(found.class)] || "");
  }

  jump(wish) {
    if (!wish || wish.ticket === this.lastJump) return;
    this.lastJump = wish.ticket;
    if (wish.instance) this.choose("organelles", wish.instance, { jump: true });
    else if (wish.filament) this.choose("filaments", wish.filament, { jump: true });
    else if (wish.voxel) {
      this.centreOn(wish.voxel);
      this.moveTo(wish.voxel, { ask: true });
    }
  }

  tell(text) {
    this.find(".found").textContent = text;
  }

  tellPlace() {
    const { position } = this.state;
    const table = element("table");
    table.append(element("tr", {}, ...["", "x", "y", "z"].map((name) => element("th", {}, name))));
    const row = (name, text) =>
      element("tr", {}, element("th", {}, name), ...[2, 1, 0].map((axis) => element("td", {}, text(position[axis]))));
    table.append(row("nm", (value) => (value * this.data.voxel_nm).toFixed(1)));
    table.append(row("voxel", (value) => String(value)));
    this.find(".place").replaceChildren(table);
    this.find(".viewer").dataset.position = position.join(",");
  }

  async copyLink() {
    const address = new URL(this.data.page, window.location.origin);
    address.searchParams.set("at", this.state.position.join(","));
    try {
      await navigator.clipboard.writeText(address.href);
      this.tell("Link copied.");
    } catch {
      window.prompt("Link to this place", address.href);
    }
  }

  close() {
    this.gone = true;
    this.observer.disconnect();
  }
}

// Streamlit calls the default function at every run of the page: one viewer per place and analysis.
const viewers = new WeakMap();

export default function mount({ data, parentElement }) {
  let viewer = viewers.get(parentElement);
  if (!viewer || viewer.data.analysis !== data.analysis || !viewer.find(".viewer")) {
    if (viewer) viewer.close();
    viewer = new Viewer(parentElement, data);
    viewers.set(parentElement, viewer);
  }
  viewer.jump(data.jump);
  return () => {
    if (parentElement.isConnected === false) {
      viewer.close();
      viewers.delete(parentElement);
    }
  };
}
