/* The page of a run: losses, health, quality, ablations, views of codes and the timeline. */
"use strict";
(() => {
  const {
    root, data, el, svg, find, all, toggle, select, empty, readoutLine, onResize, clamp, isNumber, unique, ascending, number, decimal, duration,
    code, marker, swatch, sign, signIcon, timeTicks, clock, lineChart, barChart, dotChart, heatChart, fade, framed, namesOf, viewOf, sheets, samples, showSamples, starredList, blind, neighbours,
  } = Atelier;

  const view = viewOf(data), showAt = showSamples(view);
  const listeners = []; // called when the slider has moved
  const familyOf = (name) => data.families.find((family) => family.name === name);

  // ---------------------------------------------------------------- losses

  /* A moving mean over about a thirtieth of the curve. */
  const smoothed = (points) => {
    const share = clamp(30 / points.length, 0.05, 1);
    let mean = 0, weight = 0;
    return points.map(([x, y]) => {
      if (!isNumber(y)) return [x, y];
      mean += share * (y - mean);
      weight += share * (1 - weight);
      return [x, mean / weight];
    });
  };
  const isSide = (name) => name === "lr" || /\/(grad_norm|auc|D\(.*\)|active_units)$/.test(name);

  const lossByNoise = (place, name, { phase, noise, loss, deviation, steps }) => {
    const points = noise.map((x, i) => [x, loss[i], deviation[i]]).filter(([x]) => isNumber(x));
    const spread = points.filter((p) => p.every(isNumber)).map(([x, y, d]) => [x, Math.max(0, y - d), y + d]);
    const describe = ([x, y, d]) => `noise ${decimal(x)}: loss ${decimal(y)}${isNumber(d) ? `, standard deviation ${decimal(d)}` : ""}`;
    const over = steps.length ? `, steps ${steps.map(number).join(" to ")}` : "";
    framed(place, `${name}: ${phase} by noise`, "by-noise", null, (box, readout, width) => lineChart(box, readout, {
      series: [{ name: "loss", code: code(0), marks: true, points, spread }], width, height: 240, xEnd: 1, yRange: [0],
      xLabel: "share of noise, sigma / (alpha + sigma): 0 is data, 1 is noise",
      label: `Loss of ${phase} by share of noise with one standard deviation, ${name}`,
      say: (x) => points.filter((p) => p[0] === x).map(describe).join(),
      idle: `Mean and one standard deviation over images${over}. Hover or focus to read values.`,
    }));
  };
  const klByLatent = (place, name, { step, dimensions }) => {
    const say = (x) => {
      const now = dimensions.map(({ z, kl }) => [z, kl[step.indexOf(x)] || 0]).sort((a, b) => b[1] - a[1]);
      const total = now.reduce((sum, [, kl]) => sum + kl, 0), idle = now.filter(([, kl]) => kl < 0.01).length;
      const highest = now.slice(0, 4).map(([z, kl]) => `z${z} ${decimal(kl)}`).join(" · ");
      return `step ${number(x)}: ${decimal(total)} nats; ${highest}${idle ? `; ${number(idle)} of ${number(now.length)} below 0.01` : ""}`;
    };
    framed(place, `${name}: KL of each dimension of the code`, "by-latent", null, (box, readout, width) => heatChart(box, readout, {
      xs: step, rows: dimensions.map(({ kl }) => kl), width, height: 240, xLabel: "step", yLabel: "one row per dimension, the highest at the end on top",
      label: `KL of ${dimensions.length} dimensions over training, ${name}. Arrow keys read the values.`, say,
      idle: `The stronger the colour, the more nats. Last ${say(step[step.length - 1])}`,
    }));
  };
  const sayLosses = ({ step, seconds }) => (x, shown) => {
    const at = step.indexOf(x), time = isNumber(seconds[at]) ? `, ${duration(seconds[at])}` : "";
    return `step ${number(x)}${time}: ${shown.map((s) => `${s.name} ${number((s.points.find((p) => p[0] === x) || [])[1])}`).join(" · ")}`;
  };
  const lossChart = (place, family, options) => {
    const { step, series, every } = family.curves, box = el("div"), readout = readoutLine();
    const lines = Object.keys(series).sort((a, b) => isSide(a) - isSide(b)).map((name, i) => ({
      name, code: code(i), on: !isSide(name), raw: series[name].map((y, j) => [step[j], y]),
    }));
    const drawn = (line) => ({ name: line.name, code: line.code, points: options.smooth ? smoothed(line.raw) : line.raw, raw: options.smooth ? line.raw : [] });
    const idle = `${number(step[step.length - 1])} steps${every > 1 ? `, each point the mean of ${every} logged lines` : ""}. Hover or focus to read values.`;
    let chart = { mark() {} };
    const draw = () => {
      chart = lineChart(box, readout, {
        series: lines.filter((line) => line.on).map(drawn), width: Math.max(260, box.clientWidth), height: 240, xLabel: "step", logY: options.log,
        label: `Losses of ${family.name}`, say: sayLosses(family.curves), idle, pick: (x) => showAt(x, family.name),
      });
      chart.mark(view.stepOf(family.name));
    };
    const legend = el("div", { class: "legend", role: "group", "aria-label": `Terms of ${family.name}` }, lines.map((line) => {
      const button = toggle("", line.on, (on) => { line.on = on; draw(); });
      button.append(swatch(line.code, false), line.name);
      return button;
    }));
    place.append(el("div", { class: "chart" }, el("h4", {}, family.name), readout, box, legend));
    listeners.push(() => chart.mark(view.stepOf(family.name)));
    onResize(box, draw);
    return draw;
  };
  const losses = () => {
    const place = find("#losses"), families = data.families.filter((family) => family.curves.step.length);
    if (!place) return;
    if (!families.length) { empty(place, "No losses have been logged yet."); return; }
    const options = { smooth: true, log: false };
    const draws = families.map((family) => {
      const draw = lossChart(place, family, options);
      for (const curve of family.by_noise) lossByNoise(place, family.name, curve);
      for (const course of family.by_latent) klByLatent(place, family.name, course);
      return draw;
    });
    const redraw = () => draws.forEach((draw) => draw());
    const option = (label, key) => toggle(label, options[key], (on) => { options[key] = on; redraw(); });
    place.before(el("div", { class: "tools" }, option("Smoothed", "smooth"), option("Logarithmic", "log")));
    place.classList.add("charts");
    redraw();
  };

  // ---------------------------------------------------------------- health

  const VITALS = [
    { title: "D on images and on samples", vitals: ["D(x)", "D(G(z))"] },
    { title: "Losses of D and G", vitals: ["discriminator_loss", "generator_loss"] },
    { title: "Share of pairs D ranks right", vitals: ["auc"], level: 0.5, yRange: [0, 1] },
    { title: "Gradient norms", vitals: ["discriminator_grad_norm", "generator_grad_norm"], logY: true },
    { title: "Weight norms", vitals: ["discriminator_weight_norm", "generator_weight_norm"] },
    { title: "Diversity and movement of samples", vitals: ["diversity", "sample_drift"], yRange: [0, 1] },
  ];
  const networkOf = (vital) => ({ discriminator: "D", generator: "G" })[vital.split("_")[0]] || vital;
  /* The bands of advice for a plot; one where all its lines have the same. */
  const advice = (vitals, bands, codes) => {
    const banded = vitals.map((vital, i) => ({ vital, cls: codes[i].cls, band: bands[vital] })).filter(({ band }) => band);
    const shade = (cls, names, [low, high]) => ({ low, high, cls, words: `advice${names}: ${decimal(low, 2)} to ${decimal(high, 2)}` });
    const same = banded.length === vitals.length && new Set(banded.map(({ band }) => band.join())).size === 1;
    return same ? [shade("s2", "", banded[0].band)] : banded.map(({ vital, cls, band }) => shade(cls, ` for ${networkOf(vital)}`, band));
  };
  /* Describes all lines of a plot of health at a step, what was given up and the diagnoses. */
  const sayHealth = (series, givenUp, events) => (x) => {
    const at = (s, points) => points.filter((p) => p[0] === x && isNumber(p[1])).map((p) => `${s.name} ${number(p[1])}`);
    const lost = givenUp.map((stretch, j) => [stretch.attempt, series.flatMap((s) => at(s, s.givenUp[j])).join(" · ")]).filter(([, text]) => text);
    return [
      `step ${number(x)}: ${series.flatMap((s) => at(s, s.points)).join(" · ")}`,
      ...lost.map(([attempt, text]) => `given up (attempt ${attempt}): ${text}`),
      ...events.filter((e) => e.step === x).map((e) => `${e.title}, ${e.action}`),
    ].join("; ").replace(": ; ", ": ");
  };
  const bandPatch = ({ cls }) => svg("svg", { viewBox: "0 0 22 10", class: cls, "aria-hidden": "true" }, svg("rect", { class: "band", width: 22, height: 10 }));
  const healthChart = (place, { curves, given_up: givenUp, events, bands }, { title, vitals, ...how }) => {
    const codes = vitals.map((_, i) => code(i)), box = el("div"), readout = readoutLine(), shaded = advice(vitals, bands, codes);
    const points = (vital, { step, series }) => (series[vital] || []).map((y, i) => [step[i], y]);
    const series = vitals.map((vital, i) => ({
      name: data.vitals[vital], code: codes[i], points: points(vital, curves), givenUp: givenUp.map((stretch) => points(vital, stretch)),
    }));
    const say = sayHealth(series, givenUp, events), idle = curves.step.length ? say(curves.step[curves.step.length - 1]) : "";
    const xEnd = Math.max(0, ...curves.step, ...givenUp.flatMap((stretch) => stretch.step));
    let chart = { mark() {} };
    const draw = () => {
      if (!box.clientWidth) return; // folded away
      chart = lineChart(box, readout, {
        series, width: Math.max(240, box.clientWidth), height: 200, xLabel: "step", label: `${title}, ${place.dataset.health}`, say, idle,
        bands: shaded, events, xEnd, pick: (x) => view.go && view.go(x, place.dataset.health), ...how,
      });
      chart.mark(view.stepOf(place.dataset.health));
    };
    const legend = [series.map((s) => el("span", {}, swatch(s.code, false), s.name)), shaded.map((band) => el("span", {}, bandPatch(band), band.words))];
    place.append(el("div", { class: "chart" }, el("h4", {}, title), readout, box, el("div", { class: "legend" }, ...legend)));
    listeners.push(() => chart.mark(view.stepOf(place.dataset.health)));
    onResize(box, draw);
    return draw;
  };
  const health = () => {
    for (const place of all("[data-health]")) {
      const of = familyOf(place.dataset.health).health, logged = (vital) => [of.curves, ...of.given_up].some(({ series }) => vital in series);
      const plots = VITALS.map((plot) => ({ ...plot, vitals: plot.vitals.filter(logged) })).filter(({ vitals }) => vitals.length);
      plots.map((plot) => healthChart(place, of, plot)).forEach((draw) => draw());
    }
    for (const item of all(".event .sign")) {
      const observed = item.closest(".event").classList.contains("observed");
      item.append(signIcon({ disease: item.dataset.disease, action: observed ? "observed" : "" }));
    }
  };

  // ---------------------------------------------------------------- quality against cost

  const hasQuality = (family, metric) => family.quality.some((row) => isNumber(row[metric]));
  const qualitySeries = (family, codes, metric) => {
    const latest = Math.max(...family.quality.map((row) => row.step).filter((step) => step <= view.stepOf(family.name)));
    return {
      name: family.name, code: codes.get(family.name), marks: true, points: family.quality.map((row) => [row.seconds, row[metric], row.step]),
      at: (p) => p[2] === latest, kept: (p) => p[2] === family.kept,
    };
  };
  const sayQuality = (x, shown) => {
    const last = shown.map((s) => [s.name, s.points.filter((p) => p[0] <= x).pop()]).filter(([, p]) => p);
    return `at ${duration(x)}: ${last.map(([name, p]) => `${name} ${number(p[1])} (step ${number(p[2])})`).join(" · ")}`;
  };
  const quality = (codes) => {
    const place = find("#quality"), names = Object.keys(data.measures);
    if (!place) return;
    const curved = data.families.filter((family) => names.some((name) => hasQuality(family, name)));
    if (!curved.length) { empty(place, "No samples from training have been evaluated."); return; }
    const tasks = unique(curved.map((family) => family.task)), metrics = names.filter((name) => curved.some((family) => hasQuality(family, name)));
    const options = {
      task: tasks.includes(data.default_task) ? data.default_task : tasks[0], metric: metrics[0],
      logX: false, logY: true,
    };
    const box = el("div"), readout = readoutLine();
    /* The nearest point at or before x, among the lines that are drawn. */
    const pickQuality = (x) => {
      const rows = curved.filter((family) => family.task === options.task).flatMap((family) => family.quality.map((row) => ({ name: family.name, ...row })));
      const near = rows.filter((row) => isNumber(row.seconds) && isNumber(row[options.metric]) && row.seconds <= x).sort((a, b) => a.seconds - b.seconds).pop();
      if (near) showAt(near.step, near.name);
    };
    const draw = () => lineChart(box, readout, {
      series: curved.filter((family) => family.task === options.task).map((family) => qualitySeries(family, codes, options.metric)),
      width: Math.max(260, box.clientWidth), height: box.clientWidth < 560 ? 300 : 360, logX: options.logX, logY: options.logY, names: true,
      xLabel: "seconds of training", yLabel: `${data.measures[options.metric]}, lower is better`,
      label: `${data.measures[options.metric]} over seconds of training`, say: sayQuality, pick: pickQuality,
      idle: `Filled markers: the step of the slider. Hover or focus to read values; a click, or Enter, shows the samples of the point.${data.notes[options.metric] ? ` * ${data.notes[options.metric]}.` : ""}`,
    });
    const change = (key) => (value) => { options[key] = value; draw(); };
    place.append(el("div", { class: "tools" },
      metrics.length > 1 ? select("Quality", metrics.map((m) => [m, data.measures[m]]), options.metric, change("metric")) : null,
      tasks.length > 1 ? select("Task", tasks.map((t) => [t, t]), options.task, change("task")) : null,
      toggle("Logarithmic seconds", false, change("logX")), toggle("Logarithmic quality", options.logY, change("logY"))), el("div", { class: "chart" }, readout, box));
    listeners.push(draw);
    onResize(box, draw);
    draw();
  };

  // ---------------------------------------------------------------- ablations, and views of codes

  /* The x of all points, where they are few enough to name each on the axis. */
  const fewTicks = (series) => {
    const xs = unique(series.flatMap((s) => s.points.map((p) => p[0]))).sort(ascending);
    return xs.length <= 10 ? xs : null;
  };
  const sayPoints = (what, series, more) => (x) => {
    const texts = series.flatMap((s) => s.points.filter((p) => p[0] === x).map((p) => `${s.name} ${decimal(p[1])}`));
    return `${what} ${number(x)}: ${[...texts, more].filter(Boolean).join(" · ")}`;
  };
  const seriesOf = (lines, name) => lines.map((line, i) => ({ name: line.name || name, code: code(i), marks: true, points: line.points }));
  const levelPatch = () => svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, svg("line", { class: "even", x1: 0, x2: 22, y1: 5, y2: 5 }));
  const ablationPlot = (place, plot) => {
    const series = seriesOf(plot.lines, plot.title), baselines = isNumber(plot.real_baseline) ? [plot.real_baseline] : [];
    const bound = baselines.map((y) => `${plot.bound} ${decimal(y)}`).join(), better = `${plot.better[0].toUpperCase()}${plot.better.slice(1)}`;
    const positive = series.flatMap((s) => s.points.map((p) => p[1])).concat(baselines).every((y) => y > 0);
    const legend = [...namesOf(series), bound ? el("span", {}, levelPatch(), bound) : null];
    framed(place, plot.title, "", legend, (box, readout, width) => lineChart(box, readout, {
      series, width, height: 240, xLabel: plot.x, logX: plot.log, logY: plot.better === "lower" && positive, level: plot.real_baseline, yRange: baselines,
      xTicks: fewTicks(series), label: `${plot.title} against ${plot.x}, ${place.dataset.study}; the table of numbers has the values`,
      say: sayPoints(plot.x, series, bound), idle: `${better} is better. Hover or focus to read values.`,
    }));
  };
  const ablations = () => {
    for (const place of all("[data-study]")) {
      const study = familyOf(place.dataset.study).studies.studies[Number(place.dataset.at)];
      for (const plot of study.plots) ablationPlot(place, plot);
    }
  };

  /* Names of dots: a pressed one stays, the others fade. */
  const apartButtons = (series) => series.map((s, i) => {
    const press = () => {
      const chart = button.closest(".chart"), on = button.getAttribute("aria-pressed") !== "true";
      for (const other of all(".apart", chart)) other.setAttribute("aria-pressed", String(on && other === button));
      chart.dataset.apart = on ? i : "";
      fade(chart);
    };
    const icon = svg("svg", { viewBox: "0 0 10 10", class: `dots ${s.code.cls}`, "aria-hidden": "true" }, marker(s.code.shape, 5, 5, 3.4, "dot"));
    const button = el("button", { type: "button", class: "apart", "aria-pressed": "false", onclick: press }, icon, s.name);
    return button;
  });
  const ENLARGED = 112; // pixels of the image of a point on the page
  /* Shows the image of a point below its plot. */
  const pointShower = ({ path, columns }, series) => {
    const owners = series.flatMap((s) => s.points.map((p) => [s.name, p])), figure = el("figure", { class: "picked" });
    return (chart, i) => {
      const [name, [x, y]] = owners[i], canvas = el("canvas", { role: "img", "aria-label": `Image of point ${number(i + 1)}` });
      figure.replaceChildren(el("figcaption", { "aria-live": "polite" }, `${name}: ${decimal(x)}, ${decimal(y)}`), canvas);
      chart.append(figure);
      sheets.loadImage(path).then((img) => { if (img) sheets.paintTile(canvas, img, img.naturalWidth / columns, i, ENLARGED); });
    };
  };
  const CHARTS = { lines: lineChart, scatter: dotChart, bars: barChart };
  const viewPlot = (place, view, plot) => {
    const series = seriesOf(plot.lines, plot.y), dots = plot.kind === "scatter", values = number(series.reduce((sum, s) => sum + s.points.length, 0));
    const legend = series.length < 2 ? null : dots ? apartButtons(series) : namesOf(series);
    const pick = plot.samples ? pointShower(plot.samples, series) : null;
    const apart = series.length > 1 ? "Press a name below to set it apart." : "";
    const hint = !dots ? "Hover or focus to read values." : `${pick ? "A click on a point, or an arrow key, shows its image. " : ""}${apart}`;
    const about = `${plot.title || view.title}: ${plot.y} against ${plot.x}, ${place.dataset.use}`;
    framed(place, plot.title, plot.kind, legend, (box, readout, width) => CHARTS[plot.kind](box, readout, {
      series, width, height: dots ? Math.min(460, Math.round(width * 0.8)) : 240, xLabel: plot.x, yLabel: plot.y, logX: plot.log, xTicks: fewTicks(series),
      label: `${about}${dots ? `; ${values} points` : ". Arrow keys read the values"}`, say: sayPoints(plot.x, series),
      idle: dots ? `${values} points. ${hint}` : hint, pick: pick && ((i) => pick(box.closest(".chart"), i)),
    }));
  };
  const views = () => {
    for (const place of all("[data-use]")) {
      const view = familyOf(place.dataset.use).uses.views[Number(place.dataset.at)];
      for (const plot of view.plots) viewPlot(place, view, plot);
    }
  };

  // ---------------------------------------------------------------- timeline

  const PATTERN = { ran: "", cached: "hatch", failed: "cross", running: "flow", waiting: "dots", skipped: "dots" };
  const HATCHINGS = { cached: "M0 6L6 0M-1 1L1 -1M5 7L7 5", failed: "M0 0L6 6M0 6L6 0", running: "M1.5 0V6" };
  const patterns = (owner) => Object.entries(HATCHINGS).map(([name, d]) => svg("pattern", {
    id: `${owner}-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse", class: `t-${name}`,
  }, svg("path", { d, class: "hatching" })));
  const stageBar = (owner, stateName, x, y, width, height) => {
    const bar = svg("rect", { x, y, width, height, rx: 2, class: `stage ${PATTERN[stateName] ?? "dots"} t-${stateName in PATTERN ? stateName : "waiting"}` });
    if (stateName in HATCHINGS) bar.style.fill = `url(#${owner}-${stateName})`;
    return bar;
  };

  /* When stages began and ended, in seconds of the run; NaN where that is not known. */
  const spanOf = (stage) => {
    const seconds = (iso) => (iso ? (Date.parse(iso) - Date.parse(data.started)) / 1000 : NaN);
    const from = seconds(stage.started), ended = seconds(stage.ended);
    let to = from;
    if (Number.isFinite(ended)) to = ended;
    else if (isNumber(stage.seconds) && stage.state !== "cached") to = from + stage.seconds;
    else if (stage.state === "running") to = seconds(data.until);
    return { stage, from, to: Math.max(from, to) };
  };
  const spanText = ({ stage, from, to }) => {
    if (stage.state === "cached") return "cached";
    if (!Number.isFinite(from)) return stage.state;
    const over = isNumber(stage.work_seconds) && isNumber(stage.seconds) ? stage.seconds - stage.work_seconds : NaN, time = duration(to - from);
    if (stage.state !== "ran") return `${time}, ${stage.state}`;
    return over >= 0.05 ? `${time}, overhead ${duration(over)}` : time;
  };
  /* The diagnoses of a training: its own clock starts when its processes have. */
  const diagnosed = ({ stage, from, to }) => {
    const family = stage.name === "train" && stage.state !== "cached" && familyOf(stage.family);
    const events = (family && family.health ? family.health.events : []).filter((event) => isNumber(event.seconds));
    if (!events.length) return [];
    const late = Math.max(0, to - from - Math.max(...family.curves.seconds.filter(isNumber), ...events.map((e) => e.seconds)));
    return events.map((event) => ({ ...event, at: from + late + event.seconds }));
  };
  const stageRow = (span, { X, width, narrow }, top) => {
    const { stage, from, to } = span, y = top + (narrow ? 18 : 4), timed = Number.isFinite(from) && Number.isFinite(to), longest = narrow ? 34 : 27;
    const name = stage.family ? `${stage.name} ${stage.family}` : String(stage.name), text = spanText(span);
    const title = `${name}: ${text}${stage.cached_from ? `, from run ${stage.cached_from}` : ""}${stage.error ? `. ${stage.error}` : ""}`;
    const row = svg("g", { class: `t-${stage.state}` }, svg("title", {}, title));
    row.append(svg("text", { x: narrow ? 0 : 2, y: narrow ? y - 5 : y + 13, class: "name" }, name.length > longest ? `${name.slice(0, longest - 1)}…` : name));
    const x = timed ? X(from) : X(0), w = timed ? Math.max(3, X(to) - X(from)) : 26, least = Math.max(w, stage.state === "cached" ? 14 : 3);
    if (stage.state === "ran" && isNumber(stage.work_seconds) && stage.seconds > 0) {
      const pale = stageBar("tl", "ran", x, y, w, 16);
      pale.classList.add("over");
      row.append(pale, stageBar("tl", "ran", x, y, w * clamp(stage.work_seconds / stage.seconds, 0, 1), 16));
    } else row.append(stageBar("tl", stage.state, x, y, least, 16));
    for (const event of timed ? diagnosed(span) : []) row.append(sign(event, X(event.at), y + 8, 5));
    row.append(narrow ? svg("text", { x: width, y: y - 5, "text-anchor": "end" }, text) : svg("text", { x: x + least + 8, y: y + 12 }, text));
    return row;
  };
  const timelinePlot = (spans, end, width) => {
    const narrow = width < 620, left = narrow ? 0 : 190, right = narrow ? 0 : 170, pitch = narrow ? 42 : 27, height = spans.length * pitch + 30;
    const X = (s) => left + (s / end) * (width - left - right);
    const label = `Timeline of ${spans.length} stages over ${duration(end)}; the table of stages under Lineage has the numbers`;
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img", "aria-label": label }, svg("defs", {}, patterns("tl")));
    for (const t of timeTicks(end, narrow ? 4 : 9)) {
      const anchor = t === 0 && narrow ? "start" : X(t) > width - 20 ? "end" : "middle";
      plot.append(svg("line", { class: "gridline", x1: X(t), x2: X(t), y1: 0, y2: height - 24 }), svg("text", { x: X(t), y: height - 8, "text-anchor": anchor }, clock(t)));
    }
    spans.forEach((span, i) => plot.append(stageRow(span, { X, width, narrow }, i * pitch)));
    return plot;
  };
  const stateKey = (name, i) => {
    const bar = svg("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, svg("defs", {}, patterns(`lg${i}`)), stageBar(`lg${i}`, name, 1, 1, 24, 10));
    return el("span", {}, bar, `${name}: ${data.states[name] || ""}`);
  };
  const timeline = () => {
    const place = find("#bars"), chart = el("div", { class: "chart" }), spans = data.stages.map(spanOf);
    if (!spans.length) { empty(place, "No stage has started yet."); return; }
    const end = Math.max(1, ...spans.map((span) => span.to).filter(Number.isFinite)), states = unique(data.stages.map((stage) => stage.state));
    const draw = () => chart.replaceChildren(timelinePlot(spans, end, Math.max(280, chart.clientWidth - 36)), el("div", { class: "states" }, states.map(stateKey)));
    place.append(chart);
    onResize(chart, draw);
    draw();
  };

  // ---------------------------------------------------------------- start

  /* Shows what the address asks for: the samples, and the one that is enlarged. */
  const openAddress = () => {
    find("#samples").scrollIntoView();
    const entry = view.enlarged && (view.entryOf(view.family) || view.entries[0]);
    if (entry) view.enlarge({ entry, grid: view.gridOf(entry), sample: Math.min(view.sample, (entry.samples.count || Infinity) - 1) });
  };
  addEventListener("hashchange", () => {
    if (!view.go || !view.open()) return;
    for (const listen of view.listeners) listen(view);
    openAddress();
  });

  const codes = new Map(data.families.map((family, i) => [family.name, code(i)]));
  for (const family of data.families) {
    for (const event of (family.health || {}).events || []) event.said = `${family.name}, step ${number(event.step)}: ${event.title}, ${event.did}`;
  }
  for (const key of all(".key")) if (codes.has(key.dataset.family)) key.append(swatch(codes.get(key.dataset.family), true));
  samples(data, codes, view);
  neighbours(data, codes);
  losses();
  health();
  quality(codes);
  ablations();
  views();
  if (Atelier.drawSweeps) Atelier.drawSweeps(data.sweeps); // sweep.js is on the page where there is one
  timeline();
  view.listeners.push(() => { for (const listen of listeners) listen(); });
  const asked = view.open();
  for (const listen of view.listeners) listen(view);
  if (find("#starred")) starredList(find("#starred"), view);
  if (find("#blind")) blind(find("#blind"), view.entries);
  if (Atelier.live) Atelier.live(view); // not in a single file
  if (asked && view.go) openAddress();
  root.dataset.ready = "true";
})();
