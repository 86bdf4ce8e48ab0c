/* What the scripts of all pages share, in the one name Atelier. Data comes from the inlined JSON and reaches the page as text nodes only. */
"use strict";
globalThis.Atelier = (() => {
  const root = document.documentElement;
  root.dataset.errors = "0";
  const countError = () => { root.dataset.errors = String(Number(root.dataset.errors) + 1); };
  window.addEventListener("error", countError);
  window.addEventListener("unhandledrejection", countError);

  // ---------------------------------------------------------------- elements

  const SVG = "http://www.w3.org/2000/svg";
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const toggle = (label, pressed, change) => {
    const press = (e) => {
      const now = e.currentTarget.getAttribute("aria-pressed") !== "true";
      e.currentTarget.setAttribute("aria-pressed", String(now));
      change(now);
    };
    return el("button", { type: "button", "aria-pressed": String(pressed), onclick: press }, label);
  };
  const select = (label, options, value, change) => {
    const box = el("select", { onchange: () => change(box.value) },
      options.map(([option, name]) => el("option", { value: option, selected: option === value }, name)));
    return el("label", {}, label, box);
  };
  const empty = (place, sentence) => place.append(el("p", { class: "empty" }, sentence));
  const readoutLine = () => el("p", { class: "readout", "aria-live": "polite" });

  /* Calls redraw() whenever the width of a node changes. */
  const onResize = (node, redraw) => {
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(node.clientWidth - width) <= 1) return;
      width = node.clientWidth;
      redraw();
    }).observe(node);
  };
  /* Reads or writes what the browser remembers; a file:// page may have no storage. */
  const remember = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* no storage */ }
    return null;
  };

  // ---------------------------------------------------------------- values and their text, as components/report/formatting.py writes them

  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
  const unique = (list) => [...new Set(list)];
  const range = (n) => [...Array(n).keys()];
  const ascending = (a, b) => a - b;
  const extent = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en-US") : decimal(value));
  const decimal = (value, digits = 3) => {
    if (!isNumber(value)) return value === null || value === undefined ? "–" : String(value);
    const size = Math.abs(value);
    if (size >= 10 ** (digits - 1)) return Math.round(value).toLocaleString("en-US");
    if (size && size < 1e-5) return value.toExponential(1);
    return value.toFixed(Math.max(0, digits - 1 - (size ? Math.floor(Math.log10(size)) : 0)));
  };
  const count = (value) => {
    if (!isNumber(value)) return "–";
    for (const [size, unit, by] of [[1e9, "G", 1e9], [1e6, "M", 1e6], [1e4, "k", 1e3]]) {
      if (Math.abs(value) >= size) return `${number(value / by)} ${unit}`;
    }
    return Math.round(value).toLocaleString("en-US");
  };
  const size = (bytes) => {
    let value = bytes, unit = 0;
    for (; value >= 1000 && unit < 4; unit += 1) value /= 1000;
    return unit ? `${value.toFixed(1)} ${["B", "kB", "MB", "GB", "TB"][unit]}` : `${Math.round(value)} B`;
  };
  const twoDigits = (n) => String(n).padStart(2, "0");
  const duration = (s) => {
    if (!isNumber(s)) return "–";
    if (s < 99.5) return s < 9.95 ? `${s.toFixed(1)} s` : `${Math.round(s)} s`;
    const minutes = Math.floor(Math.round(s) / 60);
    if (minutes < 60) return `${minutes} min ${twoDigits(Math.round(s) % 60)} s`;
    if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
    return `${(minutes / 1440).toFixed(1)} days`;
  };
  const day = (iso) => {
    const when = new Date(iso);
    return iso && !Number.isNaN(when.getTime()) ? when.toISOString().slice(0, 16).replace("T", " ") : "–";
  };

  // ---------------------------------------------------------------- signs: colour is never the only one

  /* A family, or a line of a chart, has a colour, a dash and a marker. */
  const DASHES = [null, "7 3", "2 3", "9 3 2 3", "4 2", "12 3", "1 2", "6 2 1 2 1 2"];
  const code = (i) => ({ cls: `s${i % 10}`, dash: DASHES[(i + Math.floor(i / 8)) % 8], shape: (i + 3 * Math.floor(i / 8)) % 5 });
  const POLYGONS = {
    2: [[0, -1.25], [1.15, 0.85], [-1.15, 0.85]],
    3: [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
    4: [[0, 1.25], [1.15, -0.85], [-1.15, -0.85]],
    5: [[0, 0.45], [0.75, 1.2], [1.2, 0.75], [0.45, 0], [1.2, -0.75], [0.75, -1.2],
      [0, -0.45], [-0.75, -1.2], [-1.2, -0.75], [-0.45, 0], [-1.2, 0.75], [-0.75, 1.2]],
  };
  const marker = (shape, x, y, r, cls) => {
    if (shape === 0) return svg("circle", { cx: x, cy: y, r, class: cls });
    if (shape === 1) return svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, class: cls });
    return svg("polygon", { points: POLYGONS[shape].map(([a, b]) => `${x + a * r},${y + b * r}`).join(" "), class: cls });
  };
  const swatch = ({ cls, dash, shape }, withMarker) => svg("svg", { viewBox: "0 0 22 10", class: cls, "aria-hidden": "true" },
    svg("line", { x1: 0, y1: 5, x2: 22, y2: 5, class: "line", "stroke-dasharray": dash }),
    withMarker ? marker(shape, 11, 5, 3.4, "mark") : null);

  /* A diagnosis has the shape of its disease; a hollow sign was only observed. */
  const DISEASES = ["mode_collapse", "divergence", "generator_too_strong", "oscillation", "vanishing_gradients", "non_finite"];
  const sign = ({ disease, action, said }, x, y, r) => {
    const shape = Math.max(0, DISEASES.indexOf(disease));
    return svg("g", { class: action === "observed" ? "observed" : null }, said ? svg("title", {}, said) : null, marker(shape, x, y, r, "disease"));
  };
  const signIcon = (event) => svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, sign(event, 7, 7, 5));

  return {
    root, el, svg, find, all, toggle, select, empty, readoutLine, onResize, remember,
    clamp, isNumber, unique, range, ascending, extent, short, number, decimal, count, size, twoDigits, duration, day,
    code, marker, swatch, sign, signIcon,
    data: JSON.parse(find("#data").textContent),
  };
})();
