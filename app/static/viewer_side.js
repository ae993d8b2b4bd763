// The side panel: overlay toggles, grey values, tables whose rows lead to the place.

const COLUMNS = {
  organelles: [
    ["id", "#", (item) => item.id],
    ["class", "Class", (item) => item.label],
    ["volume_um3", "µm³", (item) => number(item.volume_um3, 4)],
    ["confidence", "Conf.", (item) => number(item.confidence, 2)],
    ["border", "Cut", (item) => (item.border ? "yes" : "–")],
  ],
  filaments: [
    ["id", "#", (item) => item.id],
    ["class", "Class", (item) => item.label],
    ["length_nm", "nm", (item) => number(item.length_nm, 0)],
    ["confidence", "Conf.", (item) => number(item.confidence, 2)],
    ["border", "Cut", (item) => (item.border ? "yes" : "–")],
  ],
};
const COLUMN_HINTS = {
  id: "Number in the instance volume and the tables",
  volume_um3: "Volume in cubic micrometre",
  length_nm: "Length along the centre line in nanometre",
  confidence: "Mean probability given by the network",
  border: "Cut by a face of the volume: the size is a lower bound",
};

function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function swatch(colour) {
  const made = element("span", { class: "swatch" });
  made.style.background = colour;
  return made;
}

function fillClasses(viewer) {
  const list = viewer.find(".classes");
  list.replaceChildren();
  for (const item of viewer.data.classes) {
    const box = element("input", { type: "checkbox", "data-class": item.name });
    box.checked = viewer.state.shown.has(item.id);
    box.addEventListener("change", () => viewer.showClass(item.id, box.checked));
    const count = item.count === null ? "" : String(item.count);
    list.append(
      element("label", {}, box, swatch(item.colour), item.label, element("span", { class: "count" }, count)),
    );
  }
  if (!viewer.data.classes.length) list.append("Nothing was segmented in this tomogram.");
}

function fillControls(viewer) {
  const { state } = viewer;
  viewer.control("opacity").value = state.opacity;
  viewer.control("level").value = 255 - state.level;
  viewer.control("contrast").value = state.contrast;
  viewer.control("invert").checked = state.invert;
  viewer.control("cross").checked = state.cross;
  for (const button of viewer.root.querySelectorAll("[data-style]")) {
    button.setAttribute("aria-pressed", String(button.dataset.style === state.style));
  }
  viewer.find("[data-action='hide']").setAttribute("aria-pressed", String(state.hidden));
}

function listenToSide(viewer) {
  const onInput = (name, act) => viewer.control(name).addEventListener("input", (event) => act(event.target));
  onInput("opacity", (input) => viewer.change({ opacity: Number(input.value) }));
  // A brighter picture needs a lower level, so the slider runs the other way.
  onInput("level", (input) => viewer.setGrey(255 - Number(input.value), viewer.state.contrast));
  onInput("contrast", (input) => viewer.setGrey(viewer.state.level, Number(input.value)));
  onInput("invert", (input) => viewer.change({ invert: input.checked }));
  onInput("cross", (input) => viewer.change({ cross: input.checked }));
  for (const button of viewer.root.querySelectorAll("[data-style]")) {
    button.addEventListener("click", () => viewer.change({ style: button.dataset.style, hidden: false }));
  }
  const actions = { reset: () => viewer.reset(), hide: () => viewer.toggleOverlays(), link: () => viewer.copyLink() };
  for (const button of viewer.root.querySelectorAll("[data-action]")) {
    button.addEventListener("click", actions[button.dataset.action]);
  }
  for (const tab of viewer.root.querySelectorAll("[data-tab]")) {
    tab.addEventListener("click", () => {
      viewer.state.tab = tab.dataset.tab;
      fillTable(viewer);
    });
  }
}

function fillTable(viewer) {
  const { data, state } = viewer;
  const names = { organelles: "Organelles", filaments: "Microtubules" };
  for (const tab of viewer.root.querySelectorAll("[data-tab]")) {
    tab.textContent = `${names[tab.dataset.tab]} (${data[tab.dataset.tab].length})`;
    tab.setAttribute("aria-selected", String(tab.dataset.tab === state.tab));
  }
  const [key, direction] = state.sort[state.tab];
  const items = [...data[state.tab]].sort((a, b) => direction * compare(a[key], b[key]) || a.id - b.id);
  const holder = viewer.find(".table");
  if (!items.length) {
    holder.replaceChildren(element("div", { class: "empty" }, "None found in this tomogram."));
    return;
  }
  const body = element("tbody");
  for (const item of items) body.append(tableRow(viewer, item));
  holder.replaceChildren(element("table", {}, element("thead", {}, headRow(viewer)), body));
  markRow(viewer);
}

function headRow(viewer) {
  const { state } = viewer;
  const row = element("tr");
  for (const [key, label] of COLUMNS[state.tab]) {
    const [sorted, direction] = state.sort[state.tab];
    const arrow = sorted === key ? (direction > 0 ? " ▴" : " ▾") : "";
    const cell = element("th", { scope: "col", title: `${COLUMN_HINTS[key] || ""} (click to sort)` }, label + arrow);
    cell.addEventListener("click", () => {
      state.sort[state.tab] = [key, sorted === key ? -direction : 1];
      fillTable(viewer);
    });
    row.append(cell);
  }
  return row;
}

function tableRow(viewer, item) {
  const { tab } = viewer.state;
  const row = element("tr", { tabindex: "-1", "data-id": item.id });
  for (const [key, , text] of COLUMNS[tab]) {
    const cell = element("td");
    if (key === "class") cell.append(swatch(item.colour));
    cell.append(String(text(item)));
    row.append(cell);
  }
  row.addEventListener("click", () => viewer.choose(tab, item.id, { jump: true }));
  row.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling };
    const next = steps[event.key];
    if (!next) return;
    event.preventDefault();
    viewer.choose(tab, Number(next.dataset.id), { jump: true });
    next.focus();
  });
  return row;
}

function markRow(viewer, { scroll = false } = {}) {
  const { state } = viewer;
  const chosen = state.tab === "organelles" ? state.instance : state.filament;
  for (const row of viewer.root.querySelectorAll(".table tbody tr")) {
    const isChosen = Number(row.dataset.id) === chosen;
    row.setAttribute("aria-selected", String(isChosen));
    row.tabIndex = isChosen ? 0 : -1;
    if (isChosen && scroll) row.scrollIntoView({ block: "nearest" });
  }
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b);
  return Number(a) - Number(b);
}
