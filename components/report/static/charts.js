/* Charts: lines, bars, dots and heat, which pointer and keys can read. */
"use strict";
(() => {
  const { el, svg, all, readoutLine, onResize, clamp, isNumber, unique, range, ascending, extent, short, count, twoDigits, marker, swatch, sign } = Atelier;

  // ---------------------------------------------------------------- scales and axes

  const scale = (low, high, from, to, log) => {
    const f = log ? Math.log10 : (x) => x;
    const [a, b] = [f(low), f(high)];
    return (x) => from + ((f(x) - a) / (b - a || 1)) * (to - from);
  };
  const logTicks = (low, high, most) => {
    const decades = range(Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1).map((i) => 10 ** (Math.floor(Math.log10(low)) + i));
    const inside = decades.flatMap((ten) => [1, 2, 5].map((m) => m * ten)).filter((x) => x >= low * 0.999 && x <= high * 1.001);
    const tens = inside.filter((x) => Math.abs(Math.log10(x) - Math.round(Math.log10(x))) < 1e-9);
    const marks = inside.length <= most || tens.length < 2 ? inside : tens;
    return marks.filter((_, i) => i % Math.ceil(marks.length / most) === 0);
  };
  const ticks = (low, high, log, most) => {
    if (log) return logTicks(low, high, most);
    const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const marks = [];
    for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-6; x += step) marks.push(Math.abs(x) < step * 1e-6 ? 0 : x);
    return marks;
  };
  const PERIODS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200];
  const timeTicks = (end, most) => {
    const step = PERIODS.find((s) => end / s <= most) || 86400 * Math.ceil(end / 86400 / most);
    return range(Math.floor(end / step) + 1).map((i) => i * step);
  };
  const clock = (s) => {
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)}${s % 60 ? `:${twoDigits(s % 60)}` : ""} min`;
    return `${Number((s / 3600).toFixed(2))} h`;
  };
  const tickText = (x) => (Math.abs(x) >= 1e4 ? count(x) : String(Number(x.toPrecision(4))));
  const path = (points) => {
    let d = "", pen = false;
    for (const p of points) {
      if (p) d += `${pen ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`;
      pen = Boolean(p);
    }
    return d;
  };

  const drawing = (width, height, label) => svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", tabindex: 0, "aria-label": label });
  /* Grid lines, the numbers along both axes and what they are; of marks along x those that have room. */
  const axes = (plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks, xMarks }) => {
    for (const y of yMarks) {
      plot.append(svg("line", { class: "gridline", x1: pad.left, x2: width - pad.right, y1: Y(y), y2: Y(y) }),
        svg("text", { x: pad.left - 8, y: Y(y) + 4, "text-anchor": "end" }, tickText(y)));
    }
    for (const x of xMarks.filter((mark, i, marks) => !i || X(mark) - X(marks[i - 1]) > 24)) {
      plot.append(svg("text", { x: X(x), y: height - pad.bottom + 18, "text-anchor": "middle" }, tickText(x)));
    }
    plot.append(svg("text", { x: width - pad.right, y: height - 4, "text-anchor": "end" }, xLabel));
    if (yLabel) plot.append(svg("text", { x: 2, y: 12 }, yLabel));
  };
  /* How many marks along x a plot has room for. */
  const marksAlong = (width, pad) => Math.floor((width - pad.left - pad.right) / 90);

  const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  /* Lets pointer and keys read a plot: say(x) describes the nearest of `xs`, pick(x) is called on a click or Enter. Returns how to rest. */
  const readable = (plot, readout, { xs, X, pad, width, height, say, idle, pick }) => {
    const cross = svg("line", { class: "cross", y1: pad.top, y2: height - pad.bottom, visibility: "hidden" });
    plot.append(cross);
    let at = xs.length - 1;
    const read = () => {
      const x = xs[at];
      for (const [name, value] of [["x1", X(x)], ["x2", X(x)], ["visibility", "visible"]]) cross.setAttribute(name, value);
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
      if (!(e.key in MOVES)) return;
      at = clamp(at + MOVES[e.key], 0, xs.length - 1);
      read();
      e.preventDefault();
    });
    return rest;
  };

  // ---------------------------------------------------------------- lines

  /* What was given up may have run far away: only what stays within a few heights of what counts widens the plot. */
  const withinReach = (values, lost, logY) => {
    const f = logY ? Math.log10 : (y) => y, [least, most] = extent(values), [low, high] = [f(least), f(most)];
    const reach = logY ? Math.max(4, high - low) : 3 * (high - low || Math.abs(high) || 1); // decades, or heights
    return lost.filter((y) => f(y) >= low - reach && f(y) <= high + reach);
  };
  const bounds = (values, log) => {
    const [low, high] = extent(values);
    if (low !== high) return [low, high];
    return log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  };
  const xBounds = (points, { events, xEnd, logX }) => {
    const [low, high] = bounds(points.map((p) => p[0]).concat(events.map((e) => e.step), isNumber(xEnd) ? xEnd : []), logX);
    return [logX ? low : Math.min(0, low), high];
  };
  const yBounds = (points, lost, shown, { bands, yRange, logY }) => {
    const spreads = shown.flatMap((s) => (s.spread || []).flatMap(([, low, high]) => [low, high]));
    const edges = bands.flatMap((band) => [band.low, band.high]).filter((y) => !logY || y > 0);
    const heights = points.map((p) => p[1]).concat(yRange, spreads, edges);
    const [low, high] = bounds(heights.concat(withinReach(heights, lost.map((p) => p[1]), logY)), logY);
    if (logY) return [low / 1.08, high * 1.08];
    const room = (high - low) * 0.05;
    return [low >= 0 && low < (high - low) * 0.4 ? 0 : low - room, high + room];
  };
  const drawSurroundings = ({ plot, X, Y, pad, width, height }, { bands, events, level }) => {
    const across = width - pad.right - pad.left;
    for (const { low, high, cls, words } of bands) {
      plot.append(svg("rect", { class: `band ${cls}`, x: pad.left, width: across, y: Y(high), height: Y(low) - Y(high) }, svg("title", {}, words)));
    }
    for (const e of events) plot.append(svg("line", { class: "onset", x1: X(e.step), x2: X(e.step), y1: pad.top - 4, y2: height - pad.bottom }));
    if (isNumber(level)) plot.append(svg("line", { class: "even", x1: pad.left, x2: width - pad.right, y1: Y(level), y2: Y(level) }));
  };
  const drawLine = ({ X, Y, y0, y1 }, s) => {
    const at = (p) => [X(p[0]), Y(p[1])], group = svg("g", { class: s.code.cls });
    if (s.spread && s.spread.length) {
      const outline = [...s.spread.map(([x, , high]) => [X(x), Y(high)]), ...s.spread.map(([x, low]) => [X(x), Y(low)]).reverse()];
      group.append(svg("path", { class: "band", d: `${path(outline)}Z` }));
    }
    for (const line of s.givenUp) {
      group.append(svg("path", { class: "given-up", d: path(line.map((p) => [X(p[0]), Y(clamp(p[1], y0, y1))])), "stroke-dasharray": s.code.dash }));
    }
    if (s.raw.length) group.append(svg("path", { class: "raw", d: path(s.raw.map(at)) }));
    group.append(svg("path", { class: "line", d: path(s.points.map(at)), "stroke-dasharray": s.code.dash }));
    if (s.kept) for (const p of s.points.filter(s.kept)) group.append(svg("circle", { cx: X(p[0]), cy: Y(p[1]), r: 9, class: "kept" }));
    if (s.marks) {
      for (const p of s.points) {
        const now = s.at && s.at(p);
        group.append(marker(s.code.shape, ...at(p), now ? 5.5 : 3.6, now ? "mark at" : "mark"));
      }
    }
    return group;
  };
  const NAME_GAP = 16, LONGEST_NAME = 24; // pixels beside a name, and its most characters
  const ruler = document.createElement("canvas").getContext("2d");
  /* The width of a name in pixels, in the font of atelier.css. */
  const widthOf = (name) => {
    ruler.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
    return ruler.measureText(name).width;
  };
  /* A name, shortened to what fits. */
  const fitting = (name, room) => {
    let most = LONGEST_NAME;
    while (most > 2 && widthOf(short(name, most)) > room) most -= 1;
    return short(name, most);
  };
  /* Names at the ends of the lines, pushed apart where they would overlap. */
  const drawNames = ({ plot, X, Y, pad, height }, shown) => {
    const ends = shown.filter((s) => s.points.length).map((s) => ({ s, p: s.points[s.points.length - 1] })).sort((a, b) => Y(a.p[1]) - Y(b.p[1]));
    let last = -Infinity;
    for (const end of ends) end.y = last = Math.max(last + 15, Y(end.p[1]) + 4);
    let floor = height - pad.bottom;
    for (const end of ends.reverse()) { end.y = Math.min(end.y, floor); floor = end.y - 15; }
    for (const { s, p, y } of ends) plot.append(svg("text", { class: "name", x: X(p[0]) + 10, y }, fitting(s.name, pad.right - NAME_GAP + 0.1)));
  };
  const usableSeries = (series, { logX, logY }) => {
    const usable = ([x, y]) => isNumber(x) && isNumber(y) && (!logX || x > 0) && (!logY || y > 0);
    return series.map((s) => ({
      ...s, points: s.points.filter(usable), raw: (s.raw || []).filter(usable), givenUp: (s.givenUp || []).map((line) => line.filter(usable)),
    }));
  };
  const nothingToDraw = (box, readout, series) => {
    const logged = series.some((s) => s.points.length);
    box.replaceChildren(el("p", { class: "empty" }, logged ? "No positive values to show on a logarithmic scale." : "Nothing has been logged yet."));
    readout.textContent = "";
    return { mark() {} };
  };
  /* The line of the slider, which mark(x) moves. */
  const sliderLine = ({ plot, X, pad, height, x0, x1 }) => {
    const now = svg("line", { class: "now", y1: pad.top, y2: height - pad.bottom, visibility: "hidden" });
    plot.append(now);
    return { mark(x) {
      const inside = isNumber(x) && x >= x0 && x <= x1 * 1.05; // the last log line may come a little before the last grid
      now.setAttribute("visibility", inside ? "visible" : "hidden");
      if (inside) for (const end of ["x1", "x2"]) now.setAttribute(end, X(Math.min(x, x1)));
    } };
  };
  const linePadding = (shown, { width, names, yLabel, events }) => {
    const right = names ? NAME_GAP + Math.max(...shown.map((s) => widthOf(short(s.name, LONGEST_NAME)))) : 14;
    return { left: 52, right: Math.min(right, width * 0.4), top: yLabel || events.length ? 24 : 10, bottom: 38 };
  };
  const lineFrame = (shown, points, lost, options) => {
    const { width, height, logX, logY, label } = options, pad = linePadding(shown, options);
    const [x0, x1] = xBounds([...points, ...lost], options), [y0, y1] = yBounds(points, lost, shown, options);
    const X = scale(x0, x1, pad.left, width - pad.right, logX), Y = scale(y0, y1, height - pad.bottom, pad.top, logY);
    return { plot: drawing(width, height, `${label}. Arrow keys read the values.`), X, Y, pad, width, height, x0, x1, y0, y1 };
  };
  /* series: [{name, code, points: [[x, y, info]], raw, givenUp, marks, spread: [[x, low, high]]}]; bands: [{low, high, cls, words}] of advice;
     events: diagnoses by step; level: a value to compare with; yRange, xEnd: what is shown at least; xTicks: values to name; pick(x): called
     on a click or Enter. Returns {mark(x)} to move the line of the slider. */
  const lineChart = (box, readout, { series, ...given }) => {
    const options = { bands: [], events: [], yRange: [], ...given }, { width, logX, logY, xLabel, yLabel, xTicks, events, say, idle, pick } = options;
    const shown = usableSeries(series, options);
    const lost = shown.flatMap((s) => s.givenUp.flat()), own = shown.flatMap((s) => [...s.points, ...s.raw]);
    const points = own.length ? own : lost;
    if (!points.length) return nothingToDraw(box, readout, series);
    const frame = lineFrame(shown, points, lost, options), { plot, X, pad, x0, x1, y0, y1 } = frame;
    axes(plot, { ...frame, xLabel, yLabel, yMarks: ticks(y0, y1, logY, 5), xMarks: xTicks || ticks(x0, x1, logX, Math.max(3, marksAlong(width, pad))) });
    drawSurroundings(frame, options);
    for (const s of shown) plot.append(drawLine(frame, s));
    if (options.names) drawNames(frame, shown);
    for (const e of events) plot.append(sign(e, X(e.step), pad.top - 11, 5));
    const slider = sliderLine(frame);
    const xs = unique([...shown.flatMap((s) => [...s.points, ...s.givenUp.flat()].map((p) => p[0])), ...events.map((e) => e.step)]).sort(ascending);
    const rest = readable(plot, readout, { ...frame, xs, say: (x) => say(x, shown), idle, pick });
    box.replaceChildren(plot);
    rest();
    return slider;
  };

  // ---------------------------------------------------------------- bars, dots and heat

  /* Bars over any whole numbers, those of several series side by side. */
  const barChart = (box, readout, { series, width, height, xLabel, yLabel, label, say, idle }) => {
    const points = series.flatMap((s) => s.points), xs = unique(points.map((p) => p[0])).sort(ascending);
    const [low, high] = extent([0, ...points.map((p) => p[1])]), pad = { left: 52, right: 14, top: 24, bottom: 38 };
    const slot = (width - pad.left - pad.right) / xs.length, thick = Math.max(1, (slot * 0.8) / series.length);
    const place = new Map(xs.map((x, i) => [x, pad.left + (i + 0.5) * slot])), X = (x) => place.get(x);
    const top = high * 1.05 || 1, Y = scale(low * 1.05, top, height - pad.bottom, pad.top, false), plot = drawing(width, height, label);
    const xMarks = xs.filter((_, i) => i % Math.ceil(26 / slot) === 0);
    axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(low * 1.05, top, false, 5), xMarks });
    series.forEach((s, i) => plot.append(svg("g", { class: s.code.cls }, s.points.map(([x, y]) => svg("rect", {
      class: "stage", x: X(x) + (i - series.length / 2) * thick, width: thick, y: Y(Math.max(0, y)), height: Math.abs(Y(y) - Y(0)),
    })))));
    const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle });
    box.replaceChildren(plot);
    rest();
  };

  const middle = (values) => [...values].sort(ascending)[Math.floor(values.length / 2)];
  const fade = (chart) => {
    const apart = chart.dataset.apart;
    for (const node of all("[data-series]", chart)) node.classList.toggle("faded", Boolean(apart) && node.dataset.series !== apart);
  };
  const NEAR = 14; // pixels between a pointer and the dot that it picks, at most
  /* Lets a click pick the nearest dot, and arrow keys one after the other; pick(i) gets its number. */
  const pickable = (plot, places, width, pick) => {
    let at = -1;
    plot.classList.add("pickable");
    plot.addEventListener("click", (e) => {
      const frame = plot.getBoundingClientRect(), [mx, my] = [e.clientX - frame.left, e.clientY - frame.top].map((a) => (a / frame.width) * width);
      const away = places.map(([x, y]) => Math.hypot(x - mx, y - my)), near = away.indexOf(Math.min(...away));
      if (away[near] <= NEAR) pick(at = near);
    });
    plot.addEventListener("keydown", (e) => {
      if (!(e.key in MOVES)) return;
      pick(at = clamp(at + MOVES[e.key], 0, places.length - 1));
      e.preventDefault();
    });
  };
  /* A dot a point; every series has its shape and is named at its middle, so that colour is not the only sign. */
  const dotChart = (box, readout, { series, width, height, xLabel, yLabel, label, idle, pick }) => {
    const points = series.flatMap((s) => s.points), pad = { left: 52, right: 14, top: 24, bottom: 38 };
    const [[x0, x1], [y0, y1]] = [0, 1].map((i) => {
      const [low, high] = extent(points.map((p) => p[i])), room = (high - low || 1) * 0.04;
      return [low - room, high + room];
    });
    const X = scale(x0, x1, pad.left, width - pad.right, false), Y = scale(y0, y1, height - pad.bottom, pad.top, false), plot = drawing(width, height, label);
    axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(y0, y1, false, 5), xMarks: ticks(x0, x1, false, marksAlong(width, pad)) });
    series.forEach((s, i) => plot.append(svg("g", { class: `dots ${s.code.cls}`, "data-series": i }, svg("title", {}, s.name),
      s.points.map(([x, y]) => marker(s.code.shape, X(x), Y(y), 2.6, "dot")))));
    if (series.length > 1) {
      series.forEach((s, i) => {
        const [x, y] = [0, 1].map((axis) => middle(s.points.map((p) => p[axis])));
        plot.append(svg("text", { class: "name over", "data-series": i, x: X(x), y: Y(y) + 4, "text-anchor": "middle" }, short(s.name, 12)));
      });
    }
    if (pick) pickable(plot, points.map(([x, y]) => [X(x), Y(y)]), width, pick);
    box.replaceChildren(plot);
    fade(box.closest(".chart"));
    readout.textContent = idle;
  };

  /* Rows of cells up to each of the steps `xs`, the stronger the higher; rows: [[value at each x]]. */
  const heatChart = (box, readout, { xs, rows, width, height, xLabel, yLabel, label, say, idle }) => {
    const pad = { left: 14, right: 14, top: 24, bottom: 38 }, h = (height - pad.top - pad.bottom) / rows.length;
    const edges = [0, ...xs], end = xs[xs.length - 1], [, high] = extent([0, ...rows.flat().filter(isNumber)]);
    const X = scale(0, end, pad.left, width - pad.right, false), plot = drawing(width, height, label);
    axes(plot, { X, pad, width, height, xLabel, yLabel, yMarks: [], xMarks: ticks(0, end, false, Math.floor(width / 90)) });
    const cell = (value, i, j) => svg("rect", {
      class: "stage", x: X(edges[i]), y: pad.top + j * h, width: X(edges[i + 1]) - X(edges[i]), height: Math.max(1, h - 0.6),
      "fill-opacity": Math.sqrt(value / high).toFixed(2),
    });
    rows.forEach((row, j) => plot.append(svg("g", { class: "s0" }, row.map((value, i) => (isNumber(value) && value > 0 ? cell(value, i, j) : null)))));
    const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle });
    box.replaceChildren(plot);
    rest();
  };

  // ---------------------------------------------------------------- around a plot

  /* A plot with its title, a line that reads it and a legend; draw(box, readout, width) where it is not folded away. */
  const framed = (place, title, cls, legend, draw) => {
    const box = el("div"), readout = readoutLine();
    const redraw = () => { if (box.clientWidth) draw(box, readout, Math.max(240, box.clientWidth)); };
    place.append(el("div", { class: `chart ${cls}` }, title ? el("h4", {}, title) : null, readout, box, legend && el("div", { class: "legend" }, legend)));
    onResize(box, redraw);
    redraw();
  };
  const namesOf = (series) => series.map((s) => el("span", {}, swatch(s.code, true), s.name));

  Object.assign(Atelier, {
    scale, ticks, timeTicks, clock, tickText, path, drawing, axes, readable,
    lineChart, barChart, dotChart, heatChart, fade, framed, namesOf,
  });
})();
