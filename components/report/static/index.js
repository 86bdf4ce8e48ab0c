/* The page of all runs: the leaderboard over runs, and their list. */
"use strict";
(() => {
  const { root, data, el, find, select, empty, clamp, isNumber, unique, number, decimal, count, duration, size, day } = Atelier;

  // ---------------------------------------------------------------- metrics

  const labels = data.measures; // [label, whether in percent] by name, in the order of a table's columns
  const metricName = (name) => (labels[name] ? labels[name][0] : name.replaceAll("_", " "));
  const showMetric = (name, value) => (labels[name] && labels[name][1] && isNumber(value) ? `${(value * 100).toFixed(1)}\u00a0%` : decimal(value));
  /* Names with a label first, in the order of the labels. */
  const ordered = (names) => [...Object.keys(labels).filter((n) => names.includes(n)), ...names.filter((n) => !(n in labels)).sort()];
  /* The metrics of results, the one that ranks first, as components/common/ranking.py chooses it; those with a note last. */
  const rankable = (results) => {
    const metrics = results.flatMap((result) => Object.entries(result.metrics));
    const warned = new Set(metrics.filter(([, metric]) => metric.note).map(([name]) => name)), names = unique(metrics.map(([name]) => name)), [distances, others] = data.ranking;
    const first = [...distances, ...others].find((n) => names.includes(n) && !warned.has(n)) || others.find((n) => names.includes(n));
    return ordered(names).sort((a, b) => (b === first) - (a === first) || warned.has(a) - warned.has(b));
  };
  const markOf = ({ note }) => (note ? " *" : "");
  const better = (a, b) => (a.better === "higher" ? b.value - a.value : a.value - b.value);
  const RECIPE = { extractor: "extractor", extractor_hash: "extractor weights", n: "number of images", split: "split" };
  /* Why a metric cannot be compared with another. */
  const difference = (metric, other) => {
    const key = Object.keys(RECIPE).find((name) => metric[name] !== other[name]);
    if (!key) return "other recipe or data version";
    return key === "extractor_hash" ? `other ${RECIPE[key]}` : `other ${RECIPE[key]}: ${metric[key]}`;
  };
  /* A metric comes as [value, low, high, real_baseline, recipe, note]: a thousand runs repeat the same few recipes. */
  const unpack = (metrics, recipes) => Object.fromEntries(Object.entries(metrics || {}).map(
    ([name, [value, low, high, real_baseline, recipe, note]]) => [name, { value, low, high, real_baseline, note, ...recipes[recipe] }]));

  // ---------------------------------------------------------------- tables by page

  const dataName = (run) => String(run.data.name || run.data.title || "unnamed data");
  const runLink = (run) => (run.report
    ? el("a", { href: run.report.split("/").map(encodeURIComponent).join("/"), class: "mono" }, run.run_id)
    : el("span", { class: "mono" }, run.run_id));
  const pager = (page, pages, go) => {
    if (pages < 2) return "";
    const button = (label, disabled, to) => el("button", { type: "button", disabled, onclick: () => go(to) }, label);
    return el("div", { class: "pager" }, el("span", { "aria-live": "polite" }, `Page ${page + 1} of ${pages}`),
      button("Previous", page === 0, page - 1), button("Next", page >= pages - 1, page + 1));
  };
  const tableOf = (label, heads, rows, cls) => {
    const head = el("tr", {}, heads.map(([name, n]) => el(name ? "th" : "td", { scope: name ? "col" : null, class: n ? "n" : null }, name)));
    const table = el("table", { class: cls }, el("thead", {}, head), el("tbody", {}, rows));
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
  };
  const cell = (...children) => el("td", { class: "n" }, ...children);

  // ---------------------------------------------------------------- leaderboard

  /* One row for each result, which may be in many runs if it was cached; those that cannot be compared come last. */
  const ranking = (rows, metric, reference) => {
    const once = new Map();
    for (const row of rows) {
      const m = row.result.metrics[metric], id = JSON.stringify([row.result.family, m.value, m.comparability, row.result.parameters, row.result.train_seconds]);
      if (once.has(id)) once.get(id).also += 1;
      else once.set(id, { ...row, m, also: 0, off: m.comparability !== reference.comparability });
    }
    return [...once.values()].sort((a, b) => a.off - b.off || better(a.m, b.m));
  };
  const valueCell = ({ m, off }, metric, reference) => {
    const small = off ? `not comparable: ${difference(m, reference)}`
      : isNumber(m.low) && isNumber(m.high) ? `${showMetric(metric, m.low)} to ${showMetric(metric, m.high)}` : null;
    return cell(el("span", {}, showMetric(metric, m.value), markOf(m)), small && el("small", {}, small));
  };
  const leaderRow = (row, rank, metric, reference) => {
    const { result, run, m, off, also } = row, when = day(run.started) + (run.smoke ? ", smoke" : "") + (also ? `, and ${number(also)} more` : "");
    return el("tr", { class: off ? "off" : null }, el("td", { class: "rank" }, off ? "–" : String(rank)),
      el("th", { scope: "row" }, result.family, result.unlike && el("small", { class: "unbeaten", title: result.unlike }, "not near real images")),
      valueCell(row, metric, reference), cell(showMetric(metric, m.real_baseline)), cell(number(m.n)), cell(count(result.parameters)),
      cell(duration(result.train_seconds)), cell(number(result.samples_per_second)), el("td", {}, runLink(run), el("small", {}, when)));
  };
  /* The ways in which results are measured, each with its newest run; of smoke runs only if there are no others. */
  const recipesOf = (rows, metric) => {
    const full = rows.filter(({ run }) => !run.smoke), newest = new Map();
    for (const { run, result } of full.length ? full : rows) {
      const m = result.metrics[metric];
      if (!newest.has(m.comparability)) newest.set(m.comparability, { run, m });
    }
    return [...newest.values()];
  };
  const recipeChoice = (recipes, chosen, change) => recipes.length > 1 && select("Measured as in",
    recipes.map(({ run, m }) => [m.comparability, `${run.run_id}, n = ${number(m.n)}`]), chosen, change);
  const referenceNote = (reference, run) => {
    const parts = reference ? [
      reference.extractor ? `${reference.extractor} features` : null, isNumber(reference.n) ? `n = ${number(reference.n)}` : null,
      reference.split ? `${reference.split} split` : null,
    ].filter(Boolean) : [];
    if (!parts.length) return null;
    const text = `${parts.join(", ")}, as in run ${run.run_id}. The real baseline is the value of real images against real images.`;
    return el("div", {}, el("dt", {}, "Measured with"), el("dd", {}, text));
  };
  const doubts = (list) => unique(list.map(({ m }) => m.note).filter(Boolean)).map((note) => el("div", {}, el("dt", {}, "*"), el("dd", {}, `Beware: ${note}.`)));
  const taskOf = ({ result }) => result.task;
  /* The rows that the state selects; a task or a metric that the data set lacks is replaced by its first. */
  const selected = (rows, state) => {
    const ofSet = rows.filter(({ run }) => dataName(run) === state.set), tasks = unique(ofSet.map(taskOf)).sort();
    if (!tasks.includes(state.task)) state.task = tasks[0];
    const ofTask = ofSet.filter((row) => taskOf(row) === state.task), metrics = rankable(ofTask.map(({ result }) => result));
    if (!metrics.includes(state.metric)) state.metric = metrics[0];
    const measured = ofTask.filter(({ result }) => result.metrics[state.metric] && isNumber(result.metrics[state.metric].value));
    return { tasks, metrics, measured };
  };
  const LEADERS = 15; // rows of a page
  const leaders = (runs) => {
    const place = find("#leaders"), body = el("div"), rows = runs.flatMap((run) => run.results.map((result) => ({ run, result })));
    if (!rows.length) { empty(place, "No family has been evaluated yet."); return; }
    const sets = unique(rows.map(({ run }) => dataName(run))), state = { set: sets[0], task: null, metric: null, page: 0 };
    const go = (change) => { Object.assign(state, { page: 0 }, change); draw(); };
    const draw = () => {
      const { tasks, metrics, measured } = selected(rows, state);
      const recipes = recipesOf(measured, state.metric), as = recipes.find(({ m }) => m.comparability === state.recipe) || recipes[0], reference = as && as.m;
      const list = ranking(measured, state.metric, reference), pages = Math.max(1, Math.ceil(list.length / LEADERS));
      state.page = clamp(state.page, 0, pages - 1);
      const tools = el("div", { class: "tools" }, select("Data", sets.map((s) => [s, s]), state.set, (set) => go({ set })),
        select("Task", tasks.map((t) => [t, t]), state.task, (task) => go({ task })),
        select("By", metrics.map((m) => [m, metricName(m)]), state.metric, (metric) => go({ metric })),
        recipeChoice(recipes, reference && reference.comparability, (recipe) => go({ recipe })) || "");
      const first = state.page * LEADERS, arrow = reference && reference.better === "higher" ? "↑" : "↓";
      const lines = list.slice(first, first + LEADERS).map((row, i) => leaderRow(row, first + i + 1, state.metric, reference));
      const heads = [["#"], ["Family"], [`${metricName(state.metric || "")} ${arrow}`, 1], ["Real images", 1], ["n", 1], ["Parameters", 1], ["Training", 1], ["Samples/s", 1], ["Run"]];
      body.replaceChildren(tools, tableOf("Leaderboard over runs", heads, lines, "ranks"),
        el("dl", { class: "notes" }, referenceNote(reference, as && as.run), doubts(list)), pager(state.page, pages, (page) => go({ page })));
    };
    place.append(body);
    draw();
  };

  // ---------------------------------------------------------------- all runs

  const bestOf = (run) => run.best.map(({ family, metric, value, note, unlike }) => el("div", { class: unlike ? "bests muted" : "bests" }, family,
    el("small", { title: note }, `${metricName(metric)} ${showMetric(metric, value)}${markOf({ note })}`),
    unlike && el("small", { title: unlike }, "not near real images")));
  const familiesOf = (run) => run.families.flatMap((name, i) => [
    i ? ", " : "", run.failed.includes(name) ? el("span", { class: "failed" }, `${name} ✕ failed`) : name,
  ]);
  const MOST_COMPARED = 8;
  /* A box that chooses a run for the comparison; only runs with pages can be compared. */
  const chosenBox = (run, chosen) => el("input", {
    type: "checkbox", "aria-label": `Compare ${run.run_id}`, disabled: !run.report, checked: chosen.ids.has(run.run_id),
    onchange: (e) => { chosen.ids[e.target.checked ? "add" : "delete"](run.run_id); chosen.show(); },
  });
  const compareButton = () => {
    const chosen = { ids: new Set() }, button = el("a", { class: "button", role: "link", "aria-disabled": "true" }, "Compare");
    chosen.show = () => {
      const n = chosen.ids.size, ready = n > 1 && n <= MOST_COMPARED;
      button.textContent = n > MOST_COMPARED ? `At most ${MOST_COMPARED} runs` : n > 1 ? `Compare ${n} runs` : "Choose two runs to compare";
      button.setAttribute("aria-disabled", String(!ready));
      if (ready) button.setAttribute("href", `compare.html#runs=${[...chosen.ids].map(encodeURIComponent).join(",")}`);
      else button.removeAttribute("href");
    };
    chosen.show();
    return { button, chosen };
  };
  const runRow = (chosen) => (run) => el("tr", {}, el("td", { class: "choose" }, chosenBox(run, chosen)),
    el("th", { scope: "row" }, runLink(run), el("small", {}, day(run.started))),
    el("td", {}, el("span", { class: `pill ${/^[a-z]+$/.test(run.status) ? run.status : ""}` }, run.status),
      run.kind === "sweep" ? el("small", {}, "sweep") : null, run.smoke ? el("small", {}, "smoke") : null),
    el("td", { class: "wrap" }, run.data.title || run.data.name || "–",
      run.data.version ? el("small", { class: "mono" }, String(run.data.version).slice(0, 12)) : null),
    el("td", { class: "wrap" }, familiesOf(run)), el("td", {}, bestOf(run)), cell(duration(run.seconds), run.written ? el("small", {}, size(run.written)) : null),
    el("td", { class: "mono" }, run.commit ? String(run.commit).slice(0, 8) : "–", run.dirty ? el("small", {}, "changed") : null));
  const searchText = (run) => [run.run_id, run.status, run.kind, run.data.name, run.data.title, run.commit, run.config_hash, ...run.families].join(" ").toLowerCase();

  const RUNS = 25; // rows of a page
  const runList = (runs) => {
    const place = find("#list"), body = el("div"), state = { words: "", status: "all", page: 0 }, texts = runs.map(searchText);
    const matches = el("span", { class: "muted", role: "status" }), { button, chosen } = compareButton(), heads = [[""], ["Run"], ["Status"], ["Data"], ["Families"], ["Best"], ["Took", 1], ["Commit"]];
    const go = (change) => { Object.assign(state, { page: 0 }, change); draw(); };
    const draw = () => {
      const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const hits = runs.filter((run, i) => (state.status === "all" || run.status === state.status) && words.every((word) => texts[i].includes(word)));
      const pages = Math.max(1, Math.ceil(hits.length / RUNS));
      state.page = clamp(state.page, 0, pages - 1);
      const rows = hits.slice(state.page * RUNS, (state.page + 1) * RUNS).map(runRow(chosen));
      body.replaceChildren(hits.length ? tableOf("Table of runs", heads, rows, "runs") : el("p", { class: "empty" }, "No run matches."), pager(state.page, pages, (page) => go({ page })));
      matches.textContent = hits.length === runs.length ? "" : `${number(hits.length)} of ${number(runs.length)}`;
    };
    if (runs.length > 1) place.append(filters(runs, go, matches, button));
    place.append(body);
    draw();
  };
  const filters = (runs, go, matches, button) => {
    const box = el("input", { type: "search", placeholder: "Filter by run, data, family, commit", "aria-label": "Filter runs", oninput: () => go({ words: box.value }) });
    const statuses = unique(runs.map((run) => run.status)), options = [["all", "all"], ...statuses.map((s) => [s, s])];
    return el("div", { class: "tools" }, el("label", { class: "grow" }, box),
      statuses.length > 1 ? select("Status", options, "all", (status) => go({ status })) : null, matches, button);
  };

  // ---------------------------------------------------------------- start

  for (const run of data.runs) for (const result of run.results) result.metrics = unpack(result.metrics, data.recipes);
  if (data.runs.length) { leaders(data.runs); runList(data.runs); }
  root.dataset.ready = "true";
})();
