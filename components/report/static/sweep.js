/* The plots of sweeps, on the page of a run that has one. Text reaches the page as text nodes only. */
"use strict";
Atelier.drawSweeps = (sweeps) => {
  const { el, svg, find, all, clamp, isNumber, unique, number, decimal, duration, scale, ticks, tickText, axes, readable, drawing, path, marker, extent, onResize, framed, select } = Atelier;
  const SHADES = 6; // of a score, from the best to the worst
  const LOST = ["failed", "collapsed"];
  const WIDE = 8; // from the smallest to the largest: beyond, a logarithmic axis
  const PITCH = 96; // pixels between two axes, at least

  // As components/tuning/recommendations.py writes values.
  const written = (x) => {
    if (!isNumber(x) || x === 0 || Number.isInteger(x)) return String(x);
    const size = Math.abs(x);
    if (size < 1e-2 || size >= 1e5) return x.toExponential(1).replace(".0e", "e").replace("e+", "e");
    return String(Number(x.toPrecision(3)));
  };
  const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
  const wide = (values) => values.length > 0 && Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) >= WIDE;
  const apart = (low, high, log) => (low < high ? [low, high] : log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1]);
  const roomy = (values, log) => {
    const [low, high] = apart(...extent(values), log), room = (high - low) * 0.06;
    return log ? [low / 1.1, high * 1.1] : [low >= 0 && low < (high - low) * 0.4 ? 0 : low - room, high + room];
  };
  const middle = (values) => { const sorted = [...values].sort((a, b) => a - b); return sorted[Math.floor((sorted.length - 1) / 2)]; };
  const hint = "Hover or focus to read values; a click on a point shows its samples.";

  const draw = (place, sweep) => {
    const { trials } = sweep, by = new Map(trials.map((trial) => [trial.n, trial]));
    const pick = { score: "value", brushes: new Map(), hot: null };
    const scoreOf = (trial) => trial[pick.score];
    const valuesOf = (trial) => (pick.score === "first" ? trial.began : trial.at); // a population's change on the way
    const lost = (trial) => LOST.includes(trial.state);
    const costly = (x) => (sweep.cost.unit === "s" ? duration(x) : `${decimal(x)} ${sweep.cost.unit || sweep.cost.name}`);
    /* Shades go by rank, so that one bad trial does not make all others alike. */
    const shade = () => {
      const ranked = trials.filter((trial) => isNumber(scoreOf(trial)) && !lost(trial)).sort((a, b) => scoreOf(a) - scoreOf(b));
      const classes = new Map(ranked.map((trial, i) => [trial.n, `q${Math.floor((i / Math.max(1, ranked.length - 1)) * (SHADES - 1))}`]));
      for (const trial of trials) trial.cls = `${classes.get(trial.n) || (lost(trial) ? "lost" : "open")}${trial.n === sweep.winner ? " won" : ""}`;
      return ranked;
    };
    let ranked = shade();
    const name = (trial) => `trial ${trial.n}${trial.n === sweep.winner ? " (winner)" : ""}`;
    const describe = (trial) => {
      const values = sweep.axes.map((axis, i) => [axis, valuesOf(trial)[i]]).map(([axis, at]) => (at === null ? null : `${axis.name} ${axis.choices ? axis.choices[at] : written(at)}`)).filter(Boolean).join(" · ");
      const value = scoreOf(trial), when = pick.score === "first" ? " at the first rung" : isNumber(trial.step) ? ` at step ${number(trial.step)}` : "";
      const score = isNumber(value) ? `${sweep.metric} ${decimal(value)}${when}` : "no score";
      return `${name(trial)}, ${trial.state}: ${score}${values ? `; ${values}` : ""}`;
    };

    // ------------------------------------------------------------ selected and highlighted trials

    const rows = all("tr[data-trial]", place), status = find(".shown", place);
    const axisList = () => [...sweep.axes.map(spread), scoreAxis()];
    const selected = () => {
      const list = axisList();
      return trials.filter((trial) => [...pick.brushes].every(([i, [low, high]]) => { const at = list[i].place(trial); return at !== null && at >= low - 1e-9 && at <= high + 1e-9; }));
    };
    const filter = () => {
      const keep = new Set(selected().map((trial) => trial.n));
      for (const node of all("svg [data-trial]", place)) node.classList.toggle("faded", !keep.has(Number(node.dataset.trial)));
      for (const row of rows) row.hidden = !keep.has(Number(row.dataset.trial));
      status.textContent = pick.brushes.size ? `${number(keep.size)} of ${number(trials.length)}` : number(trials.length);
      return keep;
    };
    const point = (n) => {
      if (pick.hot === n) return;
      pick.hot = n;
      for (const node of all("[data-trial]", place)) node.classList.toggle("hot", n !== null && Number(node.dataset.trial) === n);
    };
    for (const row of rows) {
      for (const event of ["pointerenter", "focusin"]) row.addEventListener(event, () => point(Number(row.dataset.trial)));
      for (const event of ["pointerleave", "focusout"]) row.addEventListener(event, () => point(null));
    }

    // ------------------------------------------------------------ the samples of a point

    const picked = el("figure", { class: "picked" }), caption = el("figcaption", { "aria-live": "polite" });
    /* Shows the samples of a trial below the plot in which it was chosen. */
    const showSamples = (trial, chart) => {
      const thumb = find(`tr[data-trial="${trial.n}"] .thumb img`, place);
      caption.textContent = thumb ? `Samples of ${describe(trial)}` : `${describe(trial)}; no samples of it are stored`;
      picked.replaceChildren(caption, thumb ? el("img", { src: thumb.getAttribute("src"), alt: `Samples of trial ${trial.n}` }) : "");
      chart.append(picked);
    };
    place.addEventListener("click", (e) => {
      const plot = e.target.closest(".chart svg.plot"), node = plot && e.target.closest("[data-trial]");
      const n = node ? Number(node.dataset.trial) : plot && !e.target.closest(".axis") && plot.closest(".parallel") ? pick.hot : null;
      if (n !== null && by.has(n)) showSamples(by.get(n), plot.closest(".chart"));
    });

    // ------------------------------------------------------------ parallel coordinates

    /* place(trial): where a trial lies from 0 to 1 along an axis, or null; textAt(at): the value there; step: of the keys. */
    const firstOfText = ([, text], i, marks) => marks.findIndex((mark) => mark[1] === text) === i; // neighbours may round to the same number
    const spread = (axis, i) => {
      if (axis.choices) {
        const n = Math.max(1, axis.choices.length);
        const jitter = (trial) => ((((trial.n * 0.618034) % 1) - 0.5) * 0.5) / n; // so that lines through one choice do not cover each other
        return { name: axis.name, step: 1 / n, choices: axis.choices, wanted: axis.wanted === null ? null : (axis.wanted + 0.5) / n,
          place: (trial) => (valuesOf(trial)[i] === null ? null : (valuesOf(trial)[i] + 0.5) / n + jitter(trial)),
          marks: axis.choices.map((text, j) => [(j + 0.5) / n, text]), textAt: (at, upper) => axis.choices[clamp(upper ? Math.ceil(at * n - 1e-6) - 1 : Math.floor(at * n + 1e-6), 0, n - 1)] };
      }
      const [low, high] = apart(axis.low, axis.high, axis.log), to = scale(low, high, 0, 1, axis.log);
      const back = (at) => (axis.log ? low * (high / low) ** at : low + (high - low) * at);
      return { name: axis.name, step: 1 / 40, place: (trial) => (valuesOf(trial)[i] === null ? null : clamp(to(valuesOf(trial)[i]), 0, 1)), wanted: axis.wanted === null ? null : clamp(to(axis.wanted), 0, 1),
        marks: unique([low, ...ticks(low, high, axis.log, 5).filter((x) => to(x) > 0.07 && to(x) < 0.93), high]).map((x) => [to(x), written(x)]).filter(firstOfText), textAt: (at) => written(back(at)) };
    };
    const scoreAxis = () => {
      const values = trials.map(scoreOf).filter(isNumber), none = trials.some((trial) => !isNumber(scoreOf(trial)));
      const log = wide(values), [low, high] = values.length ? apart(...extent(values), log) : [0, 1], top = none && values.length ? 0.9 : 1;
      const to = scale(low, high, 0, top, log), back = (at) => (log ? low * (high / low) ** (at / top) : low + ((high - low) * at) / top);
      const marks = values.length ? unique([low, ...ticks(low, high, log, 5).filter((x) => to(x) > 0.08 && to(x) < top - 0.1), high]).map((x) => [to(x), decimal(x)]).filter(firstOfText) : [];
      return { name: sweep.metric, score: true, step: 1 / 40, wanted: null, place: (trial) => (isNumber(scoreOf(trial)) ? to(scoreOf(trial)) : 1), marks: none ? [...marks, [1, "no score"]] : marks, textAt: (at) => (at > top + 1e-6 ? "no score" : decimal(back(Math.min(at, top)))) };
    };

    const parallel = (holder) => {
      const box = el("div", { class: "wide" }), readout = el("p", { class: "readout", "aria-live": "polite" });
      const clear = el("button", { type: "button", hidden: true, onclick: () => { pick.brushes.clear(); update(); } }, "Show all trials");
      const idle = `${sweep.winner === null ? "" : "The thick line is the winner. "}Drag along an axis to keep a range, or focus its ends and use the arrow keys; a click on an axis clears it, one on a line shows samples.`;
      const scores = sweep.trials.some((trial) => trial.first !== null) ? select("Score", [["value", "at the last evaluation"], ["first", "at the first rung, reached by all"]], pick.score, (value) => { pick.score = value; pick.brushes.clear(); ranked = shade(); redraw(); again(); }) : null;
      let update = () => {};
      const redraw = () => {
        const list = axisList(), width = Math.max(box.clientWidth, list.length * PITCH, 280), stagger = sweep.axes.some((axis) => axis.name.length * 6.6 > width / list.length - 8);
        const top = stagger ? 50 : 34, height = 350 + top, bottom = 22, left = 58, right = 70, X = (i) => left + (i / Math.max(1, list.length - 1)) * (width - left - right), Y = (at) => height - bottom - at * (height - top - bottom);
        const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "plot", role: "group", tabindex: 0, "aria-label": `Parallel coordinates of ${trials.length} trials over ${sweep.axes.length} hyperparameters and ${sweep.metric}. Left and right read the trials, the best first, Enter shows the samples; Tab goes to the ends of each axis.` });
        const order = [...trials].sort((a, b) => (isNumber(scoreOf(b)) ? scoreOf(b) : Infinity) - (isNumber(scoreOf(a)) ? scoreOf(a) : Infinity) || 0), lines = svg("g", { class: trials.length > 60 ? "many" : null });
        for (const trial of order) { // the best on top
          trial.line = list.map((axis, i) => { const at = axis.place(trial); return at === null ? null : [X(i), Y(at)]; });
          lines.append(svg("path", { class: `line ${trial.cls}`, "data-trial": trial.n, d: path(trial.line) }));
        }
        plot.append(lines);
        const brushes = list.map((axis, i) => {
          const x = X(i), most = axis.score ? 18 : Math.floor((stagger ? 2 : 1) * (width / list.length) / 6.6);
          const group = svg("g", { class: "axis" }, svg("line", { x1: x, x2: x, y1: Y(0), y2: Y(1) }));
          group.append(svg("text", { class: "name over", x: axis.score ? width - 2 : x, y: stagger && i % 2 === 0 ? 13 : stagger ? 29 : 13, "text-anchor": axis.score ? "end" : i ? "middle" : "start", ...(i || axis.score ? {} : { x: 2 }) }, short(axis.name, Math.max(6, most)), svg("title", {}, axis.name)));
          if (axis.score) group.append(svg("text", { x: width - 2, y: height - 4, "text-anchor": "end" }, "lower is better"));
          for (const [at, text] of axis.marks) group.append(svg("line", { x1: x - 4, x2: x, y1: Y(at), y2: Y(at) }), svg("text", { class: "over", x: axis.score ? x + 8 : x - 7, y: Y(at) + 4, "text-anchor": axis.score ? "start" : "end" }, short(text, 12), svg("title", {}, text)));
          if (axis.wanted !== null) group.append(svg("path", { class: "wanted", d: `M${x} ${Y(axis.wanted) - 5}l5 5l-5 5l-5 -5z` }, svg("title", {}, `${axis.name}: recommended, or the default`)));
          const band = svg("rect", { class: "brush", x: x - 9, width: 18, visibility: "hidden" }), area = svg("rect", { class: "area", x: x - 16, width: 32, y: Y(1) - 8, height: Y(0) - Y(1) + 16 });
          const handle = (end) => svg("path", { class: "handle", d: end ? "M-6 0L6 0L0 -7z" : "M-6 0L6 0L0 7z", role: "slider", tabindex: 0, "aria-orientation": "vertical", "aria-label": `${axis.name}: ${end ? "upper" : "lower"} end`, "aria-valuemin": 0, "aria-valuemax": 100, onkeydown: (e) => {
            const move = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5, Home: -Infinity, End: Infinity }[e.key], now = [...(pick.brushes.get(i) || [0, 1])];
            if (e.key === "Escape") pick.brushes.delete(i);
            else if (move === undefined) return;
            else { now[end] = clamp(now[end] + move * axis.step, end ? now[0] : 0, end ? 1 : now[1]); pick.brushes.set(i, now); }
            e.preventDefault(); e.stopPropagation();
            update();
          } });
          const handles = [handle(0), handle(1)];
          let from = null;
          const along = (e) => { const frame = plot.getBoundingClientRect(); return clamp((Y(0) - ((e.clientY - frame.top) / frame.height) * height) / (Y(0) - Y(1)), 0, 1); };
          const snapped = (a, b) => (axis.choices ? [Math.floor(a / axis.step + 1e-6) * axis.step, Math.min(1, (Math.floor(b / axis.step - 1e-6) + 1) * axis.step)] : [a, b]);
          area.addEventListener("pointerdown", (e) => { from = along(e); if (e.isTrusted) area.setPointerCapture(e.pointerId); e.preventDefault(); });
          area.addEventListener("pointermove", (e) => { if (from === null) return; const to = along(e); if (Math.abs(to - from) > 0.01) { pick.brushes.set(i, snapped(Math.min(from, to), Math.max(from, to))); update(); } });
          area.addEventListener("pointerup", (e) => { if (from !== null && Math.abs(along(e) - from) <= 0.01) { pick.brushes.delete(i); update(); } from = null; });
          area.addEventListener("pointercancel", () => { from = null; });
          group.append(band, area, ...handles);
          plot.append(group);
          return () => {
            const [low, high] = pick.brushes.get(i) || [0, 1];
            band.setAttribute("visibility", pick.brushes.has(i) ? "visible" : "hidden");
            band.setAttribute("y", Y(high)); band.setAttribute("height", Math.max(2, Y(low) - Y(high)));
            handles.forEach((node, end) => {
              const at = end ? high : low;
              node.setAttribute("transform", `translate(${x} ${Y(at) + (end ? -2 : 2)})`);
              node.setAttribute("aria-valuenow", Math.round(at * 100)); node.setAttribute("aria-valuetext", axis.textAt(at, end));
            });
          };
        });
        let at = -1;
        const showTrial = (trial) => { point(trial ? trial.n : null); readout.textContent = trial ? describe(trial) : rest(); };
        const rest = () => (pick.brushes.size ? `${number(selected().length)} of ${number(trials.length)} trials kept: ${[...pick.brushes].map(([i, [low, high]]) => { const ends = unique([list[i].textAt(low, 0), list[i].textAt(high, 1)]); return `${list[i].name} ${ends.join(" to ")}`; }).join("; ")}.` : idle);
        update = () => { for (const move of brushes) move(); filter(); clear.hidden = !pick.brushes.size; readout.textContent = rest(); };
        plot.addEventListener("pointermove", (e) => {
          const frame = plot.getBoundingClientRect(), mx = ((e.clientX - frame.left) / frame.width) * width, my = ((e.clientY - frame.top) / frame.height) * height;
          if (e.buttons) return;
          const i = clamp(Math.floor(((mx - left) / Math.max(1, width - left - right)) * (list.length - 1)), 0, Math.max(0, list.length - 2));
          const distance = (trial) => { const [a, b] = [trial.line[i], trial.line[Math.min(i + 1, list.length - 1)]]; if (!a || !b) return Infinity; const share = b[0] > a[0] ? clamp((mx - a[0]) / (b[0] - a[0]), 0, 1) : 0; return Math.abs(a[1] + share * (b[1] - a[1]) - my); };
          const near = selected().map((trial) => [distance(trial), trial]).sort((a, b) => a[0] - b[0])[0];
          showTrial(near && near[0] < 12 ? near[1] : null);
        });
        plot.addEventListener("pointerleave", () => showTrial(null));
        plot.addEventListener("blur", () => showTrial(null));
        plot.addEventListener("keydown", (e) => {
          const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key], list = selected(), sorted = [...ranked.filter((t) => list.includes(t)), ...list.filter((t) => !ranked.includes(t))];
          if (e.key === "Escape") { pick.brushes.clear(); update(); }
          if (e.key === "Enter" && sorted[at]) showSamples(sorted[at], plot.closest(".chart"));
          if (move === undefined || !sorted.length) return;
          at = clamp(at + move, 0, sorted.length - 1);
          showTrial(sorted[at]);
          e.preventDefault();
        });
        box.replaceChildren(plot);
        update();
      };
      const legend = el("div", { class: "legend" }, el("span", { class: "ramp" }, "best", svg("svg", { viewBox: "0 0 90 10", "aria-hidden": "true" }, [...Array(SHADES).keys()].map((i) => svg("rect", { class: `shade q${i}`, x: i * 15, width: 15, height: 10 }))), "worst"),
        trials.some(lost) ? el("span", {}, svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, svg("line", { class: "line lost", x1: 0, x2: 22, y1: 5, y2: 5 })), "failed or collapsed") : null,
        trials.some((t) => t.state === "running") ? el("span", {}, svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, svg("line", { class: "line open", x1: 0, x2: 22, y1: 5, y2: 5 })), "running") : null,
        sweep.axes.some((axis) => axis.wanted !== null) ? el("span", {}, svg("svg", { viewBox: "0 0 12 12", class: "diamond", "aria-hidden": "true" }, svg("path", { class: "wanted", d: "M6 1l5 5l-5 5l-5 -5z" })), "recommended, or the default") : null);
      holder.append(el("div", { class: "tools" }, scores, clear), el("div", { class: "chart" }, readout, box, legend));
      onResize(box, redraw);
      redraw();
    };

    // ------------------------------------------------------------ the other plots

    const redraws = [];
    const again = () => { for (const redo of redraws) redo(); filter(); };
    const plotted = (title, legend, drawn) => {
      framed(charts, title, "", legend, (box, readout, width) => {
        const redo = () => { drawn(box, readout, width); filter(); };
        redraws.push(redo);
        redo();
      });
    };
    const frame = (width, height, { xs, ys, logX, logY, xLabel, yLabel, label, xTicks, top = 24, left = 52 }) => {
      const pad = { left, right: 14, top, bottom: 38 }, [x0, x1] = logX ? apart(...extent(xs), true) : [Math.min(0, ...xs), Math.max(...xs, 1e-9)], [y0, y1] = roomy(ys, logY);
      const X = scale(x0, x1, pad.left, width - pad.right, logX), Y = scale(y0, y1, height - pad.bottom, pad.top, logY), plot = drawing(width, height, label);
      axes(plot, { X, Y, pad, width, height, xLabel, yLabel, yMarks: ticks(y0, y1, logY, 5), xMarks: xTicks || ticks(x0, x1, logX, Math.max(3, Math.floor((width - pad.left - pad.right) / 90))) });
      if (isNumber(sweep.real_baseline) && sweep.real_baseline >= y0 && sweep.real_baseline <= y1) plot.append(svg("line", { class: "even", x1: pad.left, x2: width - pad.right, y1: Y(sweep.real_baseline), y2: Y(sweep.real_baseline) }, svg("title", {}, `${sweep.bound} ${decimal(sweep.real_baseline)}`)));
      return { plot, X, Y, pad };
    };
    const dot = (trial, x, y, shape = 0, r = 3.2) => { const node = marker(shape, x, y, r, `dot ${trial.cls}`); node.dataset.trial = trial.n; node.append(svg("title", {}, describe(trial))); return node; };

    const bestSoFar = () => plotted("Best so far against cost", null, (box, readout, width) => {
      const points = sweep.spent.filter(([, n]) => by.has(n)), scored = points.map((p) => p[2]).filter(isNumber);
      if (!scored.length) { box.replaceChildren(el("p", { class: "empty" }, "No trial has ended with a score yet.")); return; }
      const logY = wide(scored), height = 280, { plot, X, Y, pad } = frame(width, height, { xs: points.map((p) => p[0]), ys: scored, logY, xLabel: `${sweep.cost.name}, all trials together`, yLabel: sweep.metric, label: `Best ${sweep.metric} so far against ${sweep.cost.name}. Arrow keys read the values.` });
      const steps = points.filter((p) => isNumber(p[3])).flatMap(([x, , , best], i, list) => (i ? [[X(x), Y(list[i - 1][3])], [X(x), Y(best)]] : [[X(x), Y(best)]]));
      for (const [x, n, value] of points) plot.append(isNumber(value) ? dot(by.get(n), X(x), Y(value), lost(by.get(n)) ? 5 : 0) : dot(by.get(n), X(x), pad.top + 2, 5, 4));
      plot.append(svg("path", { class: "line best-line", d: path(steps) }));
      const rest = readable(plot, readout, { xs: points.map((p) => p[0]), X, pad, width, height, pick: (x) => showSamples(by.get(points.find((p) => p[0] === x)[1]), box.closest(".chart")), idle: `Each dot is a trial when it ended${points.some((p) => !isNumber(p[2])) ? ", a cross one without a score" : ""}. ${hint}`,
        say: (x) => points.filter((p) => p[0] === x).map(([, n, value, best]) => `after ${costly(x)}: trial ${n} ${isNumber(value) ? decimal(value) : by.get(n).state}; best so far ${decimal(best)}`).join("; ") });
      box.replaceChildren(plot);
      rest();
    });

    const rungs = () => plotted(sweep.scheduler === "asha" ? "Rungs: who went on" : "Course of the trials", null, (box, readout, width) => {
      const points = trials.flatMap((trial) => trial.curve), xs = unique(points.map((p) => p[0])).sort((a, b) => a - b), values = points.map((p) => p[2]);
      if (!xs.length) { box.replaceChildren(el("p", { class: "empty" }, "No trial has been evaluated yet.")); return; }
      const logY = wide(values), height = 280, steps = new Map(points.map(([judged, step]) => [judged, step]));
      const { plot, X, Y, pad } = frame(width, height, { xs: [...xs, xs[0]], ys: values, logY, xLabel: "evaluation", yLabel: sweep.metric, xTicks: xs, top: 40, label: `${sweep.metric} of ${trials.length} trials by judgement. Arrow keys read the values.` });
      for (const rung of sweep.rungs.filter((r) => xs.includes(r))) {
        const here = trials.filter((trial) => trial.curve.some((p) => p[0] === rung)), on = here.filter((trial) => trial.curve.some((p) => p[0] > rung) || trial.state === "done" || trial.state === "running");
        plot.append(svg("line", { class: "rung", x1: X(rung), x2: X(rung), y1: pad.top - 6, y2: height - pad.bottom }), svg("text", { class: "over", x: X(rung), y: pad.top - 10, "text-anchor": X(rung) > width - 60 ? "end" : "middle" }, rung < xs[xs.length - 1] ? `${number(here.length)} → ${number(on.length)}` : number(here.length)));
      }
      const many = svg("g", { class: trials.length > 60 ? "many" : null });
      for (const trial of [...ranked].reverse().concat(trials.filter((t) => !ranked.includes(t)))) {
        const at = trial.curve.map(([judged, , value]) => [X(judged), Y(value)]), end = at[at.length - 1];
        if (!end) continue;
        many.append(svg("path", { class: `line ${trial.cls}`, "data-trial": trial.n, d: path(at) }));
        many.append(dot(trial, ...end, lost(trial) ? 5 : trial.state === "stopped" ? 1 : 0, trial.state === "stopped" ? 2.8 : 3.4));
      }
      plot.append(many);
      const say = (x) => {
        const here = trials.flatMap((trial) => trial.curve.filter((p) => p[0] === x).map((p) => [p[2], trial])).sort((a, b) => a[0] - b[0]), ended = here.filter(([, trial]) => trial.state === "stopped" && trial.curve[trial.curve.length - 1][0] === x).length;
        return `evaluation ${x}${isNumber(steps.get(x)) ? ` (step ${number(steps.get(x))})` : ""}: ${number(here.length)} ${here.length === 1 ? "trial" : "trials"}, best ${decimal(here[0][0])} (trial ${here[0][1].n}), median ${decimal(middle(here.map((p) => p[0])))}${ended ? `; ${number(ended)} stopped here` : ""}`;
      };
      const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle: `${trials.some((t) => t.state === "stopped") ? "A square is a trial that was stopped; above a rung, how many came and how many went on. " : ""}${hint}` });
      box.replaceChildren(plot);
      rest();
    });

    /* Lanes of a population, the best on top; an arrow is where one took over the weights of another. */
    const genealogy = () => plotted("Genealogy", null, (box, readout, width) => {
      const moves = sweep.moves.filter((m) => by.has(m.trial) && by.has(m.from)).map((m) => ({ ...m, trial: by.get(m.trial) }));
      const lanes = [...ranked, ...trials.filter((t) => !ranked.includes(t))], pitch = clamp(320 / lanes.length, 6, 26), pad = { left: 34, right: 14, top: 12, bottom: 38 }, height = pad.top + pad.bottom + lanes.length * pitch;
      const end = Math.max(1, ...trials.map((t) => t.step || 0), ...moves.map((m) => m.step)), X = scale(0, end, pad.left, width - pad.right, false), lane = new Map(lanes.map((t, i) => [t.n, pad.top + (i + 0.5) * pitch]));
      const plot = drawing(width, height, `Genealogy of ${trials.length} trials over steps. Arrow keys read who took over whom.`);
      axes(plot, { X, pad, width, height, xLabel: "step", yMarks: [], xMarks: ticks(0, end, false, Math.max(3, Math.floor(width / 110))) });
      for (const trial of lanes) {
        const y = lane.get(trial.n);
        if (pitch >= 11) plot.append(svg("text", { x: pad.left - 8, y: y + 4, "text-anchor": "end" }, String(trial.n)));
        plot.append(svg("path", { class: `line ${trial.cls}`, "data-trial": trial.n, d: path([[X(0), y], [X(trial.step || 0), y]]) }), dot(trial, X(trial.step || 0), y, lost(trial) ? 5 : 0, 3));
      }
      const line = []; // of the winner, or of the best so far, back to its first weights
      let now = sweep.winner !== null && by.has(sweep.winner) ? by.get(sweep.winner) : lanes[0], until = Infinity;
      while (now && line.length < 1000) {
        const here = now, taken = moves.filter((m) => m.trial === here && m.step < until).pop();
        line.push([now.n, taken ? taken.step : 0, Math.min(until, now.step || 0)]);
        if (!taken) break;
        until = taken.step; now = by.get(taken.from);
      }
      for (const [n, from, to] of line) plot.append(svg("path", { class: "ancestry", d: path([[X(from), lane.get(n)], [X(to), lane.get(n)]]) }));
      for (const { trial, step, from } of moves) {
        const x = X(step), [a, b] = [lane.get(from), lane.get(trial.n)], way = Math.sign(b - a), own = line.some(([n, begun]) => n === trial.n && begun === step);
        plot.append(svg("path", { class: `took${own ? " own" : ""}`, "data-trial": trial.n, d: `M${x} ${a}L${x} ${b - way * 3}M${x - 3.5} ${b - way * 7}L${x} ${b - way * 2}L${x + 3.5} ${b - way * 7}` }));
      }
      const xs = unique([0, ...moves.map((m) => m.step)]).sort((a, b) => a - b);
      const say = (x) => { const here = moves.filter((m) => m.step === x); return here.length ? `step ${number(x)}: ${here.map((m) => `${m.trial.n} took over ${m.from}${m.values ? ` (${m.values})` : ""}`).join(" · ")}` : `step ${number(x)}: ${number(trials.length)} trials`; };
      const rest = readable(plot, readout, { xs, X, pad, width, height, say, idle: `A line a trial, the best on top; an arrow leads from the weights that were taken over. The strong line is the descent of ${sweep.winner === null ? "the best" : "the winner"}. ${hint}` });
      box.replaceChildren(plot);
      rest();
    });

    const tradeoff = () => plotted("Quality against cost", null, (box, readout, width) => {
      const scored = trials.filter((trial) => isNumber(trial.value) && isNumber(trial.cost)), costs = scored.map((t) => t.cost);
      const logX = wide(costs), logY = wide(scored.map((t) => t.value)), height = 280, { plot, X, Y, pad } = frame(width, height, { xs: costs, ys: scored.map((t) => t.value), logX, logY, xLabel: sweep.cost.name, yLabel: sweep.metric, label: `${sweep.metric} against ${sweep.cost.name} of ${scored.length} trials. Arrow keys read the values.` });
      let best = Infinity;
      const front = [...scored].filter((t) => !lost(t)).sort((a, b) => a.cost - b.cost || a.value - b.value).filter((t) => t.value < best && ((best = t.value), true));
      plot.append(svg("path", { class: "line best-line", d: path(front.flatMap((t, i) => (i ? [[X(t.cost), Y(front[i - 1].value)], [X(t.cost), Y(t.value)]] : [[X(t.cost), Y(t.value)]]))) }));
      for (const trial of scored) plot.append(dot(trial, X(trial.cost), Y(trial.value), lost(trial) ? 5 : 0, front.includes(trial) ? 4.5 : 3));
      const rest = readable(plot, readout, { xs: unique(costs).sort((a, b) => a - b), X, pad, width, height, pick: (x) => showSamples(scored.find((t) => t.cost === x), box.closest(".chart")), idle: `The line joins the trials that no other beats in both. ${hint}`,
        say: (x) => { const here = scored.filter((t) => t.cost === x).sort((a, b) => a.value - b.value); return `${sweep.cost.name} ${costly(x)}: ${here.slice(0, 3).map((t) => `trial ${t.n} ${decimal(t.value)}${front.includes(t) ? ", unbeaten" : ""}`).join(" · ")}`; } });
      box.replaceChildren(plot);
      rest();
    });

    const charts = find(".charts", place), holder = find(".parallel", place);
    if (!holder || !trials.length) return;
    parallel(holder);
    bestSoFar();
    if (sweep.sampling && trials.some((t) => isNumber(t.value) && isNumber(t.cost))) tradeoff();
    if (sweep.scheduler === "pbt") genealogy();
    else if (trials.some((t) => t.curve.length > 1)) rungs();
    filter();
  };

  all("[data-sweep]").forEach((place) => draw(place, sweeps[Number(place.dataset.sweep)]));
};
