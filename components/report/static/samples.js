/* Sheets of images on the page of a run: samples through training with their player, and nearest training images. */
"use strict";
(() => {
  const { el, all, find, toggle, empty, onResize, clamp, isNumber, unique, range, ascending, number, decimal, duration, swatch, signIcon } = Atelier;

  // ---------------------------------------------------------------- sheets

  const images = new Map();
  const loadImage = (src) => {
    if (!images.has(src)) images.set(src, new Promise((resolve) => {
      const img = new Image();
      img.onload = () => resolve(img);
      img.onerror = () => resolve(null);
      img.src = src;
    }));
    return images.get(src);
  };

  /* Whole device pixels per image pixel; tiles are cut from the sheet, so they flow into any width. */
  const layout = (width, resolution, framed) => {
    const dpr = devicePixelRatio || 1, want = 56 * dpr;
    const zoom = resolution <= 160 * dpr ? Math.max(1, Math.round(want / resolution)) : 1 / Math.ceil(resolution / (160 * dpr));
    const edge = framed ? Math.round(4 * dpr) : 0; // room for a frame around every tile
    const tile = Math.max(1, Math.floor(resolution * zoom)), gap = framed ? 2 * edge : Math.round(2 * dpr);
    return { dpr, tile, gap, edge, columns: Math.max(1, Math.floor((width * dpr + gap - 2 * edge) / (tile + gap))), smooth: zoom < 1 };
  };
  const sheetSize = (img, resolution) => {
    const [columns, rows] = [img.naturalWidth, img.naturalHeight].map((side) => Math.max(1, Math.floor(side / resolution)));
    return { columns, count: columns * rows };
  };
  const drawFrame = (pen, x, y, { tile, edge, dpr }) => {
    const thick = Math.round(2 * dpr), inner = tile + 2 * (edge - thick);
    pen.fillRect(x - edge, y - edge, tile + 2 * edge, tile + 2 * edge);
    pen.clearRect(x - edge + thick, y - edge + thick, inner, inner);
  };
  /* Draws the tiles whose numbers are in `which`; `framed` says which of them get a frame. */
  const paint = (canvas, img, resolution, plan, which, framed) => {
    const { columns } = sheetSize(img, resolution), { tile, gap, edge, dpr } = plan, across = Math.min(plan.columns, which.length), pitch = tile + gap;
    canvas.width = across * pitch - gap + 2 * edge;
    canvas.height = Math.ceil(which.length / across) * pitch - gap + 2 * edge;
    canvas.style.width = `${canvas.width / dpr}px`;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = plan.smooth;
    pen.fillStyle = "#d55e00";
    which.forEach((s, i) => {
      const x = edge + (i % across) * pitch, y = edge + Math.floor(i / across) * pitch;
      if (framed(s)) drawFrame(pen, x, y, plan);
      pen.drawImage(img, (s % columns) * resolution, Math.floor(s / columns) * resolution, resolution, resolution, x, y, tile, tile);
    });
  };

  // ---------------------------------------------------------------- rows of tiles

  const strip = (name, cls, key) => {
    const note = el("small"), lines = el("div", { class: "lines" });
    return { node: el("div", { class: `strip ${cls}` }, el("div", { class: "who" }, key, name, note), lines), note, lines };
  };
  const familyStrip = (name, cls, codes) => strip(name, cls, el("span", { class: "key" }, swatch(codes.get(name), true)));
  /* The tiles of each canvas: with several parts a line a canvas, so that parts alternate. */
  const blocksOf = (tiles, plan, parts, { lines, whole }) => {
    const perLine = Math.min(plan.columns, tiles.length), count = whole ? Math.ceil(tiles.length / perLine) : lines;
    const each = parts.length > 1 ? perLine : count * perLine;
    return range(parts.length > 1 ? count : 1).map((i) => tiles.slice(i * each, (i + 1) * each)).filter((block) => block.length);
  };
  const tileAt = (e, plan, which) => {
    const place = (at) => Math.floor((at - plan.edge / plan.dpr) / ((plan.tile + plan.gap) / plan.dpr));
    return which[place(e.offsetY) * Math.min(plan.columns, which.length) + place(e.offsetX)];
  };
  const canvasesFor = (row, drawn, parts) => {
    if (all("canvas", row.lines).length !== drawn.length) {
      row.lines.replaceChildren(...drawn.flatMap(({ part, p }, i) => [
        part.caption && i < parts.length ? el("small", {}, part.caption) : null, el("canvas", { role: "img", class: p ? null : "first" }),
      ]).filter(Boolean));
    }
    return all("canvas", row.lines);
  };
  /* One painter per row: it knows where its tiles come from, and draws what fits.
     view(): {lines, whole}, how many lines of tiles, and whether all of the sheet; order: the tiles to show, in order. */
  const painter = (row, { meta, sources, what, aria, view, order, framed, describe }) => {
    let turn = 0;
    return async () => {
      const mine = ++turn, parts = sources(), { resolution } = meta;
      const imgs = await Promise.all(parts.map((part) => loadImage(part.src))), last = imgs[imgs.length - 1];
      if (mine !== turn) return;
      if (!last || !resolution) { row.lines.replaceChildren(el("small", {}, "This grid cannot be read.")); return; }
      const plan = layout(row.lines.clientWidth, resolution, framed), wanted = view(parts), { columns } = sheetSize(last, resolution);
      const total = Math.min(...imgs.filter(Boolean).map((img) => Math.min(meta.count || Infinity, sheetSize(img, resolution).count)));
      if (wanted.whole && !order) plan.columns = range(columns).map((i) => columns - i).find((n) => columns % n === 0 && n <= plan.columns); // whole lines of the sheet
      const tiles = (order || range(total)).filter((i) => i < total), blocks = blocksOf(tiles, plan, parts, wanted);
      const drawn = blocks.flatMap((which) => parts.map((part, p) => ({ part, p, img: imgs[p], which }))).filter((b) => b.img);
      canvasesFor(row, drawn, parts).forEach((canvas, i) => {
        const { part, img, which } = drawn[i];
        paint(canvas, img, resolution, plan, which, framed || (() => false));
        canvas.setAttribute("aria-label", `${which.length} ${part.caption || what}, ${aria()}`);
        if (describe) canvas.onpointermove = (e) => {
          const tile = tileAt(e, plan, which);
          canvas.title = tile === undefined ? "" : describe(tile);
        };
      });
    };
  };

  // ---------------------------------------------------------------- samples through training

  /* Describes a tile by its title or its class, if the sheet has any. */
  const tileClass = ({ labels, titles }, classes) => {
    if (titles) return (tile) => titles[tile] || "";
    if (!labels || !labels.length) return null;
    return (tile) => (labels[tile] === undefined || labels[tile] === null ? "" : `class ${(classes || [])[labels[tile]] ?? labels[tile]}`);
  };
  const withResolution = (data, meta) => ({ ...meta, resolution: meta.resolution || data.resolution });
  const realRow = (data, state) => {
    const row = strip("Real images", "real"), { split, src } = data.real;
    row.note.textContent = `${split} split: what to aim for`;
    const draw = painter(row, {
      meta: withResolution(data, data.real), sources: () => [{ src }], what: "real images", aria: () => `${split} split`,
      view: () => ({ whole: state.wide, lines: 1 }), describe: tileClass(data.real, data.classes),
    });
    return { row, draw };
  };
  const familyRow = (data, codes, state, family) => {
    const row = familyStrip(family.name, "", codes), { grids, originals } = family.samples;
    const current = (of = grids) => of.filter((grid) => grid.step <= state.step).pop() || of[0];
    const parts = () => [
      ...(originals ? [{ src: originals, caption: "originals" }] : []),
      { src: current().src, ...(originals ? { caption: "reconstructions" } : {}) },
    ];
    const describeGrid = () => {
      const { step, seconds } = current(), after = isNumber(seconds) ? `, after ${duration(seconds).replaceAll(" ", "\u00a0")}` : "";
      return `step ${number(step)}${after}${step === family.kept ? ", kept" : ""}`;
    };
    const meta = withResolution(data, family.samples);
    const draw = family.source ? Atelier.translations(row, { family, meta, current, whole: () => state.wide, step: describeGrid }) : painter(row, {
      meta, sources: parts, what: `samples of ${family.name}`, aria: describeGrid,
      view: (shown) => ({ whole: state.wide, lines: shown.length > 1 ? 1 : 2 }), describe: tileClass(family.samples, data.classes),
    });
    return { row, kept: Boolean(family.source), draw: () => {
      row.note.textContent = describeGrid() + (family.state === "failed" ? ", then failed" : "");
      return draw();
    } };
  };

  /* Diagnoses over the slider, which moves from grid to grid; those that would cover each other share a sign. */
  const signs = (data, steps, state) => {
    const along = (step) => {
      const after = steps.findIndex((s) => s >= step), i = after < 0 ? steps.length - 1 : after;
      return i ? (i - 1 + clamp((step - steps[i - 1]) / (steps[i] - steps[i - 1]), 0, 1)) / (steps.length - 1) : 0;
    };
    const places = new Map();
    for (const event of data.families.flatMap((family) => (family.health || {}).events || [])) {
      const place = Math.round(along(event.step) * 60) / 60;
      places.set(place, [...(places.get(place) || []), event]);
    }
    return [...places].map(([place, events]) => {
      const [first] = events, more = events.length > 5 ? `and ${number(events.length - 5)} more` : [];
      const title = events.slice(0, 5).map((event) => event.said).concat(more).join("\n");
      const link = el("a", { class: "sign", href: `#${first.id}`, title, "aria-label": title, tabindex: -1, onclick: () => state.go(first.step) }, signIcon({ ...first, said: null }));
      link.style.left = `calc(8px + ${place} * (100% - 16px))`; // the middle of a thumb 16 px wide
      return link;
    });
  };

  const STEP_KEYS = { ArrowLeft: -1, ArrowRight: 1 };
  /* The slider over steps: set(i) moves it, to(step) moves it to a step; show() is called when it has moved. */
  const stepSlider = (steps, state, show) => {
    const out = el("output", { for: "step" }), last = steps.length - 1;
    const slider = el("input", { type: "range", id: "step", min: 0, max: last, step: 1, value: last, "aria-label": "Training step of all samples" });
    const set = (i) => {
      slider.value = i;
      state.step = steps[i];
      out.textContent = `step ${number(state.step)} of ${number(steps[last])}`;
      slider.setAttribute("aria-valuetext", out.textContent);
      show();
    };
    return { slider, out, set, last, at: () => Number(slider.value), to: (step) => set(Math.max(0, steps.filter((s) => s <= step).length - 1)) };
  };
  const playButton = (control) => {
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "▶ Play"; };
    const advance = () => {
      const next = control.at() + 1;
      if (next <= control.last) control.set(next);
      if (next >= control.last) stop();
    };
    const press = () => {
      if (timer) { stop(); return; }
      if (control.at() === control.last) control.set(0);
      button.textContent = "❚❚ Pause";
      timer = setInterval(advance, 700);
    };
    const button = el("button", { type: "button", class: "play", onclick: press }, "▶ Play");
    return { button, stop };
  };
  const listenToKeys = (control, stop) => document.addEventListener("keydown", (e) => {
    const move = STEP_KEYS[e.key], elsewhere = document.activeElement && document.activeElement !== document.body;
    if (!move || e.altKey || e.ctrlKey || e.metaKey || elsewhere) return;
    stop();
    control.set(clamp(control.at() + move, 0, control.last));
  });
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

  const samples = (data, codes, state, listeners) => {
    const place = find("#grids"), player = find("#player"), shown = data.families.filter((family) => family.samples.grids.length);
    if (!place) return;
    if (!shown.length) { empty(place, "No samples have been drawn yet."); return; }
    const steps = unique(shown.flatMap((family) => family.samples.grids.map((grid) => grid.step))).sort(ascending);
    const rows = [...(data.real ? [realRow(data, state)] : []), ...shown.map((family) => familyRow(data, codes, state, family))];
    place.append(...rows.map(({ row }) => row.node));
    const draw = () => { for (const row of rows) row.draw(); };
    const control = stepSlider(steps, state, () => { draw(); for (const listen of listeners) listen(state.step); });
    const { button, stop } = playButton(control);
    state.go = (step) => { stop(); control.to(step); };
    control.slider.addEventListener("input", () => { stop(); control.set(control.at()); });
    listenToKeys(control, stop);
    const segment = layoutButtons((whole) => {
      state.wide = whole;
      place.classList.toggle("grids-wide", whole);
      for (const { row, kept } of rows) if (!kept) row.lines.replaceChildren();
      draw();
    });
    player.append(button, el("span", { class: "track" }, control.slider, signs(data, steps, state)), control.out, segment);
    player.hidden = false;
    control.set(control.last);
    onResize(place, draw);
    addEventListener("load", () => { for (const family of shown) for (const grid of family.samples.grids) loadImage(grid.src); }); // so that playing does not wait
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

  Object.assign(Atelier, { samples, neighbours, sheets: { loadImage, layout, sheetSize } });
})();
