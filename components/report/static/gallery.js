/* A table of samples: its rows and columns are any two of run, family, step and sample; the reader chooses the others. */
"use strict";
(() => {
  const { el, all, select, clamp, unique, range, number, count, duration, sheets } = Atelier;

  const NAMES = { run: "run", family: "family", step: "step", sample: "sample" };
  const MOST_STEPS = 12; // columns or rows of steps
  const SIDE = 72; // pixels of a tile on the page, about

  const labelOf = (dim, value, view) => {
    if (dim === "sample") return number(value + 1);
    if (dim !== "step") return value;
    return view.axis === "step" ? number(value) : view.axis === "images" ? count(value) : duration(value);
  };
  /* Evenly spread points, the first and the last among them. */
  const thinned = (points) => (points.length <= MOST_STEPS ? points
    : unique(range(MOST_STEPS).map((i) => points[Math.round((i * (points.length - 1)) / (MOST_STEPS - 1))])));
  const countOf = ({ samples }) => samples.count || 0;
  const fixed = (view) => view.dims.filter((dim) => dim !== view.rows && dim !== view.columns);
  const valuesOf = (dim, view) => {
    const of = view.shown();
    if (dim === "step") return thinned(view.pointsOf(of));
    if (dim === "sample") return range(Math.max(1, ...of.map(countOf)));
    return unique(of.map((entry) => entry[dim]));
  };

  // ---------------------------------------------------------------- cells

  /* The entry, the point of training and the sample of a cell. */
  const placeOf = (view, row, column) => {
    const at = { run: view.run, family: view.family, step: view.at, sample: view.sample ?? 0, [view.rows]: row, [view.columns]: column };
    const entry = view.entries.find((one) => (at.run === null || one.run === at.run) && one.family === at.family);
    const grid = entry && view.gridOf(entry, at.step), missing = !grid || (countOf(entry) && at.sample >= countOf(entry));
    return missing ? null : { entry, grid, sample: at.sample };
  };
  const cellOf = (view, row, column, pick) => {
    const place = placeOf(view, row, column), cell = el("td", {});
    if (!place) return cell;
    const { entry, grid, sample } = place, what = `${entry.family}, step ${number(grid.step)}, sample ${number(sample + 1)}`;
    const canvas = el("canvas", { "aria-hidden": "true" }), said = view.dims.includes("run") ? `run ${entry.run}, ${what}` : what;
    cell.append(el("button", { type: "button", class: "tile", tabindex: -1, "aria-label": said, title: said, onclick: () => pick(place) }, canvas));
    sheets.loadImage(grid.src).then((img) => {
      if (img && entry.resolution) sheets.paintTile(canvas, img, entry.resolution, sample, SIDE);
      else cell.replaceChildren(el("small", {}, "unreadable"));
    });
    return cell;
  };
  const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };
  /* One tile is in the order of Tab; arrow keys move among the others. */
  const walkable = (table) => {
    const tiles = () => all("tbody tr", table).map((row) => all("button.tile", row));
    const first = all("button.tile", table)[0];
    if (first) first.tabIndex = 0;
    table.addEventListener("keydown", (e) => {
      const move = MOVES[e.key], grid = tiles(), row = grid.findIndex((line) => line.includes(e.target));
      if (!move || row < 0) return;
      const line = grid[clamp(row + move[0], 0, grid.length - 1)];
      const next = line[clamp(grid[row].indexOf(e.target) + move[1], 0, line.length - 1)];
      e.preventDefault();
      if (!next) return;
      e.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  };
  const tableOf = (view, pick, keyOf) => {
    const columns = valuesOf(view.columns, view), rows = valuesOf(view.rows, view);
    const corner = el("th", { scope: "col", class: "corner" }, `${NAMES[view.rows]} \\ ${NAMES[view.columns]}`);
    const headOf = (dim, value, scope) => el("th", { scope, class: dim === "run" ? "mono" : null }, keyOf(dim, value), labelOf(dim, value, view));
    const table = el("table", { class: "gallery" },
      el("thead", {}, el("tr", {}, corner, columns.map((value) => headOf(view.columns, value, "col")))),
      el("tbody", {}, rows.map((row) => el("tr", {}, headOf(view.rows, row, "row"), columns.map((column) => cellOf(view, row, column, pick))))));
    walkable(table);
    return el("div", { class: "scroll", role: "region", "aria-label": `Samples: ${NAMES[view.rows]} by ${NAMES[view.columns]}` }, table);
  };

  // ---------------------------------------------------------------- what the reader chooses

  const sampleStepper = (view, most) => {
    const go = (by) => view.change({ sample: clamp((view.sample ?? 0) + by, 0, most - 1) });
    const button = (label, name, by) => el("button", { type: "button", "aria-label": name, onclick: () => go(by) }, label);
    return el("span", { class: "stepper" }, "Sample", el("span", { class: "segment" }, button("‹", "Previous sample", -1), button("›", "Next sample", 1)),
      el("span", { class: "n" }, `${number((view.sample ?? 0) + 1)} of ${number(most)}`));
  };
  const chooser = (dim, view) => {
    if (dim === "step") return null; // the slider
    if (dim === "sample") return sampleStepper(view, valuesOf("sample", view).length);
    const values = unique(view.entries.map((entry) => entry[dim]));
    return select(dim === "run" ? "Run" : "Family", values.map((v) => [v, v]), view[dim], (value) => view.change({ [dim]: value }));
  };
  const axisSelects = (view) => {
    const options = view.dims.map((dim) => [dim, NAMES[dim]]);
    const set = (name, other) => (value) => view.change({ [name]: value, ...(view[other] === value ? { [other]: view[name] } : {}) });
    return [select("Rows", options, view.rows, set("rows", "columns")), select("Columns", options, view.columns, set("columns", "rows"))];
  };
  /* Draws the table and its choices whenever the view changes. `own` shows the rows and columns that have a display of their own:
     own(true) shows it, and the table is empty. */
  const gallery = (place, tools, view, { pick, keyOf = () => null, own = null }) => {
    let before = "";
    const draw = () => {
      const apart = Boolean(own) && view.rows === "family" && view.columns === "sample";
      if (own) own(apart);
      const focus = all("select, button", tools).indexOf(document.activeElement);
      tools.replaceChildren(...axisSelects(view), ...(apart ? [] : fixed(view).map((dim) => chooser(dim, view)).filter(Boolean)));
      if (focus >= 0) (all("select, button", tools)[focus] || tools.firstChild).focus();
      const steps = view.rows === "step" || view.columns === "step" ? "" : view.at, sample = view.rows === "sample" || view.columns === "sample" ? "" : view.sample;
      const now = JSON.stringify([view.rows, view.columns, view.axis, steps, sample, view.run, view.family, apart]);
      if (now === before) return;
      before = now;
      place.replaceChildren(apart ? "" : tableOf(view, pick, keyOf));
    };
    view.listeners.push(draw);
  };

  Object.assign(Atelier, { gallery });
})();
