/* The page that compares runs: it loads the data of the runs that the address names, each a script next to its run's page. */
"use strict";
(() => {
  const {
    root, data, el, find, toggle, select, empty, readoutLine, onResize, isNumber, unique, number, decimal, duration, day, code, swatch,
    lineChart, address, newView, player, gallery, viewer, starredList, blind, sheets,
  } = Atelier;
  const MOST = 8; // runs at once

  // ---------------------------------------------------------------- loading

  const received = new Map();
  Atelier.receive = (run) => received.set(run.run_id, run);
  const isName = (id) => /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(id);
  const folderOf = (id) => `runs/${encodeURIComponent(id)}/report/`;
  const load = (id) => new Promise((resolve) => {
    const script = el("script", { src: `${folderOf(id)}run-data.js`, onload: () => resolve(received.get(id)), onerror: () => resolve(null) });
    document.head.append(script);
  });
  const asked = () => unique((address.read().runs || "").split(",").filter(isName)).slice(0, MOST);
  /* Opens the page for other runs. */
  const go = (ids) => {
    location.hash = `runs=${ids.join(",")}`;
    location.reload();
  };

  // ---------------------------------------------------------------- what runs differ in

  const heading = (run, i) => el("th", { scope: "col" }, el("span", { class: "key" }, swatch(code(i), true)), el("a", { class: "mono", href: `${folderOf(run.run_id)}index.html` }, run.run_id), el("small", {}, run.title || ""));
  const columnsOf = (runs) => el("tr", {}, el("td"), runs.map(heading));
  const region = (label, cls, runs, rows) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    el("table", { class: cls }, el("thead", {}, columnsOf(runs)), el("tbody", {}, rows)));
  /* Settings with one entry for a family that not all runs have, instead of all its settings. */
  const withoutFamilies = (texts) => {
    const familyOf = (name) => (/^families\.[^.]+/.exec(name) || [""])[0], families = texts.map((of) => new Set(Object.keys(of).map(familyOf)));
    const alone = (family) => family && families.some((names) => !names.has(family));
    return texts.map((of) => Object.fromEntries(Object.entries(of).map(([name, text]) => (alone(familyOf(name)) ? [familyOf(name), "has it"] : [name, text]))));
  };
  /* A table of texts by name, a column a run; opens with what differs. */
  const differences = (place, label, runs, textsOf) => {
    const all = runs.map(textsOf), fewer = withoutFamilies(all), namesOf = (texts) => unique(texts.flatMap((of) => Object.keys(of))), body = el("div");
    const differingOf = (texts) => namesOf(texts).filter((name) => new Set(texts.map((of) => of[name])).size > 1);
    const draw = (every) => {
      const texts = every ? all : fewer, differing = differingOf(texts);
      const rows = (every ? namesOf(all) : differing).map((name) => el("tr", { class: every && differing.includes(name) ? "differs" : null },
        el("th", { scope: "row", class: "mono" }, name), texts.map((of) => el("td", { class: "mono" }, of[name] ?? el("span", { class: "muted" }, "–")))));
      body.replaceChildren(rows.length ? region(`Table: ${label}`, "differences", runs, rows) : el("p", { class: "empty" }, "The runs do not differ here."));
    };
    const sentence = `${number(differingOf(fewer).length)} of ${number(namesOf(fewer).length)} differ.`;
    place.append(el("div", { class: "tools" }, el("span", { class: "muted" }, sentence), toggle("Show all", false, draw)), body);
    draw(false);
  };

  /* The family to open with: the first common one that was set or came out differently, else the first common one, else the first. */
  const opensWith = (families, runs, isIn) => {
    const common = families.filter((family) => runs.filter((run) => isIn(run, family)).length > 1);
    const of = (run, family) => JSON.stringify([
      Object.entries(run.settings).filter(([name]) => name.startsWith(`families.${family}.`)).sort(),
      run.numbers.filter((one) => one.family === family).map((one) => Object.entries(one.metrics).map(([name, metric]) => [name, metric.value])),
    ]);
    return common.find((family) => unique(runs.filter((run) => isIn(run, family)).map((run) => of(run, family))).length > 1) || common[0] || families[0];
  };

  // ---------------------------------------------------------------- numbers

  /* The best cell that may lead; none if another looks the same. */
  const best = (cells) => {
    const first = cells.find((cell) => cell), fair = cells.filter((cell) => cell && cell.comparability === first.comparability && isNumber(cell.value));
    const leading = fair.filter((cell) => cell.may_lead);
    if (fair.length < 2 || !leading.length) return null;
    const lead = leading.reduce((a, b) => ((first.better === "higher") === (a.value > b.value) ? a : b));
    return fair.some((cell) => cell !== lead && cell.text === lead.text) ? null : lead;
  };
  const metricRow = (label, cells) => {
    const lead = best(cells), first = cells.find((cell) => cell);
    return el("tr", {}, el("th", { scope: "row" }, label, ` ${first.better === "higher" ? "↑" : "↓"}`, first.real ? el("small", {}, `real images ${first.real}`) : null), cells.map((cell) => {
      if (!cell) return el("td", { class: "n" }, "–");
      const off = cell.comparability !== first.comparability, won = cell === lead;
      return el("td", { class: `n${off ? " off" : ""}${won ? " best" : ""}` }, won ? el("span", { class: "star", role: "img", "aria-label": "best" }, "●") : null,
        cell.text, cell.interval ? el("small", {}, cell.interval) : null, off ? el("small", {}, "not comparable") : null);
    }));
  };
  const costRow = (label, cells) => el("tr", {}, el("th", { scope: "row" }, label), cells.map((text) => el("td", { class: "n" }, text ?? "–")));
  /* The metrics of results, those with a note last, so that the one that ranks is first. */
  const metricsOf = (results) => {
    const noted = (name) => results.some(({ metrics }) => metrics[name] && metrics[name].note);
    return unique(results.flatMap((one) => Object.keys(one.metrics))).sort((a, b) => noted(a) - noted(b));
  };
  /* What speaks against the numbers of a family: samples that are not near real images, and doubtful metrics. */
  const familyNotes = (family, runs) => {
    const results = runs.map((run) => [run.run_id, run.numbers.find((one) => one.family === family)]).filter(([, one]) => one);
    const unlike = results.filter(([, one]) => one.unlike).map(([id, one]) => [id, `Not near real images, so it is neither best nor ahead in any measure: ${one.unlike}.`]);
    const notes = new Map(results.flatMap(([, one]) => Object.values(one.metrics).filter((m) => m.note).map((m) => [`* ${m.label}`, `Beware: ${m.note}.`])));
    return el("dl", { class: "notes" }, [...unlike, ...notes].map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
  };
  /* That runs have the very same result of a family, as lines; results of pages from before have no hash. */
  const sameResults = (family, runs) => {
    const of = runs.map((run) => [run.run_id, (run.numbers.find((one) => one.family === family) || {}).result]);
    const alike = unique(of.map(([, hash]) => hash)).filter(Boolean).map((hash) => of.filter(([, other]) => other === hash).map(([id]) => id)).filter((ids) => ids.length > 1);
    const whose = (ids) => (ids.length < runs.length ? ids.join(", ") : runs.length > 2 ? "All runs" : "Both runs");
    return alike.map((ids) => el("p", { class: "lead same" }, `${whose(ids)} have the same result of ${family}: it was trained and measured once, then reused.`));
  };
  const familyRows = (family, runs) => {
    const results = runs.map((run) => run.numbers.find((one) => one.family === family)), some = results.filter(Boolean);
    const metrics = metricsOf(some), costs = Object.keys(some[0].costs);
    const labelOf = (name) => some.find((one) => one.metrics[name]).metrics[name].label;
    return [
      el("tr", { class: "group" }, el("th", { scope: "rowgroup" }, family),
        results.map((one) => el("td", { class: "n" }, one && one.unlike ? el("small", { class: "unbeaten" }, "not near real images") : null))),
      ...metrics.map((name) => metricRow(labelOf(name), results.map((one) => one && one.metrics[name]))),
      ...costs.map((name) => costRow(some[0].costs[name][0], results.map((one) => one && one.costs[name][1]))),
    ];
  };
  const numberTables = (place, runs) => {
    const families = unique(runs.flatMap((run) => run.numbers.map((one) => one.family)));
    if (!families.length) { empty(place, "No family of these runs has been evaluated yet."); return; }
    const isIn = (run, family) => run.numbers.some((one) => one.family === family);
    const both = families.filter((family) => runs.filter((run) => isIn(run, family)).length > 1);
    const shown = both.length ? both : families, state = { family: opensWith(families, runs, isIn) }, body = el("div");
    const draw = () => body.replaceChildren(...sameResults(state.family, runs), region(`Numbers of ${state.family}`, "numbers", runs, familyRows(state.family, runs)), familyNotes(state.family, runs));
    const choice = select("Family", [...shown, ...families.filter((family) => !shown.includes(family))].map((f) => [f, f]), state.family, (family) => { state.family = family; draw(); });
    place.append(el("div", { class: "tools" }, families.length > 1 ? choice : null), body);
    draw();
  };
  /* Quality over the course of training, a line for each run of a family. */
  const courses = (place, runs) => {
    const has = (family, metric) => family.quality.some((row) => isNumber(row[metric])), names = Object.keys(runs[0].measures);
    const families = unique(runs.flatMap((run) => run.families.filter((f) => names.some((m) => has(f, m))).map((f) => f.name)));
    if (!families.length) return;
    const metrics = names.filter((metric) => runs.some((run) => run.families.some((family) => has(family, metric))));
    const isIn = (run, family) => run.families.some((f) => f.name === family && names.some((m) => has(f, m)));
    const state = { family: opensWith(families, runs, isIn), metric: metrics[0], axis: "seconds" }, box = el("div"), readout = readoutLine();
    const doubt = (metric) => ((runs[0].notes || {})[metric] ? ` * ${runs[0].notes[metric]}.` : "");
    const AXIS = { seconds: ["seconds of training", duration], step: ["step", number], images: ["images seen", number] };
    const draw = () => {
      const series = runs.map((run, i) => ({ run, i, family: run.families.find((f) => f.name === state.family) })).filter(({ family }) => family && has(family, state.metric))
        .map(({ run, i, family }) => ({ name: run.run_id, code: code(i), marks: true, points: family.quality.map((row) => [row[state.axis], row[state.metric], row.step]) }));
      const say = (x, shown) => `${AXIS[state.axis][1](x)}: ${shown.map((s) => [s.name, s.points.filter((p) => p[0] <= x).pop()]).filter(([, p]) => p).map(([name, p]) => `${name} ${decimal(p[1])}`).join(" · ")}`;
      lineChart(box, readout, {
        series, width: Math.max(260, box.clientWidth), height: 320, names: true, logY: true, xLabel: AXIS[state.axis][0], yLabel: `${runs[0].measures[state.metric]}, lower is better`,
        label: `${runs[0].measures[state.metric]} of ${state.family} against ${AXIS[state.axis][0]}`, say, idle: `Fixed-seed samples against few validation images. Hover or focus to read values.${doubt(state.metric)}`,
      });
    };
    const change = (key) => (value) => { state[key] = value; draw(); };
    place.append(el("h3", {}, "Course of training"), el("div", { class: "tools" }, select("Family", families.map((f) => [f, f]), state.family, change("family")),
      select("Quality", metrics.map((m) => [m, runs[0].measures[m]]), state.metric, change("metric")), select("Against", Object.entries(AXIS).map(([name, [label]]) => [name, label]), state.axis, change("axis"))),
    el("div", { class: "chart" }, readout, box));
    onResize(box, draw);
    draw();
  };

  // ---------------------------------------------------------------- samples

  const entriesOf = (run) => run.families.filter((family) => family.samples.grids.length).map((family) => {
    const at = (src) => (src ? folderOf(run.run_id) + src : src), { samples } = family;
    return {
      run: run.run_id, family: family.name, task: family.task, steps: family.steps, kept: family.kept, source: family.source,
      resolution: samples.resolution || run.resolution, titleOf: sheets.tileClass(samples, run.classes),
      samples: { ...samples, grids: samples.grids.map((grid) => ({ ...grid, src: at(grid.src) })), originals: at(samples.originals), given: at(samples.given) },
    };
  });
  const samples = (runs) => {
    const entries = runs.flatMap(entriesOf), place = find("#grids");
    if (!entries.length) { empty(place, "These runs have no samples yet."); return null; }
    const families = unique(entries.map((entry) => entry.family)), isIn = (run, family) => entries.some((one) => one.run === run.run_id && one.family === family);
    const view = newView(entries, { dims: ["run", "family", "step", "sample"], rows: "run", columns: "sample", family: opensWith(families, runs, isIn), run: entries[0].run, sample: 0, also: { runs: runs.map((run) => run.run_id).join(",") } });
    view.enlarge = viewer(view);
    player(find("#player"), view, {});
    const ids = runs.map((run) => run.run_id), keyOf = (dim, name) => (dim === "run" ? el("span", { class: "key" }, swatch(code(ids.indexOf(name)), true)) : null);
    gallery(place, find("#axes"), view, { pick: view.enlarge, keyOf });
    view.open();
    for (const listen of view.listeners) listen(view);
    starredList(find("#starred"), view);
    blind(find("#blind"), entries);
    if (view.enlarged) {
      const entry = entries.find((one) => one.run === view.run && one.family === view.family) || entries[0];
      view.enlarge({ entry, grid: view.gridOf(entry), sample: view.sample });
    }
    return view;
  };

  // ---------------------------------------------------------------- start

  const chooser = (place, ids) => {
    const known = data.runs.filter(([id]) => !ids.includes(id));
    const remove = (id) => el("button", { type: "button", class: "quiet", "aria-label": `Remove ${id}`, onclick: () => go(ids.filter((one) => one !== id)) }, "✕");
    const box = el("input", { type: "search", list: "known-runs", placeholder: "Add a run by its id", "aria-label": "Add a run", onchange: () => { if (isName(box.value)) go([...ids, box.value]); } });
    place.replaceChildren(el("div", { class: "tools" }, ids.map((id, i) => el("span", { class: "chip" }, el("span", { class: "key" }, swatch(code(i), true)), el("span", { class: "mono" }, id), remove(id))),
      ids.length < MOST ? box : null), el("datalist", { id: "known-runs" }, known.map(([id, title, started]) => el("option", { value: id }, `${title || ""} ${day(started)}`))));
  };
  const start = async () => {
    const ids = asked(), loaded = await Promise.all(ids.map(load)), runs = loaded.filter(Boolean), lost = ids.filter((_, i) => !loaded[i]);
    chooser(find("#chosen"), ids);
    if (lost.length) find("#chosen").append(el("p", { class: "failures", role: "alert" }, `Without data for this page: ${lost.join(", ")}. Build it with \`atelier report build\`.`));
    if (runs.length > 1) {
      const sets = unique(runs.map((run) => run.origins["data version"] || run.title));
      find("#summary").textContent = `${number(runs.length)} runs${sets.length > 1 ? " on different data, so that their numbers do not compare" : ` on ${runs[0].title || "the same data"}`}.`;
      find("#compared").hidden = false;
      numberTables(find("#number-tables"), runs);
      courses(find("#courses"), runs);
      samples(runs);
      differences(find("#setting-table"), "Settings", runs, (run) => run.settings);
      differences(find("#origin-table"), "Code, data and machine", runs, (run) => run.origins);
    }
    root.dataset.ready = "true";
  };
  addEventListener("hashchange", () => { if (asked().join() !== [...received.keys()].join() && address.read().runs !== undefined) location.reload(); });
  start();
})();
