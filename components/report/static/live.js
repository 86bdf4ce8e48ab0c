/* The page of a running run: it loads itself again when a newer one has been built, and keeps the reader's place. */
"use strict";
(() => {
  const { data, el, find, all } = Atelier;
  const EVERY = 15_000; // milliseconds between looks
  const KEY = `atelier-place-${data.run_id}`;

  // ---------------------------------------------------------------- the reader's place

  const session = (value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(KEY);
      if (value === null) sessionStorage.removeItem(KEY);
      else sessionStorage.setItem(KEY, value);
    } catch { /* no storage */ }
    return null;
  };
  /* The section at the top of the window: what is built above it may grow. */
  const anchor = () => {
    const section = all("section[id]").filter((node) => node.getBoundingClientRect().top <= 80).pop();
    return section ? { id: section.id, by: section.getBoundingClientRect().top } : { id: null, by: -scrollY };
  };
  /* Each group of a leaderboard has details of the same title: they are counted. */
  const titled = () => {
    const seen = new Map();
    return all("details").map((details) => {
      const title = `${(details.closest("[id]") || document.body).id} ${find("summary", details).textContent}`;
      seen.set(title, (seen.get(title) || 0) + 1);
      return { details, title: `${title} ${seen.get(title)}` };
    });
  };
  const titles = (open) => titled().filter(({ details }) => details.open === open).map(({ title }) => title);
  const save = (view) => session(JSON.stringify({
    ...anchor(), open: titles(true), shut: titles(false), focus: document.activeElement && document.activeElement.id,
    view: { axis: view.axis, at: view.at, latest: view.at === view.points[view.points.length - 1], rows: view.rows, columns: view.columns, family: view.family, sample: view.sample },
  }));
  const restore = (view) => {
    const text = session();
    if (!text) return;
    session(null);
    const place = JSON.parse(text), { axis, at, latest, ...chosen } = place.view;
    for (const { details, title } of titled()) {
      if (place.open.includes(title)) details.open = true;
      if (place.shut.includes(title)) details.open = false;
    }
    Object.assign(view, chosen);
    if (view.axes.includes(axis) && view.points.length) {
      view.setAxis(axis);
      view.at = latest ? view.points[view.points.length - 1] : view.points.filter((x) => x <= at).pop() ?? view.points[0];
    }
    for (const listen of view.listeners) listen(view);
    history.scrollRestoration = "manual";
    const go = () => {
      const section = place.id && document.getElementById(place.id);
      scrollTo(0, (section ? section.getBoundingClientRect().top + scrollY : 0) - place.by);
    };
    go();
    addEventListener("load", () => setTimeout(go, 50));
    if (place.focus && document.getElementById(place.focus)) document.getElementById(place.focus).focus({ preventScroll: true });
  };

  // ---------------------------------------------------------------- looking for a newer page

  const live = (view) => {
    restore(view);
    const note = find("#live");
    if (!note) return; // the run has ended
    const state = { paused: false };
    const button = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
      state.paused = !state.paused;
      button.setAttribute("aria-pressed", String(state.paused));
    } }, "Pause");
    note.replaceChildren(el("span", {}, "This page refreshes itself while the run goes on, and keeps your place."), button);
    Atelier.receive = ({ stamp }) => {
      if (stamp === data.stamp || busy()) return;
      save(view);
      location.reload();
    };
    const busy = () => state.paused || document.hidden || Boolean(find("dialog[open], .duel-on"));
    setInterval(() => {
      if (busy()) return;
      const script = el("script", { src: `run-data.js?${Date.now()}`, onload: () => script.remove(), onerror: () => script.remove() });
      document.head.append(script);
    }, EVERY);
  };

  Object.assign(Atelier, { live });
})();
