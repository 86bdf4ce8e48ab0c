/* Samples of families that translate or enlarge: source, output and truth side by side, and two of them under a divider. */
"use strict";
(() => {
  const { el, toggle, clamp, range, number, sheets } = Atelier;
  const { loadImage, layout, sheetSize } = sheets;

  const SIDE = 420; // pixels of an enlarged tile on the page, about

  /* The columns of a family's samples that have a picture. */
  const columnsOf = ({ source, samples }, current) => [
    { name: source, src: samples.given },
    { name: "output", src: current(samples.grids).src },
    { name: "truth", src: samples.originals },
  ].filter(({ src }) => src);
  /* The other direction of a family, as a family of its own. */
  const reversed = (view) => ({ ...view, way: "backward, ", family: { ...view.family, source: "image", samples: view.family.samples.backward } });

  // ---------------------------------------------------------------- side by side

  /* Draws the tiles whose numbers are in `which`, each as a group with a tile of every column. */
  const paintGroups = (canvas, imgs, resolution, plan, which, perLine) => {
    const { tile, gap, dpr } = plan, between = Math.round(14 * dpr), group = imgs.length * (tile + gap) - gap;
    const across = Math.min(perLine, which.length), { columns } = sheetSize(imgs[0], resolution);
    canvas.width = across * (group + between) - between;
    canvas.height = Math.ceil(which.length / across) * (tile + between) - between;
    canvas.style.width = `${canvas.width / dpr}px`;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = plan.smooth;
    which.forEach((t, i) => imgs.forEach((img, c) => {
      const x = (i % across) * (group + between) + c * (tile + gap), y = Math.floor(i / across) * (tile + between);
      pen.drawImage(img, (t % columns) * resolution, Math.floor(t / columns) * resolution, resolution, resolution, x, y, tile, tile);
    }));
  };
  /* Draws the groups of a family; on the page as many as fit into a few lines, or all. */
  const groups = (lines, { family, meta, current, whole, step, way = "" }) => {
    const note = el("small"), canvas = el("canvas", { role: "img" });
    let turn = 0;
    lines.append(note, canvas);
    return async () => {
      const mine = ++turn, parts = columnsOf(family, current), { resolution } = meta;
      const imgs = await Promise.all(parts.map(({ src }) => loadImage(src)));
      if (mine !== turn) return;
      if (!resolution || imgs.some((img) => !img)) { note.textContent = "These grids cannot be read."; return; }
      const plan = layout(lines.clientWidth, resolution, false), between = Math.round(14 * plan.dpr);
      const group = parts.length * (plan.tile + plan.gap) - plan.gap;
      const perLine = Math.max(1, Math.floor((lines.clientWidth * plan.dpr + between) / (group + between)));
      const total = Math.min(meta.count || Infinity, ...imgs.map((img) => sheetSize(img, resolution).count));
      const which = range(whole() ? total : Math.min(total, 3 * perLine));
      note.textContent = `${way}${parts.map(({ name }) => name).join(", ")}, from left to right`;
      canvas.setAttribute("aria-label", `${which.length} samples of ${family.name}, ${step()}: ${note.textContent}`);
      paintGroups(canvas, imgs, resolution, plan, which, perLine);
    };
  };

  // ---------------------------------------------------------------- divider

  /* One sample, enlarged: its left part from one column, its right part from another, a line between them. */
  const paintDivided = (canvas, [left, right], resolution, tile, at, width) => {
    const dpr = devicePixelRatio || 1, zoom = Math.max(1, Math.floor((Math.min(SIDE, width) * dpr) / resolution));
    const side = zoom * resolution, cut = Math.round(side * at), pen = canvas.getContext("2d");
    canvas.width = canvas.height = side;
    const draw = (img, from, to) => {
      const { columns } = sheetSize(img, resolution), x = (tile % columns) * resolution, y = Math.floor(tile / columns) * resolution;
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, side);
      pen.clip();
      pen.imageSmoothingEnabled = false;
      pen.drawImage(img, x, y, resolution, resolution, 0, 0, side, side);
      pen.restore();
    };
    draw(left, 0, cut);
    draw(right, cut, side);
    const thick = Math.max(2, Math.round(2 * dpr)), knob = Math.round(9 * dpr);
    pen.fillStyle = "#fff";
    pen.strokeStyle = "#1b1c1e";
    pen.fillRect(cut - thick, 0, 2 * thick, side);
    pen.strokeRect(cut - thick, -thick, 2 * thick, side + 2 * thick);
    pen.beginPath();
    pen.arc(clamp(cut, knob, side - knob), side / 2, knob, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
    canvas.style.width = `${side / dpr}px`;
  };
  /* The view under the samples of a family that enlarges. Its divider is a slider, so that keys move it too. */
  const divided = (place, { family, meta, current }) => {
    const state = { tile: 0, truth: false, count: 1 }, canvas = el("canvas", { role: "img" });
    const divider = el("input", { type: "range", min: 0, max: 100, step: 1, value: 50, class: "divider" });
    const [left, right] = [el("span", { class: "side" }), el("span", { class: "side" })], which = el("output");
    const turnTo = (tile) => { state.tile = (tile + state.count) % state.count; draw(); };
    const button = (label, step) => el("button", { type: "button", "aria-label": `${step > 0 ? "Next" : "Previous"} sample of ${family.name}`, onclick: () => turnTo(state.tile + step) }, label);
    const truth = family.samples.originals ? toggle("Against the truth", false, (on) => { state.truth = on; draw(); }) : null;
    place.append(el("figure", { class: "compare" },
      el("div", { class: "stage" }, canvas, divider),
      el("div", { class: "sides" }, left, right),
      el("figcaption", {}, el("span", { class: "segment" }, button("‹", -1), button("›", 1)), which, truth)));
    let turn = 0;
    const draw = async () => {
      const mine = ++turn, [source, output, real] = columnsOf(family, current), { resolution } = meta;
      const pair = state.truth ? [output, real] : [source, output];
      const imgs = await Promise.all(pair.map(({ src }) => loadImage(src)));
      if (mine !== turn || !resolution || imgs.some((img) => !img)) return;
      state.count = Math.min(meta.count || Infinity, ...imgs.map((img) => sheetSize(img, resolution).count));
      [left.textContent, right.textContent] = [`← ${pair[0].name}`, `${pair[1].name} →`];
      which.textContent = `sample ${number(state.tile + 1)} of ${number(state.count)}`;
      divider.setAttribute("aria-label", `Divider between ${pair[0].name} and ${pair[1].name} of ${family.name}`);
      divider.setAttribute("aria-valuetext", `${divider.value} % ${pair[0].name}`);
      canvas.setAttribute("aria-label", `${which.textContent} of ${family.name}, enlarged: ${pair[0].name} on the left, ${pair[1].name} on the right`);
      paintDivided(canvas, imgs, resolution, state.tile, divider.value / 100, place.clientWidth);
    };
    divider.addEventListener("input", draw);
    return draw;
  };

  /* Draws all of a family into its row: view has {family, meta, current, whole, step}. */
  const translations = (row, view) => {
    const draws = [groups(row.lines, view)];
    if (view.family.samples.backward) draws.push(groups(row.lines, reversed(view)));
    if (view.family.divider) draws.push(divided(row.lines, view));
    return () => Promise.all(draws.map((draw) => draw()));
  };

  Object.assign(Atelier, { translations });
})();
