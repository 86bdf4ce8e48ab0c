/* Atelier's pages: one script, no dependencies. Data comes from the inlined JSON and reaches the page as text nodes only. */
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.errors = "0";
  const failed = () => { root.dataset.errors = String(Number(root.dataset.errors) + 1); };
  window.addEventListener("error", failed);
  window.addEventListener("unhandledrejection", failed);

  // ---------------------------------------------------------------- building blocks

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
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
  const unique = (list) => [...new Set(list)];

  // Numbers as components/report/text.py writes them.
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
    for (const [size, unit, by] of [[1e9, "G", 1e9], [1e6, "M", 1e6], [1e4, "k", 1e3]]) if (Math.abs(value) >= size) return `${number(value / by)} ${unit}`;
    return Math.round(value).toLocaleString("en-US");
  };
  const duration = (s) => {
    if (!isNumber(s)) return "–";
    if (s < 99.5) return s < 9.95 ? `${s.toFixed(1)} s` : `${Math.round(s)} s`;
    const minutes = Math.floor(Math.round(s) / 60);
    if (minutes < 60) return `${minutes} min ${String(Math.round(s) % 60).padStart(2, "0")} s`;
    return minutes < 2880 ? `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min` : `${(minutes / 1440).toFixed(1)} days`;
  };
  const day = (iso) => {
    const when = new Date(iso);
    return iso && !Number.isNaN(when.getTime()) ? when.toISOString().slice(0, 16).replace("T", " ") : "–";
  };

  // A family is told apart by colour, dash and marker, so that colour is never the only sign.
  const DASHES = [null, "7 3", "2 3", "9 3 2 3", "4 2", "12 3", "1 2", "6 2 1 2 1 2"];
  const code = (i) => ({ cls: `s${i % 10}`, dash: DASHES[(i + Math.floor(i / 8)) % 8], shape: (i + 3 * Math.floor(i / 8)) % 5 });
  const marker = (shape, x, y, r, cls) => {
    const at = (points) => points.map(([a, b]) => `${x + a * r},${y + b * r}`).join(" ");
    if (shape === 0) return svg("circle", { cx: x, cy: y, r, class: cls });
    if (shape === 1) return svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, class: cls });
    const points = { 2: [[0, -1.25], [1.15, 0.85], [-1.15, 0.85]], 3: [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]], 4: [[0, 1.25], [1.15, -0.85], [-1.15, -0.85]],
      5: [[0, 0.45], [0.75, 1.2], [1.2, 0.75], [0.45, 0], [1.2, -0.75], [0.75, -1.2], [0, -0.45], [-0.75, -1.2], [-1.2, -0.75], [-0.45, 0], [-1.2, 0.75], [-0.75, 1.2]] };
    return svg("polygon", { points: at(points[shape]), class: cls });
  };
  // A disease is told by its shape; a hollow sign was only observed.
  const DISEASES = ["mode_collapse", "divergence", "generator_too_strong", "oscillation", "vanishing_gradients", "non_finite"];
  const sign = ({ disease, action, said }, x, y, r) => {
    const shape = DISEASES.indexOf(disease);
    return svg("g", { class: action === "observed" ? "observed" : null }, said ? svg("title", {}, said) : null, marker(shape < 0 ? 0 : shape, x, y, r, "disease"));
  };
  const signIcon = (event) => svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, sign(event, 7, 7, 5));
  const swatch = ({ cls, dash, shape }, withMarker) => svg("svg", { viewBox: "0 0 22 10", class: cls, "aria-hidden": "true" },
    svg("line", { x1: 0, y1: 5, x2: 22, y2: 5, class: "line", "stroke-dasharray": dash }), withMarker ? marker(shape, 11, 5, 3.4, "mark") : null);

  const remember = (key, value) => { try { if (value === undefined) return localStorage.getItem(key); localStorage.setItem(key, value); } catch { /* a file:// page may have no storage */ } return null; };
  const toggle = (label, pressed, change) => el("button", { type: "button", "aria-pressed": String(pressed), onclick: (e) => {
    const now = e.currentTarget.getAttribute("aria-pressed") !== "true";
    e.currentTarget.setAttribute("aria-pressed", String(now));
    change(now);
  } }, label);
  const select = (label, options, value, change) => {
    const box = el("select", { onchange: () => change(box.value) }, options.map(([v, name]) => el("option", { value: v, selected: v === value }, name)));
    return el("label", {}, label, box);
  };

  // ---------------------------------------------------------------- on every page

  const theme = () => {
    const button = find("#theme");
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} theme`); };
    const saved = remember("atelier-theme");
    if (saved === "light" || saved === "dark") root.dataset.theme = saved;
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; remember("atelier-theme", root.dataset.theme); label(); });
    label();
    button.hidden = false;
  };

  const sortable = (table) => {
    const heads = all("thead th", table), body = find("tbody", table);
    const value = (row, i) => { const cell = row.cells[i]; return "sort" in cell.dataset ? cell.dataset.sort : cell.textContent.trim(); };
    const sort = (i, up) => {
      const text = heads[i].dataset.kind === "text";
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a, i), value(b, i)];
        if (x === "" || y === "") return (x === "") - (y === "");
        // What cannot be compared stays below what can, in either direction.
        const off = a.cells[i].classList.contains("off") - b.cells[i].classList.contains("off");
        return off || (text ? x.localeCompare(y) : Number(x) - Number(y)) * (up ? 1 : -1);
      });
      body.append(...rows);
      heads.forEach((head, j) => {
        head.setAttribute("aria-sort", j !== i ? "none" : up ? "ascending" : "descending");
        find(".arrow", head).textContent = j !== i ? "" : up ? "▴" : "▾";
      });
    };
    heads.forEach((head, i) => {
      const button = el("button", { type: "button", class: "sort" }, ...head.childNodes, el("span", { class: "arrow", "aria-hidden": "true" }));
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(i, head.getAttribute("aria-sort") === "none" ? head.dataset.better !== "higher" : head.getAttribute("aria-sort") === "descending"));
    });
  };

  const tips = () => {
    const pop = el("div", { id: "pop", hidden: true });
    document.body.append(pop);
    const hide = () => { pop.hidden = true; };
    const show = (tip) => {
      pop.replaceChildren(...[...find(".pop", tip).childNodes].map((node) => node.cloneNode(true)));
      pop.hidden = false;
      const box = tip.getBoundingClientRect(), size = pop.getBoundingClientRect();
      const above = box.bottom + size.height + 12 > innerHeight;
      pop.style.left = `${scrollX + clamp(box.right - size.width, 8, Math.max(8, root.clientWidth - size.width - 8))}px`;
      pop.style.top = `${scrollY + (above ? box.top - size.height - 8 : box.bottom + 8)}px`;
    };
    for (const tip of all(".tip")) {
      for (const event of ["mouseenter", "focus", "click"]) tip.addEventListener(event, () => show(tip));
      for (const event of ["mouseleave", "blur"]) tip.addEventListener(event, hide);
      tip.addEventListener("keydown", (e) => { if (e.key === "Escape") hide(); });
    }
    addEventListener("scroll", hide, { passive: true });
  };

  // A table of many measures opens with the main ones; without this script it shows them all.
  const measures = () => {
    const tables = all("table.board").filter((table) => find("th.more", table));
    const buttons = tables.map((table) => {
      const button = el("button", { type: "button", onclick: () => { show(root.dataset.measures !== "all"); remember("atelier-measures", root.dataset.measures); } }, `All ${all("th[data-better]", table).length} measures`);
      table.closest(".scroll").before(el("div", { class: "tools" }, button));
      return button;
    });
    const show = (every) => {
      root.dataset.measures = every ? "all" : "main";
      for (const button of buttons) button.setAttribute("aria-pressed", String(every));
    };
    show(remember("atelier-measures") === "all");
  };

  // ---------------------------------------------------------------- line charts

  const scale = (low, high, from, to, log) => {
    const f = log ? Math.log10 : (x) => x;
    const [a, b] = [f(low), f(high)];
    return (x) => from + ((f(x) - a) / (b - a || 1)) * (to - from);
  };
  const ticks = (low, high, log, most) => {
    if (log) {
      const marks = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const m of [1, 2, 5]) marks.push(m * 10 ** e);
      const inside = marks.filter((x) => x >= low * 0.999 && x <= high * 1.001);
      const tens = inside.filter((x) => Math.abs(Math.log10(x) - Math.round(Math.log10(x))) < 1e-9);
      const kept = inside.length <= most || tens.length < 2 ? inside : tens;
      return kept.filter((_, i) => i % Math.ceil(kept.length / most) === 0);
    }
    const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const marks = [];
    for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-6; x += step) marks.push(Math.abs(x) < step * 1e-6 ? 0 : x);
    return marks;
  };
  const timeTicks = (end, most) => {
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200].find((s) => end / s <= most) || 86400 * Math.ceil(end / 86400 / most);
    return [...Array(Math.floor(end / step) + 1).keys()].map((i) => i * step);
  };
  const clock = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)}${s % 60 ? `:${String(s % 60).padStart(2, "0")}` : ""} min` : `${Number((s / 3600).toFixed(2))} h`);
  const tickText = (x) => (Math.abs(x) >= 1e4 ? count(x) : String(Number(x.toPrecision(4))));
  const path = (points) => {
    let d = "", pen = false;
    for (const p of points) { if (p) { d += `${pen ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`; pen = true; } else pen = false; }
    return d;
  };

  /* What was given up may have run far away: only what stays within a few heights of what counts widens the plot. */
  const withinReach = (values, lost, logY) => {
    const f = logY ? Math.log10 : (y) => y, low = f(values.reduce((a, b) => Math.min(a, b))), high = f(values.reduce((a, b) => Math.max(a, b)));
    const reach = logY ? Math.max(4, high - low) : 3 * (high - low || Math.abs(high) || 1); // decades, or heights
    return lost.filter((y) => f(y) >= low - reach && f(y) <= high + reach);
  };

  /* Grid lines, the numbers along both axes and what they are; of marks along x those that have room. */
  const axes = (plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks, xMarks }) => {
    for (const y of yMarks) plot.append(svg("line", { class: "gridline", x1: pad.left, x2: width - pad.right, y1: Y(y), y2: Y(y) }), svg("text", { x: pad.left - 8, y: Y(y) + 4, "text-anchor": "end" }, tickText(y)));
    for (const x of xMarks.filter((x, i, marks) => !i || X(x) - X(marks[i - 1]) > 24)) plot.append(svg("text", { x: X(x), y: height - pad.bottom + 18, "text-anchor": "middle" }, tickText(x)));
    plot.append(svg("text", { x: width - pad.right, y: height - 4, "text-anchor": "end" }, xLabel));
    if (yLabel) plot.append(svg("text", { x: 2, y: 12 }, yLabel));
  };
  /* Lets pointer and keys read a plot: say(x) tells of the nearest of `xs`, pick(x) of a click or Enter. Returns how to rest. */
  const readable = (plot, readout, { xs, X, pad, width, height, say, idle, pick }) => {
    const cross = svg("line", { class: "cross", y1: pad.top, y2: height - pad.bottom, visibility: "hidden" });
    plot.append(cross);
    let at = xs.length - 1;
    const read = () => {
      const x = xs[at];
      cross.setAttribute("x1", X(x)); cross.setAttribute("x2", X(x)); cross.setAttribute("visibility", "visible");
      readout.textContent = say(x);
    };
    const rest = () => { cross.setAttribute("visibility", "hidden"); readout.textContent = idle; };
    plot.addEventListener("pointermove", (e) => {
      const frame = plot.getBoundingClientRect(), mouse = ((e.clientX - frame.left) / frame.width) * width;
      at = xs.reduce((best, x, i) => (Math.abs(X(x) - mouse) < Math.abs(X(xs[best]) - mouse) ? i : best), 0);
      read();
    });
    plot.addEventListener("pointerleave", rest);
    plot.addEventListener("focus", read);
    plot.addEventListener("blur", rest);
    if (pick) plot.addEventListener("click", () => pick(xs[at]));
    plot.addEventListener("keydown", (e) => {
      if (pick && e.key === "Enter") pick(xs[at]);
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
      if (move === undefined) return;
      at = clamp(at + move, 0, xs.length - 1);
      read();
      e.preventDefault();
    });
    return rest;
  };
  const drawing = (width, height, label) => svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", tabindex: 0, "aria-label": label });

  /* series: [{name, code, points: [[x, y, info]], raw, givenUp, marks, spread: [[x, low, high]]}]; bands: [{low, high, cls, words}] of advice; events: diagnoses by
     step; level: a value to compare with; yRange, xEnd: what is shown at least; xTicks: values to name; pick(x): told of a click or Enter.
     Returns {mark(x)} to move the line of the slider. */
  const lineChart = (box, readout, { series, width, height, xLabel, yLabel, logX, logY, names, label, say, idle, bands = [], events = [], level, yRange = [], xEnd, xTicks, pick }) => {
    const usable = ([x, y]) => isNumber(x) && isNumber(y) && (!logX || x > 0) && (!logY || y > 0);
    const shown = series.map((s) => ({ ...s, points: s.points.filter(usable), raw: (s.raw || []).filter(usable), givenUp: (s.givenUp || []).map((line) => line.filter(usable)) }));
    const lost = shown.flatMap((s) => s.givenUp.flat()), own = shown.flatMap((s) => [...s.points, ...s.raw]);
    const points = own.length ? own : lost;
    if (!points.length) {
      box.replaceChildren(el("p", { class: "empty" }, series.some((s) => s.points.length) ? "No positive values to show on a logarithmic scale." : "Nothing has been logged yet."));
      readout.textContent = "";
      return { mark() {} };
    }
    const right = names ? 16 + 7.2 * Math.min(18, Math.max(...shown.map((s) => s.name.length))) : 14;
    const pad = { left: 52, right: Math.min(right, width * 0.3), top: yLabel || events.length ? 24 : 10, bottom: 38 };
    const bounds = (values, log) => {
      let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
      return [low, high];
    };
    let [x0, x1] = bounds([...points, ...lost].map((p) => p[0]).concat(events.map((e) => e.step), isNumber(xEnd) ? xEnd : []), logX);
    const spreads = shown.flatMap((s) => (s.spread || []).flatMap(([, low, high]) => [low, high]));
    const heights = points.map((p) => p[1]).concat(yRange, spreads, bands.flatMap((band) => [band.low, band.high]).filter((y) => !logY || y > 0));
    let [y0, y1] = bounds(heights.concat(withinReach(heights, lost.map((p) => p[1]), logY)), logY);
    if (!logX) x0 = Math.min(0, x0);
    if (logY) { y0 /= 1.08; y1 *= 1.08; } else { const room = (y1 - y0) * 0.05; y0 = y0 >= 0 && y0 < (y1 - y0) * 0.4 ? 0 : y0 - room; y1 += room; }
    const X = scale(x0, x1, pad.left, width - pad.right, logX), Y = scale(y0, y1, height - pad.bottom, pad.top, logY);
    const plot = drawing(width, height, `${label}. Arrow keys read the values.`);
    axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(y0, y1, logY, 5), xMarks: xTicks || ticks(x0, x1, logX, Math.max(3, Math.floor((width - pad.left - pad.right) / 90))) });
    for (const { low, high, cls, words } of bands) plot.append(svg("rect", { class: `band ${cls}`, x: pad.left, width: width - pad.right - pad.left, y: Y(high), height: Y(low) - Y(high) }, svg("title", {}, words)));
    for (const e of events) plot.append(svg("line", { class: "onset", x1: X(e.step), x2: X(e.step), y1: pad.top - 4, y2: height - pad.bottom }));
    if (isNumber(level)) plot.append(svg("line", { class: "even", x1: pad.left, x2: width - pad.right, y1: Y(level), y2: Y(level) }));
    for (const s of shown) {
      const group = svg("g", { class: s.code.cls });
      if (s.spread && s.spread.length) group.append(svg("path", { class: "band", d: `${path([...s.spread.map(([x, , high]) => [X(x), Y(high)]), ...s.spread.map(([x, low]) => [X(x), Y(low)]).reverse()])}Z` }));
      for (const line of s.givenUp) group.append(svg("path", { class: "given-up", d: path(line.map((p) => [X(p[0]), Y(clamp(p[1], y0, y1))])), "stroke-dasharray": s.code.dash }));
      if (s.raw.length) group.append(svg("path", { class: "raw", d: path(s.raw.map((p) => [X(p[0]), Y(p[1])])) }));
      group.append(svg("path", { class: "line", d: path(s.points.map((p) => [X(p[0]), Y(p[1])])), "stroke-dasharray": s.code.dash }));
      if (s.kept) for (const p of s.points.filter(s.kept)) group.append(svg("circle", { cx: X(p[0]), cy: Y(p[1]), r: 9, class: "kept" }));
      if (s.marks) for (const p of s.points) group.append(marker(s.code.shape, X(p[0]), Y(p[1]), s.at && s.at(p) ? 5.5 : 3.6, s.at && s.at(p) ? "mark at" : "mark"));
      plot.append(group);
    }
    if (names) { // at the ends of the lines, pushed apart where they would overlap
      const ends = shown.filter((s) => s.points.length).map((s) => ({ s, p: s.points[s.points.length - 1] })).sort((a, b) => Y(a.p[1]) - Y(b.p[1]));
      let last = -Infinity;
      const placed = ends.map(({ s, p }) => { last = Math.max(last + 15, Y(p[1]) + 4); return { s, p, y: last }; });
      let floor = height - pad.bottom;
      for (const end of placed.reverse()) { end.y = Math.min(end.y, floor); floor = end.y - 15; }
      for (const { s, p, y } of placed) plot.append(svg("text", { class: "name", x: X(p[0]) + 10, y }, s.name.length > 18 ? `${s.name.slice(0, 17)}…` : s.name));
    }
    for (const e of events) plot.append(sign(e, X(e.step), pad.top - 11, 5));
    const now = svg("line", { class: "now", y1: pad.top, y2: height - pad.bottom, visibility: "hidden" });
    plot.append(now);
    const xs = unique([...shown.flatMap((s) => [...s.points, ...s.givenUp.flat()].map((p) => p[0])), ...events.map((e) => e.step)]).sort((a, b) => a - b);
    const rest = readable(plot, readout, { xs, X, pad, width, height, say: (x) => say(x, shown), idle, pick });
    box.replaceChildren(plot);
    rest();
    return { mark(x) {
      const inside = isNumber(x) && x >= x0 && x <= x1 * 1.05; // the last log line may come a little before the last grid
      now.setAttribute("visibility", inside ? "visible" : "hidden");
      if (inside) for (const end of ["x1", "x2"]) now.setAttribute(end, X(Math.min(x, x1)));
    } };
  };
  const onResize = (node, redraw) => {
    let width = 0;
    new ResizeObserver(() => { if (Math.abs(node.clientWidth - width) > 1) { width = node.clientWidth; redraw(); } }).observe(node);
  };
  /* A plot with its title, a line that reads it and a legend; draw(box, readout, width) where it is not folded away. */
  const framed = (place, title, cls, legend, draw) => {
    const box = el("div"), readout = el("p", { class: "readout", "aria-live": "polite" });
    const redraw = () => { if (box.clientWidth) draw(box, readout, Math.max(240, box.clientWidth)); };
    place.append(el("div", { class: `chart ${cls}` }, title ? el("h4", {}, title) : null, readout, box, legend && el("div", { class: "legend" }, legend)));
    onResize(box, redraw);
    redraw();
  };

  // ---------------------------------------------------------------- bars, dots and heat

  const extent = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  /* Bars over any whole numbers, those of several series side by side. */
  const barChart = (box, readout, { series, width, height, xLabel, yLabel, label, say, idle }) => {
    const points = series.flatMap((s) => s.points), xs = unique(points.map((p) => p[0])).sort((a, b) => a - b);
    const [low, high] = extent([0, ...points.map((p) => p[1])]), pad = { left: 52, right: 14, top: 24, bottom: 38 };
    const slot = (width - pad.left - pad.right) / xs.length, thick = Math.max(1, (slot * 0.8) / series.length), place = new Map(xs.map((x, i) => [x, pad.left + (i + 0.5) * slot]));
    const X = (x) => place.get(x), Y = scale(low * 1.05, high * 1.05 || 1, height - pad.bottom, pad.top, false), plot = drawing(width, height, label);
    axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(low * 1.05, high * 1.05 || 1, false, 5), xMarks: xs.filter((_, i) => i % Math.ceil(26 / slot) === 0) });
    series.forEach((s, i) => plot.append(svg("g", { class: s.code.cls }, s.points.map(([x, y]) =>
      svg("rect", { class: "stage", x: X(x) + (i - series.length / 2) * thick, width: thick, y: Y(Math.max(0, y)), height: Math.abs(Y(y) - Y(0)) })))));
    const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle });
    box.replaceChildren(plot);
    rest();
  };
  /* A dot a point; every series has its shape and is named at its middle, so that colour is not the only sign. */
  const dotChart = (box, readout, { series, width, height, xLabel, yLabel, label, idle }) => {
    const points = series.flatMap((s) => s.points), pad = { left: 52, right: 14, top: 24, bottom: 38 };
    const [[x0, x1], [y0, y1]] = [0, 1].map((i) => { const [low, high] = extent(points.map((p) => p[i])), room = (high - low || 1) * 0.04; return [low - room, high + room]; });
    const X = scale(x0, x1, pad.left, width - pad.right, false), Y = scale(y0, y1, height - pad.bottom, pad.top, false), plot = drawing(width, height, label);
    axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(y0, y1, false, 5), xMarks: ticks(x0, x1, false, Math.floor((width - pad.left - pad.right) / 90)) });
    series.forEach((s, i) => plot.append(svg("g", { class: `dots ${s.code.cls}`, "data-series": i }, svg("title", {}, s.name), s.points.map(([x, y]) => marker(s.code.shape, X(x), Y(y), 2.6, "dot")))));
    const middle = (s, i) => { const sorted = s.points.map((p) => p[i]).sort((a, b) => a - b); return sorted[Math.floor(sorted.length / 2)]; };
    if (series.length > 1) series.forEach((s, i) => plot.append(svg("text", { class: "name over", "data-series": i, x: X(middle(s, 0)), y: Y(middle(s, 1)) + 4, "text-anchor": "middle" }, s.name.length > 12 ? `${s.name.slice(0, 11)}…` : s.name)));
    box.replaceChildren(plot);
    fade(box.closest(".chart"));
    readout.textContent = idle;
  };
  const fade = (chart) => { for (const node of all("[data-series]", chart)) node.classList.toggle("faded", Boolean(chart.dataset.apart) && node.dataset.series !== chart.dataset.apart); };
  /* Rows of cells up to each of the steps `xs`, the stronger the higher; rows: [[value at each x]]. */
  const heatChart = (box, readout, { xs, rows, width, height, xLabel, yLabel, label, say, idle }) => {
    const pad = { left: 14, right: 14, top: 24, bottom: 38 }, h = (height - pad.top - pad.bottom) / rows.length, edges = [0, ...xs], end = xs[xs.length - 1];
    const X = scale(0, end, pad.left, width - pad.right, false), plot = drawing(width, height, label), [, high] = extent([0, ...rows.flat().filter(isNumber)]);
    axes(plot, { X, pad, width, height, xLabel, yLabel, yMarks: [], xMarks: ticks(0, end, false, Math.floor(width / 90)) });
    rows.forEach((row, j) => plot.append(svg("g", { class: "s0" }, row.map((value, i) => isNumber(value) && value > 0
      ? svg("rect", { class: "stage", x: X(edges[i]), y: pad.top + j * h, width: X(edges[i + 1]) - X(edges[i]), height: Math.max(1, h - 0.6), "fill-opacity": Math.sqrt(value / high).toFixed(2) }) : null))));
    const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle });
    box.replaceChildren(plot);
    rest();
  };

  const KIT = { el, svg, find, all, clamp, isNumber, unique, number, decimal, duration, scale, ticks, tickText, axes, readable, drawing, path, marker, extent, onResize, framed, select };

  // ---------------------------------------------------------------- the page of a run

  const runPage = (data) => {
    const codes = new Map(data.families.map((family, i) => [family.name, code(i)]));
    const listeners = [];
    const state = { step: 0, go() {} }; // go(step): move the slider, where there is one
    for (const family of data.families) for (const event of (family.health || {}).events || []) event.said = `${family.name}, step ${number(event.step)}: ${event.title}, ${event.did}`;
    for (const key of all(".key")) if (codes.has(key.dataset.family)) key.append(swatch(codes.get(key.dataset.family), true));

    samples(data, codes, state, listeners);
    neighbours(data, codes);
    losses(data, state, listeners);
    health(data, state, listeners);
    quality(data, codes, state, listeners);
    studies(data);
    uses(data);
    if (globalThis.drawSweeps) globalThis.drawSweeps(KIT, data.sweeps); // sweep.js is on the page where there is one
    bars(data);
    for (const listen of listeners) listen(state.step);
  };

  const images = new Map();
  const image = (src) => {
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
  const sheet = (img, resolution) => ({ columns: Math.max(1, Math.floor(img.naturalWidth / resolution)), count: Math.max(1, Math.floor(img.naturalWidth / resolution)) * Math.max(1, Math.floor(img.naturalHeight / resolution)) });
  /* Draws the tiles whose numbers are in `which`; `framed` says which of them get a frame. */
  const paint = (canvas, img, resolution, plan, which, framed) => {
    const { columns } = sheet(img, resolution), { tile, gap, edge, dpr } = plan, across = Math.min(plan.columns, which.length), pitch = tile + gap;
    canvas.width = across * pitch - gap + 2 * edge;
    canvas.height = Math.ceil(which.length / across) * pitch - gap + 2 * edge;
    canvas.style.width = `${canvas.width / dpr}px`;
    const pen = canvas.getContext("2d"), thick = Math.round(2 * dpr);
    pen.imageSmoothingEnabled = plan.smooth;
    pen.fillStyle = "#d55e00";
    which.forEach((s, i) => {
      const x = edge + (i % across) * pitch, y = edge + Math.floor(i / across) * pitch;
      if (framed(s)) { pen.fillRect(x - edge, y - edge, tile + 2 * edge, tile + 2 * edge); pen.clearRect(x - edge + thick, y - edge + thick, tile + 2 * (edge - thick), tile + 2 * (edge - thick)); }
      pen.drawImage(img, (s % columns) * resolution, Math.floor(s / columns) * resolution, resolution, resolution, x, y, tile, tile);
    });
  };

  const strip = (name, cls, key) => {
    const note = el("small"), lines = el("div", { class: "lines" });
    const node = el("div", { class: `strip ${cls}` }, el("div", { class: "who" }, key, name, note), lines);
    return { node, note, lines };
  };
  /* One painter per row: it knows where its tiles come from, and draws what fits.
     view(): {lines, whole}, how many lines of tiles, and whether all of the sheet; order: the tiles to show, in order. */
  const painter = (row, { meta, sources, what, aria, view, order, framed, tell }) => {
    let turn = 0;
    return async () => {
      const mine = ++turn, parts = sources(), { resolution } = meta;
      const imgs = await Promise.all(parts.map((part) => image(part.src)));
      if (mine !== turn) return;
      if (!imgs[imgs.length - 1] || !resolution) { row.lines.replaceChildren(el("small", {}, "This grid cannot be read.")); return; }
      const plan = layout(row.lines.clientWidth, resolution, framed), { lines: wanted, whole } = view(parts);
      const total = Math.min(...imgs.filter(Boolean).map((img) => Math.min(meta.count || Infinity, sheet(img, resolution).count)));
      const own = sheet(imgs[imgs.length - 1], resolution).columns;
      if (whole && !order) plan.columns = [...Array(own).keys()].map((i) => own - i).find((n) => own % n === 0 && n <= plan.columns); // whole lines of the sheet
      const tiles = (order || [...Array(total).keys()]).filter((i) => i < total), perLine = Math.min(plan.columns, tiles.length);
      const lines = whole ? Math.ceil(tiles.length / perLine) : wanted;
      const each = parts.length > 1 ? perLine : lines * perLine; // tiles of a canvas: with several parts, one line
      const blocks = [...Array(parts.length > 1 ? lines : 1).keys()].map((i) => tiles.slice(i * each, (i + 1) * each)).filter((block) => block.length);
      const drawn = blocks.flatMap((which) => parts.map((part, p) => ({ part, p, img: imgs[p], which }))).filter((b) => b.img);
      if (all("canvas", row.lines).length !== drawn.length) {
        row.lines.replaceChildren(...drawn.flatMap(({ part, p }, i) => [part.caption && i < parts.length ? el("small", {}, part.caption) : null, el("canvas", { role: "img", class: p ? null : "first" })]).filter(Boolean));
      }
      all("canvas", row.lines).forEach((canvas, i) => {
        const { part, img, which } = drawn[i];
        paint(canvas, img, resolution, plan, which, framed || (() => false));
        canvas.setAttribute("aria-label", `${which.length} ${part.caption || what}, ${aria()}`);
        if (tell) canvas.onpointermove = (e) => {
          const place = (at) => Math.floor((at - plan.edge / plan.dpr) / ((plan.tile + plan.gap) / plan.dpr));
          const tile = which[place(e.offsetY) * Math.min(plan.columns, which.length) + place(e.offsetX)];
          canvas.title = tile === undefined ? "" : tell(tile);
        };
      });
    };
  };

  const samples = (data, codes, state, listeners) => {
    const place = find("#grids"), player = find("#player");
    const shown = data.families.filter((family) => family.samples.grids.length);
    if (!place) return;
    if (!shown.length) { place.append(el("p", { class: "empty" }, "No samples have been drawn yet.")); return; }
    const steps = unique(shown.flatMap((family) => family.samples.grids.map((grid) => grid.step))).sort((a, b) => a - b);
    let wide = false;
    const view = (parts) => ({ whole: wide, lines: parts.length > 1 ? 1 : 2 });
    const meta = (own) => ({ ...own, resolution: own.resolution || data.resolution });
    const classOf = ({ labels, titles }) => (titles ? (tile) => titles[tile] || "" : labels && labels.length ? (tile) => (labels[tile] === undefined || labels[tile] === null ? "" : `class ${(data.classes || [])[labels[tile]] ?? labels[tile]}`) : null);

    const painters = [];
    if (data.real) {
      const row = strip("Real images", "real");
      row.note.textContent = `${data.real.split} split: what to aim for`;
      painters.push({ row, draw: painter(row, { meta: meta(data.real), sources: () => [{ src: data.real.src }], what: "real images", aria: () => `${data.real.split} split`, view: () => ({ whole: wide, lines: 1 }), tell: classOf(data.real) }) });
    }
    for (const family of shown) {
      const row = strip(family.name, "", el("span", { class: "key" }, swatch(codes.get(family.name), true)));
      const { grids, originals, given } = family.samples;
      const current = () => grids.filter((grid) => grid.step <= state.step).pop() || grids[0];
      const parts = () => [
        ...(originals ? [{ src: originals, caption: "originals" }] : []),
        ...(given ? [{ src: given, caption: "what it was given" }] : []),
        { src: current().src, ...(originals ? { caption: given ? "what it made of it" : "reconstructions" } : {}) },
      ];
      const describe = () => { const g = current(); return `step ${number(g.step)}${isNumber(g.seconds) ? `, after ${duration(g.seconds).replaceAll(" ", "\u00a0")}` : ""}${g.step === family.kept ? ", kept" : ""}`; };
      const draw = painter(row, { meta: meta(family.samples), sources: parts, what: `samples of ${family.name}`, aria: describe, view, tell: classOf(family.samples) });
      painters.push({ row, draw: () => { row.note.textContent = describe() + (family.state === "failed" ? ", then failed" : ""); return draw(); } });
    }
    place.append(...painters.map(({ row }) => row.node));

    const out = el("output", { for: "step" });
    const slider = el("input", { type: "range", id: "step", min: 0, max: steps.length - 1, step: 1, value: steps.length - 1, "aria-label": "Training step of all samples" });
    const set = (i) => {
      slider.value = i;
      state.step = steps[i];
      out.textContent = `step ${number(state.step)} of ${number(steps[steps.length - 1])}`;
      slider.setAttribute("aria-valuetext", out.textContent);
      for (const { draw } of painters) draw();
      for (const listen of listeners) listen(state.step);
    };
    state.go = (step) => { stop(); set(Math.max(0, steps.filter((s) => s <= step).length - 1)); };
    let timer = null;
    const play = el("button", { type: "button", class: "play" }, "▶ Play");
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶ Play"; };
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      if (Number(slider.value) === steps.length - 1) set(0);
      play.textContent = "❚❚ Pause";
      timer = setInterval(() => { const next = Number(slider.value) + 1; if (next < steps.length) set(next); if (next >= steps.length - 1) stop(); }, 700);
    });
    slider.addEventListener("input", () => { stop(); set(Number(slider.value)); });
    document.addEventListener("keydown", (e) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (!move || e.altKey || e.ctrlKey || e.metaKey || (document.activeElement && document.activeElement !== document.body)) return;
      stop();
      set(clamp(Number(slider.value) + move, 0, steps.length - 1));
    });
    const rows = el("button", { type: "button", "aria-pressed": "true" }, "Side by side"), full = el("button", { type: "button", "aria-pressed": "false" }, "All images");
    const lay = (whole) => { wide = whole; rows.setAttribute("aria-pressed", String(!whole)); full.setAttribute("aria-pressed", String(whole)); place.classList.toggle("grids-wide", whole); for (const { row } of painters) row.lines.replaceChildren(); for (const { draw } of painters) draw(); };
    rows.addEventListener("click", () => lay(false));
    full.addEventListener("click", () => lay(true));
    player.append(play, el("span", { class: "track" }, slider, signs(data, steps, state)), out, el("span", { class: "segment", role: "group", "aria-label": "Layout of the samples" }, rows, full));
    player.hidden = false;
    set(steps.length - 1);
    onResize(place, () => { for (const { draw } of painters) draw(); });
    addEventListener("load", () => { for (const family of shown) for (const grid of family.samples.grids) image(grid.src); }); // so that playing does not wait
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
      const said = events.slice(0, 5).map((event) => event.said).concat(events.length > 5 ? `and ${number(events.length - 5)} more` : []).join("\n");
      const link = el("a", { class: "sign", href: `#${events[0].id}`, title: said, "aria-label": said, tabindex: -1, onclick: () => state.go(events[0].step) }, signIcon({ ...events[0], said: null }));
      link.style.left = `calc(8px + ${place} * (100% - 16px))`; // the middle of a thumb 16 px wide
      return link;
    });
  };

  const neighbours = (data, codes) => {
    const place = find("#near"), shown = data.families.filter((family) => family.neighbours);
    if (!place) return;
    let every = false;
    const rows = shown.map((family) => {
      const near = family.neighbours, copied = new Set(near.memorised), count = near.count || near.distances.length;
      const row = strip(family.name, "near", el("span", { class: "key" }, swatch(codes.get(family.name), true)));
      const far = (i) => near.distances[i] ?? Infinity;
      const framed = `${copied.size ? number(copied.size) : "None"} of the ${number(count)} shown ${copied.size === 1 ? "is" : "are"} framed`;
      row.note.textContent = [near.share, framed].filter(Boolean).join(". ");
      const draw = painter(row, {
        meta: { count, resolution: near.resolution || data.resolution },
        sources: () => [{ src: near.published, caption: "samples" }, { src: near.nearest, caption: "nearest training images" }],
        aria: () => `${family.name}, closest first; ${framed}`,
        view: () => ({ whole: every, lines: 2 }),
        order: [...Array(count).keys()].sort((a, b) => far(a) - far(b) || a - b),
        framed: (tile) => copied.has(tile),
        tell: (tile) => `sample ${number(tile + 1)}: distance ${decimal(near.distances[tile])}${isNumber(near.closest) ? `; framed below ${decimal(near.closest)}` : ""}`,
      });
      return { row, draw };
    });
    const draw = () => { for (const row of rows) row.draw(); };
    place.append(...rows.map(({ row }) => row.node));
    find("#near-tools").append(toggle("All pairs", every, (on) => { every = on; draw(); }));
    onResize(place, draw);
    draw();
  };

  const smoothed = (points) => {
    const share = clamp(30 / points.length, 0.05, 1); // a moving mean over about a thirtieth of the curve
    let mean = 0, weight = 0;
    return points.map(([x, y]) => { if (!isNumber(y)) return [x, y]; mean += share * (y - mean); weight += share * (1 - weight); return [x, mean / weight]; });
  };
  const isSide = (name) => name === "lr" || /\/(grad_norm|auc|D\(.*\)|active_units)$/.test(name);

  const lossByNoise = (place, name, { phase, noise, loss, deviation, steps }) => {
    const points = noise.map((x, i) => [x, loss[i], deviation[i]]).filter(([x]) => isNumber(x)), title = `${name}: ${phase} by noise`;
    const spread = points.filter((p) => p.every(isNumber)).map(([x, y, d]) => [x, Math.max(0, y - d), y + d]);
    const say = (x) => points.filter((p) => p[0] === x).map(([, y, d]) => `noise ${decimal(x)}: loss ${decimal(y)}${isNumber(d) ? `, standard deviation ${decimal(d)}` : ""}`).join();
    framed(place, title, "by-noise", null, (box, readout, width) => lineChart(box, readout, { series: [{ name: "loss", code: code(0), marks: true, points, spread }], width, height: 240, xLabel: "share of noise, sigma / (alpha + sigma): 0 is data, 1 is noise", xEnd: 1, yRange: [0],
      label: `Loss of ${phase} by share of noise with one standard deviation, ${name}`, say, idle: `Mean and one standard deviation over images${steps.length ? `, steps ${steps.map(number).join(" to ")}` : ""}. Hover or focus to read values.` }));
  };
  const klByLatent = (place, name, { step, dimensions }) => {
    const say = (x) => {
      const now = dimensions.map(({ z, kl }) => [z, kl[step.indexOf(x)] || 0]).sort((a, b) => b[1] - a[1]), idle = now.filter(([, kl]) => kl < 0.01).length;
      return `step ${number(x)}: ${decimal(now.reduce((sum, [, kl]) => sum + kl, 0))} nats; ${now.slice(0, 4).map(([z, kl]) => `z${z} ${decimal(kl)}`).join(" · ")}${idle ? `; ${number(idle)} of ${number(now.length)} below 0.01` : ""}`;
    };
    framed(place, `${name}: KL of each dimension of the code`, "by-latent", null, (box, readout, width) => heatChart(box, readout, { xs: step, rows: dimensions.map(({ kl }) => kl), width, height: 240, xLabel: "step", yLabel: "a row a dimension, the highest at the end on top",
      label: `KL of ${dimensions.length} dimensions over training, ${name}. Arrow keys read the values.`, say, idle: `The stronger the colour, the more nats. Last ${say(step[step.length - 1])}` }));
  };

  const losses = (data, state, listeners) => {
    const place = find("#losses"), families = data.families.filter((family) => family.curves.step.length);
    if (!place) return;
    if (!families.length) { place.append(el("p", { class: "empty" }, "No losses have been logged yet.")); return; }
    const options = { smooth: true, log: false };
    const charts = families.map((family) => {
      const { step, series, seconds, every } = family.curves;
      const names = Object.keys(series).sort((a, b) => isSide(a) - isSide(b)), lines = names.map((name, i) => ({ name, code: code(i), on: !isSide(name), raw: series[name].map((y, j) => [step[j], y]) }));
      const box = el("div"), readout = el("p", { class: "readout", "aria-live": "polite" });
      let chart = { mark() {} };
      const say = (x, shown) => {
        const at = step.indexOf(x), time = isNumber(seconds[at]) ? `, ${duration(seconds[at])}` : "";
        return `step ${number(x)}${time}: ${shown.map((s) => `${s.name} ${number((s.points.find((p) => p[0] === x) || [])[1])}`).join(" · ")}`;
      };
      const idle = `${number(step[step.length - 1])} steps${every > 1 ? `, each point the mean of ${every} logged lines` : ""}. Hover or focus to read values.`;
      const draw = () => {
        const series = lines.filter((line) => line.on).map((line) => ({ name: line.name, code: line.code, points: options.smooth ? smoothed(line.raw) : line.raw, raw: options.smooth ? line.raw : [] }));
        chart = lineChart(box, readout, { series, width: Math.max(260, box.clientWidth), height: 240, xLabel: "step", logY: options.log, label: `Losses of ${family.name}`, say, idle });
        chart.mark(state.step);
      };
      const legend = el("div", { class: "legend", role: "group", "aria-label": `Terms of ${family.name}` }, lines.map((line) => {
        const button = toggle("", line.on, (on) => { line.on = on; draw(); });
        button.append(swatch(line.code, false), line.name);
        return button;
      }));
      place.append(el("div", { class: "chart" }, el("h4", {}, family.name), readout, box, legend));
      listeners.push((x) => chart.mark(x));
      onResize(box, draw);
      for (const curve of family.by_noise) lossByNoise(place, family.name, curve);
      for (const course of family.by_latent) klByLatent(place, family.name, course);
      return draw;
    });
    const redraw = () => charts.forEach((draw) => draw());
    place.before(el("div", { class: "tools" },
      toggle("Smoothed", options.smooth, (on) => { options.smooth = on; redraw(); }), toggle("Logarithmic", options.log, (on) => { options.log = on; redraw(); })));
    place.classList.add("charts");
    redraw();
  };

  const VITALS = [
    { title: "D on images and on samples", vitals: ["D(x)", "D(G(z))"] },
    { title: "Losses of D and G", vitals: ["loss_d", "loss_g"] },
    { title: "Share of pairs D ranks right", vitals: ["auc"], level: 0.5, yRange: [0, 1] },
    { title: "Gradient norms", vitals: ["grad_d", "grad_g"], logY: true },
    { title: "Weight norms", vitals: ["weights_d", "weights_g"] },
    { title: "Diversity and movement of samples", vitals: ["diversity", "movement"], yRange: [0, 1] },
  ];
  const advice = (vitals, bands, codes) => {
    const given = vitals.map((vital, i) => ({ vital, i, band: bands[vital] })).filter(({ band }) => band);
    const said = (names, [low, high]) => `advice${names}: ${decimal(low, 2)} to ${decimal(high, 2)}`;
    if (given.length === vitals.length && new Set(given.map(({ band }) => band.join())).size === 1) return [{ low: given[0].band[0], high: given[0].band[1], cls: "s2", words: said("", given[0].band) }];
    return given.map(({ vital, i, band }) => ({ low: band[0], high: band[1], cls: codes[i].cls, words: said(` for ${vital.replace("loss_", "").replace(/^([dg])$/, (c) => c.toUpperCase())}`, band) }));
  };

  const health = (data, state, listeners) => {
    for (const place of all("[data-health]")) {
      const { curves, given_up: givenUp, events, bands } = data.families.find((family) => family.name === place.dataset.health).health;
      const end = Math.max(0, ...curves.step, ...givenUp.flatMap((stretch) => stretch.step));
      const lines = (vital, { step, series }) => (series[vital] || []).map((y, i) => [step[i], y]);
      const plots = VITALS.map(({ vitals, ...how }) => ({ ...how, vitals: vitals.filter((vital) => [curves, ...givenUp].some(({ series }) => vital in series)) })).filter(({ vitals }) => vitals.length);
      const draws = plots.map(({ title, vitals, ...how }) => {
        const codes = vitals.map((_, i) => code(i)), box = el("div"), readout = el("p", { class: "readout", "aria-live": "polite" });
        const series = vitals.map((vital, i) => ({ name: data.vitals[vital], code: codes[i], points: lines(vital, curves), givenUp: givenUp.map((stretch) => lines(vital, stretch)) }));
        const at = (points, x) => points.filter((p) => p[0] === x).map((p) => p[1]).filter(isNumber);
        const say = (x) => [
          `step ${number(x)}: ${series.flatMap((s) => at(s.points, x).map((y) => `${s.name} ${number(y)}`)).join(" · ")}`,
          ...givenUp.map((stretch, j) => [stretch, series.flatMap((s) => at(s.givenUp[j], x).map((y) => `${s.name} ${number(y)}`)).join(" · ")]).filter(([, said]) => said).map(([stretch, said]) => `given up (attempt ${stretch.attempt}): ${said}`),
          ...events.filter((e) => e.step === x).map((e) => `${e.title}, ${e.action}`),
        ].join("; ").replace(": ; ", ": ");
        const shaded = advice(vitals, bands, codes);
        let chart = { mark() {} };
        const draw = () => {
          if (!box.clientWidth) return; // folded away
          chart = lineChart(box, readout, { series, width: Math.max(240, box.clientWidth), height: 200, xLabel: "step", label: `${title}, ${place.dataset.health}`, say, idle: curves.step.length ? say(curves.step[curves.step.length - 1]) : "",
            bands: shaded, events, xEnd: end, pick: (x) => state.go(x), ...how });
          chart.mark(state.step);
        };
        const patch = ({ cls }) => svg("svg", { viewBox: "0 0 22 10", class: cls, "aria-hidden": "true" }, svg("rect", { class: "band", width: 22, height: 10 }));
        const legend = el("div", { class: "legend" }, series.map((s) => el("span", {}, swatch(s.code, false), s.name)), shaded.map((band) => el("span", {}, patch(band), band.words)));
        place.append(el("div", { class: "chart" }, el("h4", {}, title), readout, box, legend));
        listeners.push((x) => chart.mark(x));
        onResize(box, draw);
        return draw;
      });
      draws.forEach((draw) => draw());
    }
    for (const item of all(".event .sign")) item.append(signIcon({ disease: item.dataset.disease, action: item.closest(".event").classList.contains("observed") ? "observed" : "" }));
  };

  const quality = (data, codes, state, listeners) => {
    const place = find("#quality"), names = Object.keys(data.measures);
    if (!place) return;
    const have = (family, name) => family.quality.some((row) => isNumber(row[name]));
    const curved = data.families.filter((family) => names.some((name) => have(family, name)));
    if (!curved.length) { place.append(el("p", { class: "empty" }, "No samples drawn during training have been judged.")); return; }
    const tasks = unique(curved.map((family) => family.task)), metrics = names.filter((name) => curved.some((family) => have(family, name)));
    const options = { task: tasks.includes("generate") ? "generate" : tasks[0], metric: metrics.includes("frechet_distance") ? "frechet_distance" : metrics[0], logX: false, logY: true };
    const box = el("div"), readout = el("p", { class: "readout", "aria-live": "polite" });
    const draw = () => {
      const series = curved.filter((f) => f.task === options.task).map((f) => {
        const points = f.quality.map((row) => [row.seconds, row[options.metric], row.step]);
        const latest = Math.max(...f.quality.map((row) => row.step).filter((step) => step <= state.step));
        return { name: f.name, code: codes.get(f.name), marks: true, points, at: (p) => p[2] === latest, kept: (p) => p[2] === f.kept };
      });
      const say = (x, shown) => `at ${duration(x)}: ${shown.map((s) => [s.name, s.points.filter((p) => p[0] <= x).pop()]).filter(([, p]) => p).map(([name, p]) => `${name} ${number(p[1])} (step ${number(p[2])})`).join(" · ")}`;
      lineChart(box, readout, { series, width: Math.max(260, box.clientWidth), height: box.clientWidth < 560 ? 300 : 360, xLabel: "seconds of training", yLabel: `${data.measures[options.metric]}, lower is better`, ...options, names: true,
        label: `${data.measures[options.metric]} over seconds of training`, say, idle: "Filled markers: the step of the slider. Hover or focus to read values." });
    };
    const change = (key) => (value) => { options[key] = value; draw(); };
    place.append(el("div", { class: "tools" },
      metrics.length > 1 ? select("Quality", metrics.map((m) => [m, data.measures[m]]), options.metric, change("metric")) : null,
      tasks.length > 1 ? select("Task", tasks.map((t) => [t, t]), options.task, change("task")) : null,
      toggle("Logarithmic seconds", false, change("logX")), toggle("Logarithmic quality", options.logY, change("logY"))), el("div", { class: "chart" }, readout, box));
    listeners.push(draw);
    onResize(box, draw);
    draw();
  };

  const studies = (data) => {
    for (const place of all("[data-study]")) {
      const { plots } = data.families.find((family) => family.name === place.dataset.study).studies.studies[Number(place.dataset.at)];
      for (const plot of plots) {
        const series = plot.lines.map((line, i) => ({ name: line.name || plot.title, code: code(i), marks: true, points: line.points }));
        const floor = isNumber(plot.floor) ? [plot.floor] : [], bound = floor.map((y) => `${plot.bound} ${decimal(y)}`).join();
        const positive = series.flatMap((s) => s.points.map((p) => p[1])).concat(floor).every((y) => y > 0);
        const legend = [...namesOf(series), bound ? el("span", {}, svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, svg("line", { class: "even", x1: 0, x2: 22, y1: 5, y2: 5 })), bound) : null];
        framed(place, plot.title, "", legend, (box, readout, width) => lineChart(box, readout, { series, width, height: 240, xLabel: plot.x, logX: plot.log, logY: plot.better === "lower" && positive, level: plot.floor, yRange: floor, xTicks: few(series),
          label: `${plot.title} against ${plot.x}, ${place.dataset.study}; the table of numbers has the values`, say: told(plot.x, series, bound), idle: `${plot.better[0].toUpperCase()}${plot.better.slice(1)} is better. Hover or focus to read values.` }));
      }
    }
  };
  const namesOf = (series) => series.map((s) => el("span", {}, swatch(s.code, true), s.name));
  const few = (series) => { const xs = unique(series.flatMap((s) => s.points.map((p) => p[0]))).sort((a, b) => a - b); return xs.length <= 10 ? xs : null; };
  const told = (what, series, more) => (x) => `${what} ${number(x)}: ${[...series.flatMap((s) => s.points.filter((p) => p[0] === x).map((p) => `${s.name} ${decimal(p[1])}`)), more].filter(Boolean).join(" · ")}`;

  const uses = (data) => {
    const charts = { lines: lineChart, scatter: dotChart, bars: barChart };
    for (const place of all("[data-use]")) {
      const { title, plots } = data.families.find((family) => family.name === place.dataset.use).uses.views[Number(place.dataset.at)];
      for (const plot of plots) {
        const series = plot.lines.map((line, i) => ({ name: line.name || plot.y, code: code(i), marks: true, points: line.points })), dots = plot.kind === "scatter";
        const values = number(series.reduce((sum, s) => sum + s.points.length, 0)), how = dots ? (series.length > 1 ? "Press a name below to set it apart." : "") : "Hover or focus to read values.";
        const legend = series.length < 2 ? null : dots ? apart(series) : namesOf(series);
        framed(place, plot.title, plot.kind, legend, (box, readout, width) => charts[plot.kind](box, readout, { series, width, height: dots ? Math.min(460, Math.round(width * 0.8)) : 240, xLabel: plot.x, yLabel: plot.y, logX: plot.log, xTicks: few(series),
          label: `${plot.title || title}: ${plot.y} against ${plot.x}, ${place.dataset.use}${dots ? `; ${values} points` : ". Arrow keys read the values"}`, say: told(plot.x, series), idle: dots ? `${values} points. ${how}` : how }));
      }
    }
  };
  /* Names of dots: a pressed one stays, the others fade. */
  const apart = (series) => series.map((s, i) => {
    const button = el("button", { type: "button", class: "apart", "aria-pressed": "false", onclick: () => {
      const chart = button.closest(".chart"), on = button.getAttribute("aria-pressed") !== "true";
      for (const other of all(".apart", chart)) other.setAttribute("aria-pressed", String(on && other === button));
      chart.dataset.apart = on ? i : "";
      fade(chart);
    } }, svg("svg", { viewBox: "0 0 10 10", class: `dots ${s.code.cls}`, "aria-hidden": "true" }, marker(s.code.shape, 5, 5, 3.4, "dot")), s.name);
    return button;
  });

  const PATTERN = { ran: "", cached: "hatch", failed: "cross", running: "flow", waiting: "dots", skipped: "dots" };
  const patterns = (owner) => Object.entries({ cached: "M0 6L6 0M-1 1L1 -1M5 7L7 5", failed: "M0 0L6 6M0 6L6 0", running: "M1.5 0V6" }).map(([name, d]) =>
    svg("pattern", { id: `${owner}-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse", class: `t-${name}` }, svg("path", { d, class: "hatching" })));
  const stageBar = (owner, stateName, x, y, width, height) => {
    const bar = svg("rect", { x, y, width, height, rx: 2, class: `stage ${PATTERN[stateName] ?? "dots"} t-${stateName in PATTERN ? stateName : "waiting"}` });
    if (["cached", "failed", "running"].includes(stateName)) bar.style.fill = `url(#${owner}-${stateName})`;
    return bar;
  };

  const bars = (data) => {
    const place = find("#bars"), stages = data.stages;
    if (!stages.length) { place.append(el("p", { class: "empty" }, "No stage has started yet.")); return; }
    const zero = Date.parse(data.started), seconds = (iso) => (iso ? (Date.parse(iso) - zero) / 1000 : NaN);
    const spans = stages.map((stage) => {
      const from = seconds(stage.started), took = isNumber(stage.seconds) ? stage.seconds : NaN;
      const to = Number.isFinite(seconds(stage.ended)) ? seconds(stage.ended) : Number.isFinite(took) && stage.state !== "cached" ? from + took : stage.state === "running" ? seconds(data.until) : from;
      return { stage, from, to: Math.max(from, to) };
    });
    const ends = spans.map((span) => span.to).filter(Number.isFinite), end = Math.max(1, ...ends);
    const chart = el("div", { class: "chart" }), used = unique(stages.map((stage) => stage.state));
    const words = ({ stage, from, to }) => {
      if (stage.state === "cached") return "cached";
      if (!Number.isFinite(from)) return stage.state;
      const over = isNumber(stage.work_seconds) && isNumber(stage.seconds) ? stage.seconds - stage.work_seconds : NaN;
      const time = duration(to - from);
      return stage.state === "ran" ? (over >= 0.05 ? `${time}, overhead ${duration(over)}` : time) : `${time}, ${stage.state}`;
    };
    const diagnosed = (stage, from, to) => { // a training's own clock starts when its processes have
      const family = stage.name === "train" && stage.state !== "cached" && data.families.find((f) => f.name === stage.family);
      const events = (family && family.health ? family.health.events : []).filter((event) => isNumber(event.seconds));
      const late = events.length ? Math.max(0, to - from - Math.max(...family.curves.seconds.filter(isNumber), ...events.map((e) => e.seconds))) : 0;
      return events.map((event) => ({ ...event, at: from + late + event.seconds }));
    };
    const draw = () => {
      const width = Math.max(280, chart.clientWidth - 36), narrow = width < 620, left = narrow ? 0 : 190, right = narrow ? 0 : 170, pitch = narrow ? 42 : 27;
      const X = (s) => left + (s / end) * (width - left - right), height = spans.length * pitch + 30;
      const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": `Timeline of ${stages.length} stages over ${duration(end)}; the table of stages under Lineage has the numbers` }, svg("defs", {}, patterns("tl")));
      for (const t of timeTicks(end, narrow ? 4 : 9)) plot.append(svg("line", { class: "gridline", x1: X(t), x2: X(t), y1: 0, y2: height - 24 }), svg("text", { x: X(t), y: height - 8, "text-anchor": t === 0 && narrow ? "start" : X(t) > width - 20 ? "end" : "middle" }, clock(t)));
      spans.forEach((span, i) => {
        const { stage, from, to } = span, y = i * pitch + (narrow ? 18 : 4), known = Number.isFinite(from) && Number.isFinite(to);
        const name = stage.family ? `${stage.name} ${stage.family}` : String(stage.name), longest = narrow ? 34 : 27;
        const row = svg("g", { class: `t-${stage.state}` }, svg("title", {}, `${name}: ${words(span)}${stage.cached_from ? `, from run ${stage.cached_from}` : ""}${stage.error ? `. ${stage.error}` : ""}`));
        row.append(svg("text", { x: narrow ? 0 : 2, y: narrow ? y - 5 : y + 13, class: "name" }, name.length > longest ? `${name.slice(0, longest - 1)}…` : name));
        const x = known ? X(from) : X(0), w = known ? Math.max(3, X(to) - X(from)) : 26;
        if (stage.state === "ran" && isNumber(stage.work_seconds) && stage.seconds > 0) {
          const solid = w * clamp(stage.work_seconds / stage.seconds, 0, 1), over = stageBar("tl", "ran", x, y, w, 16);
          over.classList.add("over");
          row.append(over, stageBar("tl", "ran", x, y, solid, 16));
        } else row.append(stageBar("tl", stage.state, x, y, Math.max(w, stage.state === "cached" ? 14 : 3), 16));
        for (const event of known ? diagnosed(stage, from, to) : []) row.append(sign(event, X(event.at), y + 8, 5));
        row.append(narrow ? svg("text", { x: width, y: y - 5, "text-anchor": "end" }, words(span)) : svg("text", { x: x + Math.max(w, stage.state === "cached" ? 14 : 3) + 8, y: y + 12 }, words(span)));
        plot.append(row);
      });
      const legend = el("div", { class: "states" }, used.map((name, i) => el("span", {}, svg("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, svg("defs", {}, patterns(`lg${i}`)), stageBar(`lg${i}`, name, 1, 1, 24, 10)), `${name}: ${data.states[name] || ""}`)));
      chart.replaceChildren(plot, legend);
    };
    place.append(chart);
    onResize(chart, draw);
    draw();
  };

  // ---------------------------------------------------------------- the index

  let named = {}; // [label, whether in percent] by name, in the order of a table's columns
  const metricName = (name) => (named[name] ? named[name][0] : name.replaceAll("_", " "));
  const rankable = (results) => { // known names first, those with a warning last
    const found = results.flatMap((result) => Object.entries(result.metrics || {}));
    const warned = new Set(found.filter(([, metric]) => metric.note).map(([name]) => name));
    return known(unique(found.map(([name]) => name))).sort((a, b) => warned.has(a) - warned.has(b));
  };
  const known = (names) => [...Object.keys(named).filter((n) => names.includes(n)), ...names.filter((n) => !(n in named)).sort()];
  const showMetric = (name, value) => (named[name] && named[name][1] && isNumber(value) ? `${(value * 100).toFixed(1)}\u00a0%` : decimal(value));
  const better = (a, b) => (a.better === "higher" ? b.value - a.value : a.value - b.value);
  const dataName = (run) => String(run.data.name || run.data.title || "unnamed data");
  const runLink = (run) => (run.report ? el("a", { href: run.report.split("/").map(encodeURIComponent).join("/"), class: "mono" }, run.run_id) : el("span", { class: "mono" }, run.run_id));
  const why = (metric, other) => {
    for (const [key, name] of [["extractor", "extractor"], ["extractor_hash", "extractor weights"], ["n", "number of images"], ["split", "split"]]) {
      if (metric[key] !== other[key]) return key === "extractor_hash" ? `other ${name}` : `other ${name}: ${metric[key]}`;
    }
    return "other recipe or data version";
  };
  const pager = (page, pages, go) => {
    const at = el("span", { "aria-live": "polite" }, `Page ${page + 1} of ${pages}`);
    return pages < 2 ? null : el("div", { class: "pager" }, at, el("button", { type: "button", disabled: page === 0, onclick: () => go(page - 1) }, "Previous"), el("button", { type: "button", disabled: page >= pages - 1, onclick: () => go(page + 1) }, "Next"));
  };
  const tableOf = (label, heads, rows, cls) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, el("table", { class: cls },
    el("thead", {}, el("tr", {}, heads.map(([name, n]) => el("th", { scope: "col", class: n ? "n" : null }, name)))), el("tbody", {}, rows)));

  const leaders = (runs) => {
    const place = find("#leaders"), body = el("div");
    const rows = runs.flatMap((run) => run.results.map((result) => ({ run, result })));
    if (!rows.length) { place.append(el("p", { class: "empty" }, "No family has been judged yet.")); return; }
    const sets = unique(rows.map(({ run }) => dataName(run))), state = { set: sets[0], task: null, metric: null, page: 0 };
    const draw = () => {
      const ofSet = rows.filter(({ run }) => dataName(run) === state.set), taskOf = ({ result }) => result.task || "generate";
      const tasks = unique(ofSet.map(taskOf)).sort();
      if (!tasks.includes(state.task)) state.task = tasks[0];
      const ofTask = ofSet.filter((row) => taskOf(row) === state.task);
      const metrics = rankable(ofTask.map(({ result }) => result));
      if (!metrics.includes(state.metric)) state.metric = metrics[0];
      const metricOf = (row) => (row.result.metrics || {})[state.metric];
      const measured = ofTask.filter((row) => metricOf(row) && isNumber(metricOf(row).value));
      // The newest full run says how things are measured now; a smoke run only if there is no other.
      const reference = metricOf(measured.find(({ run }) => !run.smoke) || measured[0] || { result: {} });
      const once = new Map();
      for (const row of measured) { // a cached result is the same result in many runs
        const m = metricOf(row), id = JSON.stringify([row.result.family, m.value, m.comparability, row.result.parameters, row.result.train_seconds]);
        if (once.has(id)) once.get(id).also += 1; else once.set(id, { ...row, m, also: 0, off: m.comparability !== reference.comparability });
      }
      const list = [...once.values()].sort((a, b) => a.off - b.off || better(a.m, b.m)), size = 15, pages = Math.max(1, Math.ceil(list.length / size));
      state.page = clamp(state.page, 0, pages - 1);
      const go = (change) => { Object.assign(state, { page: 0 }, change); draw(); };
      const tools = el("div", { class: "tools" }, select("Data", sets.map((s) => [s, s]), state.set, (set) => go({ set })),
        select("Task", tasks.map((t) => [t, t]), state.task, (task) => go({ task })), select("By", metrics.map((m) => [m, metricName(m)]), state.metric, (metric) => go({ metric })));
      const lines = list.slice(state.page * size, (state.page + 1) * size).map((row, i) => el("tr", { class: row.off ? "off" : null },
        el("td", { class: "rank" }, row.off ? "–" : String(state.page * size + i + 1)),
        el("th", { scope: "row" }, row.result.family),
        el("td", { class: "n" }, el("span", {}, showMetric(state.metric, row.m.value)), row.off ? el("small", {}, `not comparable: ${why(row.m, reference)}`) : isNumber(row.m.low) && isNumber(row.m.high) ? el("small", {}, `${showMetric(state.metric, row.m.low)} to ${showMetric(state.metric, row.m.high)}`) : null),
        el("td", { class: "n" }, showMetric(state.metric, row.m.floor)), el("td", { class: "n" }, number(row.m.n)),
        el("td", { class: "n" }, count(row.result.parameters)), el("td", { class: "n" }, duration(row.result.train_seconds)), el("td", { class: "n" }, number(row.result.samples_per_second)),
        el("td", {}, runLink(row.run), el("small", {}, day(row.run.started) + (row.run.smoke ? ", smoke" : "") + (row.also ? `, and ${number(row.also)} more` : "")))));
      const arrow = reference && reference.better === "higher" ? "↑" : "↓";
      const note = reference ? [reference.extractor ? `${reference.extractor} features` : null, isNumber(reference.n) ? `n = ${number(reference.n)}` : null, reference.split ? `${reference.split} split` : null].filter(Boolean).join(", ") : "";
      body.replaceChildren(tools, tableOf("Leaderboard over runs", [["#"], ["Family"], [`${metricName(state.metric || "")} ${arrow}`, 1], ["Floor", 1], ["n", 1], ["Parameters", 1], ["Training", 1], ["Samples/s", 1], ["Run"]], lines, "ranks"),
        el("dl", { class: "notes" }, note ? el("div", {}, el("dt", {}, "Measured with"), el("dd", {}, `${note}, as in the newest full run. The floor is what real images score against real images.`)) : null), pager(state.page, pages, (page) => { state.page = page; draw(); }) || "");
    };
    place.append(body);
    draw();
  };

  const bestOf = (run) => run.best.map(({ family, metric, value }) => el("div", { class: "bests" }, family, el("small", {}, `${metricName(metric)} ${showMetric(metric, value)}`)));

  const runList = (runs) => {
    const place = find("#list"), body = el("div"), state = { words: "", status: "all", page: 0 }, size = 25;
    const text = runs.map((run) => [run.run_id, run.status, run.kind, run.data.name, run.data.title, run.commit, run.config_hash, ...run.families].join(" ").toLowerCase());
    const draw = () => {
      const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const hits = runs.filter((run, i) => (state.status === "all" || run.status === state.status) && words.every((word) => text[i].includes(word)));
      const pages = Math.max(1, Math.ceil(hits.length / size));
      state.page = clamp(state.page, 0, pages - 1);
      const rows = hits.slice(state.page * size, (state.page + 1) * size).map((run) => el("tr", {},
        el("th", { scope: "row" }, runLink(run), el("small", {}, day(run.started))),
        el("td", {}, el("span", { class: `pill ${/^[a-z]+$/.test(run.status) ? run.status : ""}` }, run.status), run.kind === "sweep" ? el("small", {}, "sweep") : null, run.smoke ? el("small", {}, "smoke") : null),
        el("td", { class: "wrap" }, run.data.title || run.data.name || "–", run.data.version ? el("small", { class: "mono" }, String(run.data.version).slice(0, 12)) : null),
        el("td", { class: "wrap" }, run.families.flatMap((name, i) => [i ? ", " : "", run.failed.includes(name) ? el("span", { class: "failed" }, `${name} ✕ failed`) : name])),
        el("td", {}, bestOf(run)), el("td", { class: "n" }, duration(run.seconds)),
        el("td", { class: "mono" }, run.commit ? String(run.commit).slice(0, 8) : "–", run.dirty ? el("small", {}, "changed") : null)));
      body.replaceChildren(hits.length ? tableOf("All runs", [["Run"], ["Status"], ["Data"], ["Families"], ["Best"], ["Took", 1], ["Commit"]], rows, "runs") : el("p", { class: "empty" }, "No run matches."), pager(state.page, pages, (page) => { state.page = page; draw(); }) || "");
      found.textContent = hits.length === runs.length ? "" : `${number(hits.length)} of ${number(runs.length)}`;
    };
    const found = el("span", { class: "muted", role: "status" });
    const box = el("input", { type: "search", placeholder: "Filter by run, data, family, commit", "aria-label": "Filter runs", oninput: () => { state.words = box.value; state.page = 0; draw(); } });
    const statuses = unique(runs.map((run) => run.status));
    if (runs.length > 1) place.append(el("div", { class: "tools" }, el("label", { class: "grow" }, box), statuses.length > 1 ? select("Status", [["all", "all"], ...statuses.map((s) => [s, s])], "all", (status) => { state.status = status; state.page = 0; draw(); }) : null, found));
    place.append(body);
    draw();
  };

  /* A metric comes as [value, low, high, floor, recipe, note]: a thousand runs repeat the same few recipes. */
  const unpack = (metrics, recipes) => Object.fromEntries(Object.entries(metrics || {}).map(([name, [value, low, high, floor, recipe, note]]) => [name, { value, low, high, floor, note, ...recipes[recipe] }]));
  const indexPage = ({ runs, recipes, measures }) => {
    named = measures;
    for (const run of runs) for (const result of run.results) result.metrics = unpack(result.metrics, recipes);
    if (runs.length) { leaders(runs); runList(runs); }
  };

  // ---------------------------------------------------------------- start

  theme();
  all("table[data-sortable]").forEach(sortable);
  measures();
  tips();
  const data = JSON.parse(find("#data").textContent);
  ({ run: runPage, index: indexPage })[data.kind](data);
  root.dataset.ready = "true";
})();
