/* Sheets of images on the page of a run: samples through training in rows or in a table, and nearest training images. */
"use strict";
(() => {
  const { el, all, find, toggle, empty, onResize, isNumber, range, number, decimal, duration, swatch, sheets, newView, player, gallery, viewer } = Atelier;
  const { loadImage, strip, familyStrip, painter, tileClass } = sheets;

  // ---------------------------------------------------------------- samples through training

  const withResolution = (data, meta) => ({ ...meta, resolution: meta.resolution || data.resolution });
  const realRow = (data, view) => {
    const row = strip("Real images", "real"), { split, src } = data.real;
    row.note.textContent = `${split} split: what to aim for`;
    const draw = painter(row, {
      meta: withResolution(data, data.real), sources: () => [{ src }], what: "real images", aria: () => `${split} split`,
      view: () => ({ whole: view.whole, lines: 1 }), describe: tileClass(data.real, data.classes),
    });
    return { row, draw };
  };
  const familyRow = (data, codes, view, family) => {
    const row = familyStrip(family.name, "", codes), { originals } = family.samples;
    const current = (grids) => view.gridOf(grids ? { samples: { grids } } : family);
    const parts = () => [
      ...(originals ? [{ src: originals, caption: "originals" }] : []),
      { src: current().src, ...(originals ? { caption: "reconstructions" } : {}) },
    ];
    const describeGrid = () => {
      const { step, seconds } = current(), after = isNumber(seconds) ? `, after ${duration(seconds).replaceAll(" ", "\u00a0")}` : "";
      return `step ${number(step)}${after}${step === family.kept ? ", kept" : ""}`;
    };
    const meta = withResolution(data, family.samples);
    const draw = family.source ? Atelier.translations(row, { family, meta, current, whole: () => view.whole, step: describeGrid }) : painter(row, {
      meta, sources: parts, what: `samples of ${family.name}`, aria: describeGrid,
      view: (shown) => ({ whole: view.whole, lines: shown.length > 1 ? 1 : 2 }), describe: tileClass(family.samples, data.classes),
      pick: (tile) => view.enlarge({ entry: view.entryOf(family.name), grid: current(), sample: tile }),
    });
    return { row, kept: Boolean(family.source), draw: () => {
      row.note.textContent = describeGrid() + (family.state === "failed" ? ", then failed" : "");
      return draw();
    } };
  };

  /* Buttons for how the samples are laid out; change(whole) is called with whether all of a sheet is shown. */
  const layoutButtons = (change) => {
    const button = (label, pressed) => el("button", { type: "button", "aria-pressed": String(pressed) }, label);
    const rows = button("Side by side", true), full = button("All images", false);
    const press = (whole) => {
      rows.setAttribute("aria-pressed", String(!whole));
      full.setAttribute("aria-pressed", String(whole));
      change(whole);
    };
    rows.addEventListener("click", () => press(false));
    full.addEventListener("click", () => press(true));
    return el("span", { class: "segment", role: "group", "aria-label": "Layout of the samples" }, rows, full);
  };

  /* The families of a run with samples, as entries of its view. */
  const entriesOf = (data) => data.families.filter((family) => family.samples.grids.length).map((family) => ({
    run: data.run_id, family: family.name, task: family.task, samples: family.samples, steps: family.steps, kept: family.kept, source: family.source,
    resolution: family.samples.resolution || data.resolution, titleOf: tileClass(family.samples, data.classes),
  }));
  const viewOf = (data) => {
    const entries = entriesOf(data), view = newView(entries, { dims: ["family", "step", "sample"], run: data.run_id });
    view.entryOf = (name) => entries.find((entry) => entry.family === name);
    view.enlarge = viewer(view);
    return view;
  };
  const samples = (data, codes, view) => {
    const place = find("#grids"), shown = data.families.filter((family) => family.samples.grids.length);
    if (!place) return;
    if (!shown.length) { empty(place, "No samples have been drawn yet."); return; }
    const rows = [...(data.real ? [realRow(data, view)] : []), ...shown.map((family) => familyRow(data, codes, view, family))];
    place.append(...rows.map(({ row }) => row.node));
    const draw = () => { if (!place.hidden) for (const row of rows) row.draw(); };
    const segment = layoutButtons((whole) => {
      view.whole = whole;
      place.classList.toggle("grids-wide", whole);
      for (const { row, kept } of rows) if (!kept) row.lines.replaceChildren();
      draw();
    });
    const enlarge = el("button", { type: "button", onclick: () => {
      const entry = view.entryOf(view.family) || view.entries[0];
      view.enlarge({ entry, grid: view.gridOf(entry), sample: view.sample ?? 0 });
    } }, "Enlarge");
    const tools = el("div", { class: "tools axes", role: "group", "aria-label": "Rows and columns" }), table = el("div");
    place.before(tools, table);
    const own = (apart) => { place.hidden = segment.hidden = !apart; };
    const keyOf = (dim, name) => (dim === "family" ? el("span", { class: "key" }, swatch(codes.get(name), true)) : null);
    view.rowsOf = new Map(shown.map((family, i) => [family.name, rows[rows.length - shown.length + i].row.node]));
    player(find("#player"), view, { families: shown, extras: [segment, enlarge] });
    gallery(table, tools, view, { pick: view.enlarge, keyOf, own });
    view.listeners.push(draw);
    onResize(place, draw);
    addEventListener("load", () => { for (const family of shown) for (const grid of family.samples.grids) loadImage(grid.src); }); // so that playing does not wait
  };
  /* Shows the samples of a family at a step, as a click on a plot asks for. */
  const showSamples = (view) => (step, name) => {
    if (!view.go) return;
    view.family = name || view.family;
    view.go(step, name);
    const row = view.rowsOf.get(name), target = row && row.offsetParent ? row : find("#samples");
    for (const node of view.rowsOf.values()) node.classList.toggle("picked", node === row);
    target.scrollIntoView({ block: target === row ? "center" : "start" });
  };

  // ---------------------------------------------------------------- nearest training images

  const neighbourRow = (data, codes, state, family) => {
    const near = family.neighbours, copied = new Set(near.memorised), count = near.count || near.distances.length;
    const row = familyStrip(family.name, "near", codes), far = (i) => near.distances[i] ?? Infinity;
    const framed = `${copied.size ? number(copied.size) : "None"} of the ${number(count)} shown ${copied.size === 1 ? "is" : "are"} framed`;
    row.note.textContent = [near.share, framed].filter(Boolean).join(". ");
    const limit = isNumber(near.closest) ? `; framed below ${decimal(near.closest)}` : "";
    const draw = painter(row, {
      meta: { count, resolution: near.resolution || data.resolution },
      sources: () => [{ src: near.published, caption: "samples" }, { src: near.nearest, caption: "nearest training images" }],
      aria: () => `${family.name}, closest first; ${framed}`,
      view: () => ({ whole: state.every, lines: 2 }),
      order: range(count).sort((a, b) => far(a) - far(b) || a - b),
      framed: (tile) => copied.has(tile),
      describe: (tile) => `sample ${number(tile + 1)}: distance ${decimal(near.distances[tile])}${limit}`,
    });
    return { row, draw };
  };
  const neighbours = (data, codes) => {
    const place = find("#near"), state = { every: false };
    if (!place) return;
    const rows = data.families.filter((family) => family.neighbours).map((family) => neighbourRow(data, codes, state, family));
    const draw = () => { for (const row of rows) row.draw(); };
    place.append(...rows.map(({ row }) => row.node));
    find("#near-tools").append(toggle("All pairs", false, (on) => { state.every = on; draw(); }));
    onResize(place, draw);
    draw();
  };

  Object.assign(Atelier, { entriesOf, viewOf, samples, showSamples, neighbours });
})();
