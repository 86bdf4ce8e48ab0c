/* One sample, enlarged: what it was made from, its neighbours along seeds and steps, its star and its address. */
"use strict";
(() => {
  const { el, clamp, isNumber, number, duration, remember, sheets } = Atelier;

  // ---------------------------------------------------------------- stars, which this browser keeps

  const STARS = "atelier-stars";
  const same = (a, b) => ["run", "family", "step", "sample"].every((name) => a[name] === b[name]);
  const readList = (key) => {
    try {
      const list = JSON.parse(remember(key) || "[]");
      return Array.isArray(list) ? list : [];
    } catch { return []; }
  };
  const starsOf = (runs) => readList(STARS).filter((star) => star && runs.includes(star.run));
  const starOf = ({ entry, grid, sample }) => ({ run: entry.run, family: entry.family, step: grid.step, sample });
  const isStarred = (place) => readList(STARS).some((star) => same(star, starOf(place)));
  const star = (place, on) => {
    const others = readList(STARS).filter((one) => !same(one, starOf(place)));
    remember(STARS, JSON.stringify(on ? [...others, starOf(place)] : others));
  };

  // ---------------------------------------------------------------- the dialog

  const SIDE = 448; // pixels of the enlarged sample on the page, at most
  /* The pictures of a sample: its input where there is one, itself, and the truth. */
  const partsOf = ({ entry, grid }) => [
    { name: entry.source || "source", src: entry.samples.given },
    { name: entry.samples.given || entry.samples.originals ? "output" : "", src: grid.src },
    { name: entry.samples.given ? "truth" : "original", src: entry.samples.originals },
  ].filter(({ src }) => src);
  const paintParts = async (place, box) => {
    const parts = partsOf(place), side = Math.min(SIDE, Math.max(96, Math.floor((Math.min(innerWidth, 1200) - 120) / parts.length)));
    const figures = parts.map(({ name }) => el("figure", {}, el("canvas", { role: "img", "aria-label": name || "the sample" }), name ? el("figcaption", {}, name) : null));
    box.replaceChildren(...figures);
    const imgs = await Promise.all(parts.map(({ src }) => sheets.loadImage(src)));
    figures.forEach((figure, i) => { if (imgs[i]) sheets.paintTile(figure.firstChild, imgs[i], place.entry.resolution, place.sample, side); });
  };
  const describe = ({ entry, grid, sample }, view) => {
    const title = entry.titleOf ? entry.titleOf(sample) : "", most = entry.samples.count;
    return [
      view.dims.includes("run") ? `run ${entry.run}` : null, `step ${number(grid.step)}${grid.step === entry.kept ? ", kept" : ""}`,
      isNumber(grid.seconds) ? `after ${duration(grid.seconds)}` : null, `sample ${number(sample + 1)}${most ? ` of ${number(most)}` : ""}`, title,
    ].filter(Boolean).join(" · ");
  };
  /* The neighbour of a place: other samples to the left and right, other steps above and below, other entries by page keys. */
  const moved = (place, view, [samples, steps, entries]) => {
    const all = view.entries, entry = all[(all.indexOf(place.entry) + entries + all.length) % all.length];
    const { grids, count } = entry.samples, at = entries ? grids.filter((g) => g.step <= place.grid.step).length - 1 : grids.indexOf(place.grid);
    return { entry, grid: grids[clamp(at + steps, 0, grids.length - 1)], sample: clamp(place.sample + samples, 0, (count || Infinity) - 1) };
  };
  const KEYS = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, -1], PageDown: [0, 0, 1] };
  /* Returns how to open the dialog at {entry, grid, sample}. */
  const viewer = (view) => {
    let place = null;
    const title = el("h3", { id: "viewed" }), facts = el("p", { class: "muted", "aria-live": "polite" }), box = el("div", { class: "parts" });
    const starButton = el("button", { type: "button", "aria-pressed": "false" });
    const copied = el("span", { class: "muted", role: "status" });
    const close = el("button", { type: "button", class: "quiet", "aria-label": "Close" }, "✕");
    const step = (label, name, move) => el("button", { type: "button", "aria-label": name, title: name, onclick: () => show(moved(place, view, move)) }, label);
    const dialog = el("dialog", { class: "viewer", "aria-labelledby": "viewed" }, el("header", {}, title, close), facts, box, el("div", { class: "tools" },
      el("span", { class: "segment" }, step("‹", "Previous sample (left)", KEYS.ArrowLeft), step("›", "Next sample (right)", KEYS.ArrowRight)),
      el("span", { class: "segment" }, step("Earlier", "Earlier step (down)", KEYS.ArrowDown), step("Later", "Later step (up)", KEYS.ArrowUp)),
      view.entries.length > 1 ? el("span", { class: "segment" }, step("↑", "Previous family (page up)", KEYS.PageUp), step("↓", "Next family (page down)", KEYS.PageDown)) : null,
      starButton, el("button", { type: "button", onclick: () => copyLink(copied) }, "Copy link"), copied));
    const show = (next) => {
      place = next;
      const on = isStarred(place);
      title.textContent = place.entry.family;
      facts.textContent = describe(place, view);
      starButton.textContent = on ? "★ Starred" : "☆ Star";
      starButton.setAttribute("aria-pressed", String(on));
      copied.textContent = "";
      paintParts(place, box);
      view.change({ run: place.entry.run, family: place.entry.family, sample: place.sample, enlarged: true, at: view.atStep(place.grid.step, place.entry.family) });
      if (!dialog.open) dialog.showModal();
    };
    const flip = () => {
      if (!place) return;
      star(place, !isStarred(place));
      show(place);
      view.starred();
    };
    starButton.addEventListener("click", flip);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); }); // the backdrop
    dialog.addEventListener("close", () => view.change({ enlarged: false }));
    dialog.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (KEYS[e.key]) { e.preventDefault(); show(moved(place, view, KEYS[e.key])); }
      if (e.key === "s") flip();
    });
    view.starred = view.starred || (() => {});
    document.body.append(dialog);
    return show;
  };
  const copyLink = (said) => {
    const done = () => { said.textContent = "Copied"; };
    const failed = () => { said.textContent = "Copy it from the address bar"; };
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(done, failed);
    else failed();
  };

  // ---------------------------------------------------------------- the starred samples of a page

  const THUMB = 72;
  const starredList = (place, view) => {
    const runs = [...new Set(view.entries.map((entry) => entry.run))];
    const draw = () => {
      const places = starsOf(runs).map((one) => {
        const entry = view.entries.find(({ run, family }) => run === one.run && family === one.family), grid = entry && entry.samples.grids.find((g) => g.step === one.step);
        return grid && Number.isInteger(one.sample) && one.sample >= 0 ? { entry, grid, sample: one.sample } : null;
      }).filter(Boolean);
      place.replaceChildren(...(places.length ? [el("h3", {}, "Starred"), el("div", { class: "starred" }, places.map((one) => thumb(one, view)))] : []));
    };
    view.starred = draw;
    draw();
  };
  const thumb = (place, view) => {
    const canvas = el("canvas", { "aria-hidden": "true" }), { entry, grid, sample } = place;
    sheets.loadImage(grid.src).then((img) => { if (img) sheets.paintTile(canvas, img, entry.resolution, sample, THUMB); });
    return el("button", { type: "button", class: "tile", onclick: () => view.enlarge(place) }, canvas, el("small", {}, `${entry.family}, step ${number(grid.step)}`));
  };

  Object.assign(Atelier, { viewer, starredList, starsOf, readList });
})();
