/* What is shown of samples through training: the slider and its axis, and the address that opens the same view elsewhere. */
"use strict";
(() => {
  const { el, find, all, select, clamp, isNumber, unique, ascending, number, count, duration, signIcon } = Atelier;

  // ---------------------------------------------------------------- the address

  /* The part after # as names and values; empty if it is the name of a section. */
  const readAddress = () => Object.fromEntries(location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : []);
  const writeAddress = (values) => {
    const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
    try { history.replaceState(null, "", `#${new URLSearchParams(kept)}`); } catch { /* an old browser, from a file */ }
  };

  // ---------------------------------------------------------------- the view

  const AXES = {
    step: { label: "Steps", text: (at, last) => `step ${number(at)} of ${number(last)}` },
    images: { label: "Images seen", text: (at, last) => `${count(at)} of ${count(last)} images` },
    seconds: { label: "Minutes", text: (at, last) => `${duration(at)} of ${duration(last)}` },
  };
  /* entries: [{run, family, samples, steps, kept}]; steps are those of a training that has not ended. The view says where the slider stands and what the reader has chosen;
     change() takes what changes, tells the listeners and writes the address. */
  const newView = (entries, chosen = {}) => {
    const grids = entries.flatMap(({ samples }) => samples.grids);
    const axes = Object.keys(AXES).filter((axis) => grids.every((grid) => isNumber(grid[axis])));
    const view = {
      entries, axes: axes.length ? axes : ["step"], axis: "step", at: 0, points: [], rows: "family", columns: "sample", whole: false,
      run: null, family: null, sample: null, enlarged: false, ...chosen, listeners: [],
    };
    /* The entries that are shown: of the run and the family that the reader has chosen, where these are neither rows nor columns. */
    const fixed = () => ["run", "family"].filter((dim) => (view.dims || []).includes(dim) && dim !== view.rows && dim !== view.columns);
    view.shown = () => entries.filter((entry) => fixed().every((dim) => view[dim] === null || entry[dim] === view[dim]));
    const along = (axis, of = view.shown()) => unique(of.flatMap(({ samples }) => samples.grids.map((grid) => grid[axis]))).sort(ascending);
    view.pointsOf = (of) => along(view.axis, of);
    view.gridOf = ({ samples }, at = view.at) => samples.grids.filter((grid) => grid[view.axis] <= at).pop() || samples.grids[0];
    /* A training that has not ended goes on after the last point: its steps are known, its images and seconds are not. */
    view.text = () => {
      const last = view.points[view.points.length - 1], planned = Math.max(0, ...view.shown().map(({ steps }) => steps || 0));
      return planned && view.axis !== "step" ? `${AXES[view.axis].text(view.at, last)} so far` : AXES[view.axis].text(view.at, Math.max(last, planned));
    };
    /* The step of a family at the slider, for charts over steps. */
    view.stepOf = (name) => {
      const entry = view.axis === "step" ? null : entries.find(({ family }) => family === name);
      return entry ? view.gridOf(entry).step : view.at;
    };
    const usual = [view.rows, view.columns], isUsual = () => view.rows === usual[0] && view.columns === usual[1];
    view.address = () => ({
      ...view.also, run: view.run, family: view.family, [view.axis]: view.at, sample: view.sample === null || (isUsual() && !view.enlarged) ? null : view.sample + 1,
      ...(isUsual() ? {} : { rows: view.rows, columns: view.columns, enlarged: view.enlarged ? 1 : null }),
    });
    const atEnd = () => view.at === view.points[view.points.length - 1];
    /* Gives the slider the points of what is shown now; if it was at the end, it stays there. */
    const settle = (ended) => {
      for (const dim of fixed()) if (view[dim] === null && entries.length) view[dim] = entries[0][dim];
      const points = along(view.axis);
      if (!points.length || points.join() === view.points.join()) return;
      view.points = points;
      view.at = ended ? points[points.length - 1] : points.filter((x) => x <= view.at).pop() ?? points[0];
    };
    view.change = (values) => {
      const ended = !("at" in values) && atEnd();
      Object.assign(view, values);
      settle(ended);
      for (const listen of view.listeners) listen(view);
      writeAddress(view.address());
    };
    view.setAxis = (axis) => {
      const share = view.points.indexOf(view.at) / Math.max(1, view.points.length - 1);
      view.axis = axis;
      view.points = along(axis);
      view.at = view.points[Math.round(share * (view.points.length - 1))];
    };
    /* The value of the slider that shows a step of a family, or of all. */
    view.atStep = (step, name) => {
      const of = entries.filter(({ family }) => !name || family === name), known = (of.length ? of : entries).flatMap(({ samples }) => samples.grids);
      const grid = known.filter((g) => g.step <= step).sort((a, b) => a.step - b.step).pop() || known[0];
      const points = along("step");
      return view.axis === "step" ? points.filter((s) => s <= step).pop() ?? points[0] : grid[view.axis];
    };
    /* Takes over what the address says; what does not exist here is left out. */
    view.open = () => {
      const given = readAddress(), axis = view.axes.find((name) => isNumber(parseFloat(given[name])));
      const names = { run: unique(entries.map((e) => e.run)), family: unique(entries.map((e) => e.family)), rows: view.dims, columns: view.dims };
      for (const [name, known] of Object.entries(names)) if ((known || []).includes(given[name])) view[name] = given[name];
      if (view.rows === view.columns) view.columns = view.rows === "sample" ? "step" : "sample";
      settle(true);
      if (axis) { view.setAxis(axis); view.at = view.points.filter((x) => x <= parseFloat(given[axis])).pop() ?? view.points[0]; }
      const sample = parseInt(given.sample, 10) - 1;
      view.sample = sample >= 0 ? sample : view.sample;
      view.enlarged = sample >= 0 && (isUsual() || Boolean(given.enlarged));
      return Object.keys(given).length > 0;
    };
    view.points = along("step");
    view.at = view.points[view.points.length - 1];
    return view;
  };

  // ---------------------------------------------------------------- the player

  /* Diagnoses over the slider, which moves from grid to grid; those that would cover each other share a sign. */
  const signsOf = (view, families, go) => {
    const along = (event) => {
      const at = event[view.axis], after = view.points.findIndex((x) => x >= at), i = after < 0 ? view.points.length - 1 : after;
      return i ? (i - 1 + clamp((at - view.points[i - 1]) / (view.points[i] - view.points[i - 1]), 0, 1)) / (view.points.length - 1) : 0;
    };
    const places = new Map();
    for (const event of families.flatMap((family) => (family.health || {}).events || []).filter((e) => isNumber(e[view.axis]))) {
      const place = Math.round(along(event) * 60) / 60;
      places.set(place, [...(places.get(place) || []), event]);
    }
    return [...places].map(([place, events]) => {
      const [first] = events, more = events.length > 5 ? `and ${number(events.length - 5)} more` : [];
      const title = events.slice(0, 5).map((event) => event.said).concat(more).join("\n");
      const link = el("a", { class: "sign", href: `#${first.id}`, title, "aria-label": title, tabindex: -1, onclick: () => go(first.step) }, signIcon({ ...first, said: null }));
      link.style.left = `calc(8px + ${place} * (100% - 16px))`; // the middle of a thumb 16 px wide
      return link;
    });
  };
  const STEP_KEYS = { ArrowLeft: -1, ArrowRight: 1 };
  const playButton = (control) => {
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "▶ Play"; };
    const advance = () => {
      const next = control.at() + 1;
      if (next <= control.last()) control.set(next);
      if (next >= control.last()) stop();
    };
    const press = () => {
      if (timer) { stop(); return; }
      if (control.at() === control.last()) control.set(0);
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
    control.set(clamp(control.at() + move, 0, control.last()));
  });
  /* The slider over the points of the view, with a button that plays, and the choice of its axis. */
  const player = (place, view, { families = [], extras = [] }) => {
    const out = el("output", { for: "step" }), track = el("span", { class: "track" });
    const slider = el("input", { type: "range", id: "step", min: 0, step: 1, "aria-label": "Point of training of all samples" });
    const control = { at: () => Number(slider.value), last: () => view.points.length - 1, set: (i) => view.change({ at: view.points[i] }) };
    const { button, stop } = playButton(control);
    view.go = (step, family) => { stop(); view.change({ at: view.atStep(step, family) }); };
    const shown = { points: null };
    const show = () => {
      slider.max = control.last();
      slider.value = view.points.indexOf(view.at);
      out.textContent = view.text();
      slider.setAttribute("aria-valuetext", out.textContent);
      const points = `${view.axis} ${view.points}`;
      if (shown.points === points) return;
      shown.points = points;
      for (const sign of all(".sign", track)) sign.remove();
      track.append(...signsOf(view, families, view.go));
    };
    view.listeners.unshift(show);
    slider.addEventListener("input", () => { stop(); control.set(control.at()); });
    listenToKeys(control, stop);
    track.append(slider);
    const axis = select("Axis", view.axes.map((name) => [name, AXES[name].label]), view.axis, (name) => { stop(); view.setAxis(name); view.change({}); });
    place.append(button, track, out, view.axes.length > 1 ? axis : "", ...extras);
    view.listeners.push(() => { find("select", axis).value = view.axis; });
    place.hidden = false;
  };

  Object.assign(Atelier, { address: { read: readAddress, write: writeAddress }, newView, player });
})();
