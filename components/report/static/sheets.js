/* Sheets of images: loading, cutting them into tiles, and drawing as many tiles as fit. */
"use strict";
(() => {
  const { el, all, range, swatch } = Atelier;

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
  const painter = (row, { meta, sources, what, aria, view, order, framed, describe, pick }) => {
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
        if (!pick) return;
        canvas.classList.add("pickable");
        canvas.onclick = (e) => {
          const tile = tileAt(e, plan, which);
          if (tile !== undefined) pick(tile);
        };
      });
    };
  };

  /* Draws one tile, about `side` pixels wide on the page. */
  const paintTile = (canvas, img, resolution, tile, side) => {
    const dpr = devicePixelRatio || 1, { columns } = sheetSize(img, resolution), zoom = (side * dpr) / resolution;
    const scale = zoom >= 1 ? Math.floor(zoom) : 1 / Math.ceil(1 / zoom), pen = canvas.getContext("2d");
    canvas.width = canvas.height = Math.max(1, Math.floor(resolution * scale));
    canvas.style.width = `${canvas.width / dpr}px`;
    pen.imageSmoothingEnabled = scale < 1;
    pen.drawImage(img, (tile % columns) * resolution, Math.floor(tile / columns) * resolution, resolution, resolution, 0, 0, canvas.width, canvas.height);
  };
  /* Describes a tile by its title or its class, if the sheet has any. */
  const tileClass = ({ labels, titles }, classes) => {
    if (titles) return (tile) => titles[tile] || "";
    if (!labels || !labels.length) return null;
    return (tile) => (labels[tile] === undefined || labels[tile] === null ? "" : `class ${(classes || [])[labels[tile]] ?? labels[tile]}`);
  };

  Object.assign(Atelier, { sheets: { loadImage, layout, sheetSize, paintTile, strip, familyStrip, painter, tileClass } });
})();
